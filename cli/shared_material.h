// SharedMaterial: what a run that is made of tasks depends on.
#pragma once

#include "archive/run_store.h"
#include "cli/run_material.h"
#include "search/allocator.h"

#include <string>
#include <vector>

namespace coppice::cli {

struct SharedMaterial {
  RunConfig config;
  std::vector<RunMaterial> tasks;  // in the order of config.tasks
  int allocator_version = search::kAllocatorVersion;
  std::string run;  // empty before it has a name
};

// Reads each task's op or table as gather() does. `known` may be null: the archive for warm starts.
Result<SharedMaterial> gather_tasks(const RunConfig& config,
                                    const Places& places,
                                    const archive::RunStore* known);
// The same from the log of a run that is made of tasks.
Result<SharedMaterial> recall_tasks(const archive::ExperimentLog& log);
// Keeps the texts of all tasks and appends RunStarted; the caller commits.
Result<void> store_tasks(archive::ExperimentLog& log, const SharedMaterial& material);

Result<search::Allocator> allocator_of(const RunConfig& config);

// "<run>/<task>"
std::string task_run(const std::string& run, const TaskConfig& task);
// Whether a run is made of tasks, from its log's first event.
Result<bool> has_tasks(const archive::ExperimentLog& log);

}  // namespace coppice::cli
