// A single-threaded process that forks compile jobs: a fork from a program with many threads may
// leave the child waiting for ever for a lock that another thread held.
#pragma once

#include "core/result.h"

#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cuda {

// How much nicer than the program its compile jobs are: on full cores agents, judges and launches
// go first.
inline constexpr int kCompilersBelow = 5;

// Thread-safe. One request starts one process, which answers over a socket of its own.
class CompileServer {
 public:
  // `work` runs in the job's process: reads the request, returns the answer's bytes.
  using Work = std::function<std::string(std::string_view request)>;
  // Secrets of the environment, and the variables `hidden`, are forgotten there.
  static Result<std::unique_ptr<CompileServer>> start(Work work,
                                                      const std::vector<std::string>& hidden = {});
  ~CompileServer();
  CompileServer(const CompileServer&) = delete;
  CompileServer& operator=(const CompileServer&) = delete;

  // A connected socket to a fresh process that waits for its request: u64 size, bytes. It answers
  // with its pid (i32), then the bytes of its answer, and ends. The caller closes the socket.
  Result<int> begin();

 private:
  CompileServer(pid_t pid, int control) : pid_(pid), control_(control) {}
  pid_t pid_;
  int control_;
  std::mutex mutex_;
};

}  // namespace coppice::evaluators::cuda
