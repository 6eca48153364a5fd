// Runs a program with a text on stdin, inside a time limit and a size limit, and leaves no process.
#pragma once

#include "core/result.h"
#include "core/units.h"

#include <stop_token>
#include <string>
#include <vector>

namespace coppice::llm {

struct CommandRun {
  enum class End { exited, signalled, timed_out, too_large, stopped };
  End end = End::exited;
  int status = 0;      // exit status, or the signal
  std::string output;  // stdout, at most the limit
  std::string errors;  // the end of stderr, at most 2 KB
};

struct CommandLimits {
  Nanoseconds deadline = std::chrono::seconds(300);
  std::size_t max_bytes = std::size_t{16} << 20;
};

// The program's whole process group is killed (SIGKILL) before this returns, also after a normal
// end. Errors: it can't be started. Thread-safe.
Result<CommandRun> run_command(const std::vector<std::string>& argv,
                               const std::string& input,
                               const CommandLimits& limits,
                               const std::stop_token& stop);

}  // namespace coppice::llm
