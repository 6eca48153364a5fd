// CrossRun: what all runs of an archive together know of an operation family on a target: levels
// with what they brought, facts and dead ends with how sure they are.
#pragma once

#include "archive/run_store.h"
#include "cli/run_reader.h"
#include "core/json.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace coppice::cli {

// How often, and in how many runs, something was seen.
enum class Maturity {
  tentative,    // in one run, a few times
  confirmed,    // in two runs, or often
  established,  // in three runs or more
};
std::string_view name_of(Maturity maturity);

struct Pointer {
  std::string run;
  AttemptId attempt;
};

// One level of one axis, over all runs.
struct CrossLevel {
  std::string op, template_name, axis;
  Value level;
  std::int64_t attempts = 0, valid = 0;
  std::set<std::string> runs;    // that tried it
  std::optional<double> behind;  // least log cost behind its run's own best
  double expected_gain = 0.0;    // largest that a run's model ends with
  std::map<FailureClass, std::int64_t> failures;
  std::vector<Pointer> shown_by;  // a few attempts
  ValueMap prerequisites;         // other axes, where all its attempts had one level
};

struct Fact {
  enum class Kind { dead_end, winner } kind = Kind::dead_end;
  Maturity maturity = Maturity::tentative;
  CrossLevel level;
  std::string text;  // in words
};

struct CrossRun {
  std::string family, target;
  std::vector<std::string> runs;
  std::vector<CrossLevel> levels;  // by op, template, axis, level
  std::vector<Fact> facts;         // surest first
};

// A fold over the archive's runs: the same archive gives the same answer. One entry for each
// (family, target). `gains`: also ask each run's model what the levels promise, which costs
// learning again.
Result<std::vector<CrossRun>> cross_run(const archive::RunStore& store, bool gains);

Json to_json(const CrossRun& memory);

}  // namespace coppice::cli
