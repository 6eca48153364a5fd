// The program: hands the command line to cli and returns its exit status.
#include "cli/command.h"
#include "evaluators/processes.h"

#include <csignal>

int main(int argc, char** argv) {
  if (const auto status = coppice::evaluators::dispatch_internal(argc, argv)) {
    return *status;
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of write, not our end
  coppice::cli::Console console = coppice::cli::Console::standard();
  return coppice::cli::run_program({argv + 1, argv + argc}, console);
}
