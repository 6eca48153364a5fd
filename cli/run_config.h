// RunConfig: what one run searches, where, with which budget; read from configs/*.json, kept in the
// log.
#pragma once

#include "cli/task_config.h"
#include "core/json.h"
#include "core/result.h"
#include "search/search_config.h"

#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

inline constexpr int kAllDevices = 0;

// docs/config.md describes each member, with defaults and units.
struct RunConfig {
  static constexpr int kSchema = 1;

  std::string op;  // name or folder
  std::string suite;
  std::vector<std::string> workloads;  // only these of the suite; empty: all
  std::string table;                   // a recorded or synthetic table instead of op and suite
  std::vector<TaskConfig> tasks;  // they share the budget; empty: op, suite and table are the run's
  std::string backend = "cpu";    // cpu, cuda
  std::string target = "host";    // a table in configs/targets, or what this machine is
  std::vector<std::string> templates;  // empty: all that the target can run
  std::uint64_t seed = 1;
  search::SearchOptions search;      // strategy, budget, lanes, finalists, switches
  std::vector<std::string> compare;  // strategies to run beside it on the same budget

  int devices = 1;                        // timing lanes to use, or kAllDevices
  int lane_threads = 0;                   // cpu: threads a candidate may use; 0 = all cores
  int compile_jobs = 0;                   // 0 = from the number of cores
  std::string isolation = "best";         // least level demanded of the candidate's process
  std::vector<std::string> launcher;      // in front of the device agent's command line
  Json llm = "off";                       // a profile's name, or the profile itself
  std::vector<std::string> seed_kernels;  // folders of the user's own kernels
  std::vector<std::string> warm_start;    // logs to start from: tables, runs; "archive": its runs
};

// Strict: unknown keys, wrong types and values out of range are errors that name file and place.
Result<RunConfig> run_config(const JsonReader& json);
Result<RunConfig> load_run_config(const std::string& path);
// "best-of-n" is as good as "best_of_n".
Result<search::Strategy> strategy_named(std::string_view text);
// What one of its tasks searches, as if it were a run by itself.
RunConfig config_of_task(const RunConfig& config, std::size_t task);
// Canonical: run_config(to_json(c)) gives c again.
Json to_json(const RunConfig& config);

}  // namespace coppice::cli
