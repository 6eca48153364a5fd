// What a candidate's commit says.
#include "archive/git_message.h"

#include <fmt/format.h>

namespace coppice::archive {

namespace {

std::string subject_of(const Proposed& proposal, const Evidence* evidence, std::string_view label) {
  std::string out = fmt::format("c{}: ", proposal.candidate.value);
  if (evidence == nullptr) {
    out += "no result";
  } else if (!evidence->verdict.valid) {
    out += fmt::format(
        "rejected at {} ({})", to_text(evidence->verdict.gate), to_text(evidence->verdict.failure));
  } else if (evidence->performance && !evidence->performance->baseline.empty()) {
    out += fmt::format("{:.3f}x, {}", evidence->performance->speedup, evidence->precision);
  } else {
    out += fmt::format("valid, {}", evidence->precision);
  }
  return out + fmt::format(": {}{}{}", proposal.mutator, label.empty() ? "" : ": ", label);
}

}  // namespace

std::string candidate_message(const Proposed& proposal,
                              std::uint64_t seq,
                              const Evidence* evidence,
                              std::string_view label) {
  std::string out = subject_of(proposal, evidence, label) + "\n\n";
  if (!proposal.why.empty()) {
    out += proposal.why + "\n\n";
  }
  std::string parents;
  for (const CandidateId parent : proposal.parents) {
    parents += fmt::format(" {}", parent.value);
  }
  out += fmt::format("Candidate: {}\nAttempt: {}\nEvent: {}\nNode: {}\nParents:{}\n",
                     proposal.candidate.value,
                     proposal.attempt.value,
                     seq,
                     proposal.node.value,
                     parents.empty() ? " none" : parents);
  if (evidence == nullptr) {
    return out;
  }
  if (proposal.prediction && evidence->performance) {
    out += fmt::format("Predicted: {:.4f} +- {:.4f}\nMeasured: {:.4f} +- {:.4f}\n",
                       proposal.prediction->log_cost,
                       proposal.prediction->spread,
                       evidence->performance->log_cost,
                       evidence->performance->log_noise);
  }
  const Verdict& verdict = evidence->verdict;
  return out + fmt::format("Verdict: {} at {}{}{}\n",
                           verdict.valid ? "valid" : "rejected",
                           to_text(verdict.gate),
                           verdict.message.empty() ? "" : ": ",
                           verdict.message);
}

}  // namespace coppice::archive
