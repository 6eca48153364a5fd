// TaskConfig: one of the tasks that share a run's budget.
#pragma once

#include "core/json.h"
#include "core/result.h"

#include <string>
#include <vector>

namespace coppice::cli {

struct TaskConfig {
  std::string name;                    // of its log inside the run
  std::string op;                      // name or folder; empty: a table
  std::string suite;                   // empty: the one that holds all `workloads`
  std::vector<std::string> workloads;  // only these of the suite; empty: all
  std::string table;                   // a recorded or synthetic table instead of an op
  std::vector<std::string> templates;  // empty: all that the target can run
  double weight = 1.0;                 // against those of the other tasks
};

// An array of them. Names that are not given are made from op and suite, or the table, and are
// unique.
Result<std::vector<TaskConfig>> task_configs(const JsonReader& json);
Json to_json(const TaskConfig& task);

}  // namespace coppice::cli
