// Reads templates, baselines and twins: the parts of an operation that carry code.
#pragma once

#include "core/op.h"
#include "experiments/findings.h"

#include <string>

namespace coppice::experiments {

// Where a part lies: "templates/cpu/split_kv" has backend "cpu" and name "split_kv".
struct PartPlace {
  std::string backend;
  std::string name;
  std::string source_name;  // "kernel.cpp"
  std::string source;
};

// Each appends to `op`, whose contract has been read (twins: and its templates).
void read_template(const JsonReader& json, const PartPlace& place, Op& op, Findings& findings);
void read_baseline(const JsonReader& json, const PartPlace& place, Op& op, Findings& findings);
void read_twin(const JsonReader& json, const PartPlace& place, Op& op, Findings& findings);
// reference.plan.json beside reference.cu.
void read_reference_plan(const JsonReader& json, Op& op, Findings& findings);

}  // namespace coppice::experiments
