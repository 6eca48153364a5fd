// Compares what the templates' candidates failed for.
#include "cli/disagreement.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::cli {
namespace {

constexpr int kEnoughWrong = 3;  // candidates of a template, where its default was not among them

bool wrong_values(FailureClass failure) {
  return failure == FailureClass::wrong_result || failure == FailureClass::non_finite ||
         failure == FailureClass::unwritten_output;
}

}  // namespace

Disagreement::Disagreement(const RunMaterial& material) : op_(material.config.op) {
  for (const auto& entry : material.templates.spaces) {
    templates_[entry.name];
  }
}

Disagreement Disagreement::of(const RunReader& run) {
  Disagreement out(run.material());
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (attempt.evidence) {
      out.take(attempt.proposal, *attempt.evidence);
    }
  }
  return out;
}

void Disagreement::take(const Proposed& proposal, const Evidence& evidence) {
  any_valid_ = any_valid_ || evidence.verdict.valid;
  const auto found = templates_.find(proposal.spec.template_name);
  if (found == templates_.end() || evidence.verdict.valid ||
      !wrong_values(evidence.verdict.failure)) {
    return;
  }
  ++found->second.wrong;
  found->second.default_wrong = found->second.default_wrong || proposal.mutator == "seed";
}

std::optional<std::string> Disagreement::finding() const {
  const bool all = std::ranges::all_of(templates_, [](const auto& item) {
    return item.second.default_wrong || item.second.wrong >= kEnoughWrong;
  });
  if (any_valid_ || templates_.empty() || !all) {
    return std::nullopt;
  }
  const std::string what = templates_.size() == 1
                               ? "the only template"
                               : fmt::format("every one of the {} templates", templates_.size());
  return fmt::format(
      "{} gives other values than the reference and nothing was valid: the operation's reference "
      "or its templates are wrong, not the candidates; look with: coppice check --build {}",
      what,
      op_);
}

}  // namespace coppice::cli
