// NvrtcToolchain: CUDA C++ to a cubin for one architecture, without a GPU, in a bounded process.
#pragma once

#include "evaluators/cuda/compile_server.h"
#include "evaluators/cuda/nvrtc_api.h"
#include "evaluators/toolchain.h"

#include <memory>
#include <string>

namespace coppice::evaluators::cuda {

// The architectures that a candidate may be compiled for.
bool known_architecture(std::string_view name);  // sm_80 sm_89 sm_90 sm_90a sm_100a sm_120 ...

struct CompileLimits {
  Nanoseconds wall = std::chrono::seconds(60);
  std::uint64_t memory_bytes = 8ull << 30;
  std::size_t log_bytes = 64 << 10;
  std::size_t binary_bytes = 64 << 20;
};

// Code that keeps state between launches or calls what a kernel may not is refused here too
// (forbidden_code): the cached result then says so as well.
// Thread-safe: each compile runs in a process of its own that may open no file, reach no
// network and start no process (seccomp, where the kernel allows), and is killed at its deadline.
class NvrtcToolchain final : public Toolchain {
 public:
  // Its processes forget secrets and the variables `hidden` (child_environment.h).
  // An `environment` error when there is no NVRTC, `config` for an unknown architecture.
  static Result<std::unique_ptr<NvrtcToolchain>> open(std::string architecture,
                                                      CompileLimits limits = {},
                                                      const std::vector<std::string>& hidden = {});
  std::string version() const override;
  Result<Compiled> compile(const CompileJob& job, std::stop_token stop) override;

 private:
  NvrtcToolchain(const NvrtcApi* api,
                 std::string architecture,
                 CompileLimits limits,
                 std::unique_ptr<CompileServer> server)
      : api_(api),
        architecture_(std::move(architecture)),
        limits_(limits),
        server_(std::move(server)) {}

  const NvrtcApi* api_;
  std::string architecture_;
  CompileLimits limits_;
  std::unique_ptr<CompileServer> server_;
};

// The first error of a compiler log, as "kernel.cu:12: error: ..."; and the log without the
// assembler's statistics, valid UTF-8, cut at `limit` bytes.
std::string first_error(std::string_view log);
std::string filtered_log(std::string_view log, std::size_t limit);

}  // namespace coppice::evaluators::cuda
