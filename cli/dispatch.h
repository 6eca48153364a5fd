// The dispatch table of a run that is made of tasks: for each op and shape, what to call.
#pragma once

#include "cli/shared_reader.h"
#include "core/json.h"

#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

// What to use for one workload. Only candidates that passed promotion (fresh seeds, fresh
// processes) and are faster than the frozen baseline on this very workload are used; else the
// baseline is, and the reference where no baseline is known.
struct DispatchBucket {
  std::string workload;
  DimMap dims;
  std::string use;  // "candidate", "baseline", "reference"
  std::string why;
  std::string task, run;                      // where the answer comes from
  const archive::Attempt* attempt = nullptr;  // of the candidate; in the reader's fold
  const RunReader* reader = nullptr;
  std::optional<WorkloadTiming> timing;
  std::string baseline;
};

struct DispatchOp {
  std::string op, target, types;
  std::string digest;    // of the op's folder
  std::string fallback;  // "baseline NAME" or "reference": for shapes that no bucket serves
  std::vector<DispatchBucket> buckets;  // by dims
};

// Refers to `run`.
std::vector<DispatchOp> dispatch_of(const SharedReader& run);

// What the table says of a shape that may have no bucket of its own: the nearest bucket (by the sum
// of |ln| of the dims' ratios) whose winner claims the shape, else the fall-back. Errors: dims that
// are missing or that no op of the table has.
struct DispatchAnswer {
  const DispatchOp* op = nullptr;
  const DispatchBucket* bucket = nullptr;  // null: the fall-back
  bool exact = false;
  double distance = 0.0;
  std::string why;
};
Result<std::vector<DispatchAnswer>> ask_dispatch(const std::vector<DispatchOp>& table,
                                                 const DimMap& dims);
Result<DimMap> read_dims(const std::vector<std::string>& words);  // "m=16"

// {"schema":1,"run","rule","ops":[{"op","op_digest","target","types","fallback","buckets":[
//  {"workload","dims","use","why","task","run","candidate","label","precision","source","plan",
//  "median_us","baseline","baseline_us","speedup","speedup_low","speedup_high"}]}]}
Json to_json(const std::vector<DispatchOp>& table, const std::string& run);
std::string text_of(const std::vector<DispatchOp>& table);
Json to_json(const std::vector<DispatchAnswer>& answers);
std::string text_of(const std::vector<DispatchAnswer>& answers);

}  // namespace coppice::cli
