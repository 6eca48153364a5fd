// What the archive's tests share: folders that go away, sample events, a log of n events, children.
#pragma once

#include "archive/durable_file.h"
#include "archive/experiment_log.h"
#include "tests/support/catch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

namespace coppice::archive {

class TempDir {
 public:
  TempDir() {
    const char* base = std::getenv("TMPDIR");
    std::string name = std::string(base != nullptr ? base : "/tmp") + "/coppice-test-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { (void)remove_tree(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The value, or a failed test that shows the error.
template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    FAIL(result.error().message);
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(result).value();
  }
}

// The error, or a failed test.
template <class T>
Error error_of(Result<T> result) {
  if (result.ok()) {
    FAIL("expected an error");
    return Error{};
  }
  return result.error();
}

inline std::string sample_event(std::uint64_t i) {
  return "{\"kind\":\"tick\",\"elapsed_ns\":" + std::to_string(i * 1000) + ",\"v\":1}";
}

// A closed log of `count` events in commits of `group`.
inline void write_log(const std::string& directory, std::uint64_t count, std::uint64_t group = 1) {
  auto log = must(ExperimentLog::open(directory, ExperimentLog::Mode::create));
  for (std::uint64_t i = 1; i <= count; ++i) {
    must(log.append_encoded(sample_event(i)));
    if (i % group == 0) {
      must(log.commit());
    }
  }
  must(log.close());
}

inline std::string slurp(const std::string& path) {
  return must(read_file(path, 1ULL << 32U));
}

inline void spill(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// Runs `body` in a child process and returns its wait status; body's result is the exit status.
inline int in_child(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::_exit(body());
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace coppice::archive
