// comparison.json: how a run's winner stands against other runs' winners, tied to the logs it came
// from.
#pragma once

#include "archive/experiment_log.h"
#include "core/digest.h"
#include "core/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::archive {

inline constexpr std::string_view kComparisonFile = "comparison.json";

// How much faster this run's winner is on one workload.
struct ComparedWorkload {
  std::string workload;
  double ratio = 0.0;
  friend bool operator==(const ComparedWorkload&, const ComparedWorkload&) = default;
};

// How much faster this run's winner is than another's, and where the number comes from.
struct ComparedRun {
  std::string strategy;
  std::string run;
  std::optional<double> ratio;  // absent: one of the two has no valid candidate
  std::string basis;            // "paired": winners timed in turn; "baseline": same frozen one
  Digest head;                  // of the other run's log
  // Attempts of the other run: all, and until it had its final best of the search.
  std::int64_t attempts = 0;
  std::optional<std::int64_t> best_after;
  // Attempts of this run until it had a result as good as that; absent: never.
  std::optional<std::int64_t> as_good_after;
  std::vector<ComparedWorkload> workloads;
  friend bool operator==(const ComparedRun&, const ComparedRun&) = default;
};

// The chain of the log's newest committed event; zero when there is none.
Result<Digest> head_of(const ExperimentLog& log);

// Grammar, schema 3: {"schema":3,"events":n,"head":hex,"compared":[{"strategy","run","basis",
// "ratio","head","attempts","best_after","as_good_after","workloads":[{"workload","ratio"}]}],
// "sha256":hex}; schema 2 ends at "head". `events` and `head` are those of the run's own log, so
// that the file fits no other; `sha256` is of the object without it, as Json::dump() writes it.
Result<void> write_comparison(const ExperimentLog& log, const std::vector<ComparedRun>& compared);
// Nothing where there is no such file; corrupt when it was changed or belongs to another log.
Result<std::vector<ComparedRun>> read_comparison(const ExperimentLog& log);

}  // namespace coppice::archive
