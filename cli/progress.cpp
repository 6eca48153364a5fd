// Writes progress lines.
#include "cli/progress.h"

#include "cli/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::cli {
namespace {

constexpr Nanoseconds kRedraw{100 * 1000 * 1000};

std::string what_of(const Proposed& proposal) {
  switch (proposal.fidelity) {
    case Fidelity::search:
      return proposal.spec.template_name.empty()
                 ? proposal.mutator + " (" + proposal.why + ")"
                 : proposal.mutator + " in " + proposal.spec.template_name;
    case Fidelity::finalist:
      return "timing a finalist again";
    case Fidelity::promote:
      return "verifying the winner in fresh processes";
  }
  COPPICE_UNREACHABLE();
}

}  // namespace

void Progress::proposed(const Proposed& proposal, const search::EngineView& view) {
  trying_[proposal.attempt] = proposal;
  draw(view);
}

void Progress::evaluated(const Evidence& evidence, const search::EngineView& view) {
  const auto found = trying_.find(evidence.attempt);
  const std::string what = found == trying_.end() ? std::string() : what_of(found->second);
  if (found != trying_.end()) {
    disagreement_.take(found->second, evidence);
    trying_.erase(found);
  }
  const Verdict& verdict = evidence.verdict;
  std::string line = fmt::format("{}#{:<4} {}", options_.prefix, evidence.attempt.value, what);
  if (!verdict.valid) {
    line += fmt::format(": refused at {}: {}", to_text(verdict.gate), to_text(verdict.failure));
    if (!verdict.message.empty()) {
      line += ": " + verdict.message.substr(0, verdict.message.find('\n'));
    }
  } else if (evidence.performance) {
    line += ": " + cost_text(evidence.performance->log_cost, options_.against_baseline);
    const bool better = view.best && view.best_log_cost < best_log_cost_ - 1e-12;
    if (view.best && (better || !any_best_)) {
      best_log_cost_ = view.best_log_cost;
      any_best_ = true;
      line += evidence.fidelity == Fidelity::search ? "  best so far" : "";
    }
  }
  if (!console_.live()) {
    console_.say(line);
  }
  if (const auto finding = disagreement_.finding(); finding && !told_disagreement_) {
    told_disagreement_ = true;
    console_.say(options_.prefix + *finding);
  }
  draw(view);
}

void Progress::waiting(Nanoseconds elapsed, const search::EngineView& view) {
  elapsed_ = elapsed;
  draw(view);
}

void Progress::lost(int device, const std::string& why) {
  console_.say(options_.prefix + "device " + std::to_string(device) +
               " is lost, the others go on: " + why);
}

std::string Progress::eta(const search::EngineView& view) const {
  const search::Budget& budget = options_.budget;
  double left = -1.0;
  if (budget.seconds.count() > 0) {
    left = std::max(0.0, to_seconds(budget.seconds - elapsed_));
  }
  if (budget.attempts > 0 && view.attempts > 0) {
    const double each = to_seconds(elapsed_) / static_cast<double>(view.attempts);
    const double by_attempts =
        each * static_cast<double>(std::max<std::int64_t>(0, budget.attempts - view.attempts));
    left = left < 0.0 ? by_attempts : std::min(left, by_attempts);
  }
  if (left < 0.0) {
    return "";
  }
  return ", " + duration_text(Nanoseconds(static_cast<std::int64_t>(left * 1e9))) + " left";
}

void Progress::draw(const search::EngineView& view) {
  const Nanoseconds now = clock_.now();
  if (!console_.live() || now - drawn_ < kRedraw) {
    return;
  }
  drawn_ = now;
  std::string line =
      fmt::format("{}{} attempts, {} valid", options_.prefix, view.attempts, view.valid);
  if (view.best) {
    line += ", best " + cost_text(view.best_log_cost, options_.against_baseline);
  }
  line += eta(view);
  if (!trying_.empty()) {
    line += "; " + what_of(trying_.begin()->second);
  }
  console_.show_progress(line);
}

}  // namespace coppice::cli
