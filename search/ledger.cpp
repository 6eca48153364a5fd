// The bandit over mutators.
#include "search/ledger.h"

#include "core/check.h"

#include <algorithm>

namespace coppice::search {
namespace {

constexpr double kFade = 0.96;   // an earning halves in weight after 17 attempts
constexpr double kFloor = 0.05;  // least share of a mutator
// A mutator without a record counts as if it had earned this much on a few attempts.
constexpr double kPriorGain = 0.02;
constexpr double kPriorAttempts = 4.0;

}  // namespace

Ledger::Ledger(std::vector<std::string> names) {
  for (std::string& name : names) {
    accounts_.push_back({std::move(name)});
  }
}

std::size_t Ledger::index(std::string_view name) {
  for (std::size_t i = 0; i < accounts_.size(); ++i) {
    if (accounts_[i].name == name) {
      return i;
    }
  }
  accounts_.push_back({std::string(name)});
  return accounts_.size() - 1;
}

void Ledger::record(std::string_view mutator, bool valid, double gain, double seconds) {
  MutatorAccount& account = accounts_[index(mutator)];
  ++account.tried;
  account.valid += valid ? 1 : 0;
  account.improved += gain > 0.0 ? 1 : 0;
  account.gain += gain;
  account.seconds += seconds;
  for (MutatorAccount& each : accounts_) {
    each.recent_gain *= kFade;
    each.recent_seconds *= kFade;
  }
  account.recent_gain += gain;
  account.recent_seconds += seconds;
}

std::vector<double> Ledger::weights() const {
  double seconds = 0.0;
  double tried = 0.0;
  for (const MutatorAccount& account : accounts_) {
    seconds += account.seconds;
    tried += static_cast<double>(account.tried);
  }
  const double attempt = tried > 0.0 && seconds > 0.0 ? seconds / tried : 1.0;
  std::vector<double> weights;
  double sum = 0.0;
  for (const MutatorAccount& account : accounts_) {
    const double rate =
        (account.recent_gain + kPriorGain) / (account.recent_seconds + kPriorAttempts * attempt);
    weights.push_back(rate);
    sum += rate;
  }
  const double count = static_cast<double>(weights.size());
  const double floor = std::min(kFloor, 0.5 / count);
  for (double& weight : weights) {
    weight = floor + (1.0 - floor * count) * weight / sum;
  }
  return weights;
}

std::size_t Ledger::choose(const std::vector<std::size_t>& offered, Rng& rng) const {
  COPPICE_CHECK(!offered.empty());
  const std::vector<double> all = weights();
  double sum = 0.0;
  for (const std::size_t i : offered) {
    sum += all[i];
  }
  double left = rng.uniform() * sum;
  for (const std::size_t i : offered) {
    left -= all[i];
    if (left < 0.0) {
      return i;
    }
  }
  return offered.back();
}

}  // namespace coppice::search
