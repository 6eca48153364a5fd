// Reads op.json: the operation's contract.
#pragma once

#include "core/op.h"
#include "experiments/findings.h"
#include "experiments/scope.h"

namespace coppice::experiments {

// Fills everything of `op` that op.json holds. Goes on after an error where it can.
void read_contract(const JsonReader& json, Op& op, Findings& findings);

// {"T": "bf16"}: names and choices that op.json declares.
std::map<std::string, std::string, std::less<>> read_type_choice(const JsonReader& json,
                                                                 const Op& op,
                                                                 Findings& findings);

// Names that shapes, constraints and claims may use.
Scope dim_scope(const Op& op);

}  // namespace coppice::experiments
