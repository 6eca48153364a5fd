// Ledger: what each mutator earned, and the bandit that turns earnings into choices.
#pragma once

#include "core/random.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::search {

struct MutatorAccount {
  std::string name;
  std::int64_t tried = 0, valid = 0, improved = 0;
  double gain = 0.0;     // summed improvement of the best, in log cost
  double seconds = 0.0;  // spent on its candidates
  // The same, older ones fading: what the bandit reads.
  double recent_gain = 0.0;
  double recent_seconds = 0.0;
};

// Probability matching on improvement per second, with a floor for each mutator so that none is
// given up for good. Deterministic.
class Ledger {
 public:
  explicit Ledger(std::vector<std::string> names);
  void record(std::string_view mutator, bool valid, double gain, double seconds);
  // Shares of the next choices, in the order of the names; they sum to 1.
  std::vector<double> weights() const;
  // One of `offered` (indices of names) by weight.
  std::size_t choose(const std::vector<std::size_t>& offered, Rng& rng) const;
  const std::vector<MutatorAccount>& accounts() const { return accounts_; }
  // Adds an account for a name that is not there yet.
  std::size_t index(std::string_view name);

 private:
  std::vector<MutatorAccount> accounts_;
};

}  // namespace coppice::search
