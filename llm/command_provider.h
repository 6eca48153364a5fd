// CommandProvider: any program (or person) that reads a request on stdin and writes a reply on
// stdout.
#pragma once

#include "llm/http_provider.h"
#include "llm/provider.h"

#include <memory>
#include <string>
#include <vector>

namespace coppice::llm {

// stdin: one JSON object, {"v": 1, "model", "messages": [{"role", "text"}], "max_tokens",
// "schema"?, "temperature"?, "reasoning_effort"?, "sample"?}, and a closing newline. stdout: one
// JSON object,
// {"text": "...", "usage"?: {"in", "out", "cached"?, "reasoning"?}, "finish"?: "stop" | "length",
// "model"?, "request_id"?} or {"error": "...", "kind"?: a FailureKind}. The command runs in a
// process group of its own, which is killed as a whole at the deadline and when it ends.
struct CommandOptions {
  std::vector<std::string> argv;  // the program and its arguments; no shell
  // Variables whose values must never be seen in replies or errors. The command inherits the whole
  // environment.
  std::vector<std::string> secret_env;
  std::size_t max_bytes = std::size_t{16} << 20;  // of stdout; of stderr the last 2 KB are kept
};

Result<std::unique_ptr<Provider>> command_provider(CommandOptions options,
                                                   const Environment& environment);

// The reply that a command's stdout holds.
Outcome read_command_reply(std::string_view output);

}  // namespace coppice::llm
