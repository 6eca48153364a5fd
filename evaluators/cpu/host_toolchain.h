// The host's C++ compiler as a Toolchain: candidates as freestanding shared objects, and the op's
// trusted sources (reference, baselines) as ordinary ones.
#pragma once

#include "core/thread_safety.h"
#include "evaluators/toolchain.h"

#include <memory>

namespace coppice::evaluators::cpu {

struct HostToolchainConfig {
  std::string compiler;     // empty: the first of g++, clang++, c++ in PATH
  std::string work_folder;  // private files live below it; empty: the system's temporary folder
  Nanoseconds deadline = std::chrono::seconds(60);
  std::uint64_t memory_bytes = 4ULL << 30;
  std::vector<std::string> hidden;  // variables that the compiler must not see
  bool poison = true;  // false only in tests of the walls behind it: lets inline assembly pass
};

// Thread-safe.
class HostToolchain final : public Toolchain {
 public:
  // Errors: environment, when there is no compiler; the message says what to install.
  static Result<std::unique_ptr<HostToolchain>> open(HostToolchainConfig config);
  ~HostToolchain() override;

  std::string version() const override { return version_; }
  Result<Compiled> compile(const CompileJob& job, std::stop_token stop) override;
  // Trusted code: -O2, linked with the C++ library and `libraries` ("openblas").
  Result<Compiled> compile_trusted(const CompileJob& job,
                                   const std::vector<std::string>& libraries,
                                   std::stop_token stop);
  const std::string& compiler() const { return config_.compiler; }

 private:
  explicit HostToolchain(HostToolchainConfig config) : config_(std::move(config)) {}
  struct Invocation;
  Result<Compiled> run(const CompileJob& job, Invocation invocation, std::stop_token stop);
  // Folder of a precompiled prelude for these flags and headers; empty when there is none.
  std::string prelude(const CompileJob& job, const std::vector<std::string>& flags);

  HostToolchainConfig config_;
  std::string version_;
  std::string folder_;  // our own, removed at the end
  bool gcc_ = false;
  Mutex mutex_;
  // By flags and headers: folder, or empty.
  std::map<Digest, std::string> preludes_ COPPICE_GUARDED_BY(mutex_);
  std::uint64_t next_ COPPICE_GUARDED_BY(mutex_) = 0;
};

// The first located error of a compiler log ("kernel.cpp:12:5: error: ..."), else its first line.
std::string first_error(const std::string& log);

// Valid UTF-8 of at most `cap` bytes; other bytes become '?'.
std::string clean_log(std::string_view log, std::size_t cap);

// Lines that talk about `source_name` only: other files of the host never reach a log.
std::string only_lines_of(const std::string& log, const std::string& source_name);

}  // namespace coppice::evaluators::cpu
