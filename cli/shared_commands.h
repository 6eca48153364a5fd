// The commands, for runs that are made of tasks.
#pragma once

#include "cli/archive_folder.h"
#include "cli/console.h"
#include "cli/places.h"
#include "cli/run_config.h"

#include <string>

namespace coppice::cli {

// Each does what the command of its name does; exit status as there.
Result<int> run_shared(const Arguments& arguments,
                       const RunConfig& config,
                       const Places& places,
                       Console& console);
Result<int> resume_shared_run(const ArchiveFolder& folder,
                              const std::string& name,
                              const Arguments& arguments,
                              Console& console);
// The allocator's decisions and those of every task.
Result<int> replay_shared(const std::string& name, const Arguments& arguments, Console& console);
Result<int> show_shared(const std::string& name, const Arguments& arguments, Console& console);
Result<int> best_shared(const std::string& name, const Arguments& arguments, Console& console);
Result<int> report_shared(const std::string& name, const Arguments& arguments, Console& console);
Result<int> export_shared(const std::string& name, const Arguments& arguments, Console& console);

}  // namespace coppice::cli
