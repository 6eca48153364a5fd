// The table from which the program is built: every command, in the order of the help text.
#include "cli/commands.h"

namespace coppice::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = [] {
    std::vector<Command> all = {run_command(),
                                resume_command(),
                                eval_command(),
                                list_command(),
                                show_command(),
                                tree_command(),
                                frontier_command(),
                                memory_command(),
                                prompt_command(),
                                best_command(),
                                diff_command(),
                                compare_command(),
                                replay_command(),
                                report_command(),
                                export_command()};
    for (Command& command : archive_commands()) {
      all.push_back(std::move(command));
    }
    all.push_back(simulate_command());
    all.push_back(table_command());
    all.push_back(shapes_command());
    all.push_back(check_command());
    all.push_back(doctor_command());
    return all;
  }();
  return table;
}

}  // namespace coppice::cli
