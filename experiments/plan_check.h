// Checks a launch plan against the operation and the source that it launches.
#pragma once

#include "core/op.h"
#include "experiments/findings.h"
#include "experiments/scope.h"

#include <string>

namespace coppice::experiments {

struct PlanContext {
  const Op* op = nullptr;
  Scope scope;              // names that geometry and arguments may use, scalars included
  std::string backend;      // "cpu", "cuda"
  std::string source_name;  // for messages
  std::string source;
  std::string place;           // of the plan: "<file>: /plan"
  bool may_leave_out = false;  // a bad twin may leave outputs unwritten on purpose
};

// Unknown tensors, workspace, names and kernels; outputs that nothing writes; writes to inputs by
// name; prepare steps that read values.
void check_plan(const LaunchPlan& plan, const PlanContext& context, Findings& findings);

// `word` stands in `text` as a whole identifier, outside comments.
bool mentions(std::string_view text, std::string_view word);

}  // namespace coppice::experiments
