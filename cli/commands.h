// The commands of the program, one source file each in cli/commands/.
#pragma once

#include "cli/command.h"

namespace coppice::cli {

Command run_command();
Command resume_command();
Command eval_command();
Command list_command();
Command show_command();
Command tree_command();
Command frontier_command();
Command memory_command();
Command prompt_command();
Command best_command();
Command diff_command();
Command compare_command();
Command replay_command();
Command report_command();
Command export_command();
std::vector<Command> archive_commands();  // archive pack, unpack, verify, git
Command shapes_command();                 // suites from a model's config.json
Command check_command();
Command doctor_command();
Command simulate_command();
Command table_command();

}  // namespace coppice::cli
