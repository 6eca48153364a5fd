// Child processes: started in their own process group, ended for certain, never leaked.
#pragma once

#include "core/result.h"
#include "core/units.h"
#include "evaluators/wire.h"

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice::evaluators {

struct ChildLimits {
  std::uint64_t address_space = 0;  // bytes; 0: no limit
  std::uint64_t cpu_seconds = 0;
  std::uint64_t file_bytes = 0;
};

struct ChildOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  // Added to the caller's, of which secrets stay here (child_environment.h).
  std::map<std::string, std::string, std::less<>> environment;
  std::vector<std::string> hidden;  // more names of variables that stay
  std::string folder;               // working directory; empty: keep
  int input = -1;                   // becomes descriptor 0; -1: /dev/null
  int output = -1;                  // becomes descriptor 1; -1: /dev/null
  int errors = -1;                  // becomes descriptor 2; -1: /dev/null; -2: the caller's
  int socket = -1;                  // becomes descriptor 3 when given
  ChildLimits limits;
  // Killed when the thread that started it ends; false for children that outlive that thread.
  bool dies_with_thread = true;
};

// A running child; the destructor kills its whole process group and reaps it.
class Child {
 public:
  Child() = default;
  static Result<Child> start(const ChildOptions& options);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }

  pid_t pid() const { return pid_; }
  bool running();  // false once it has ended
  // Waits for the end; nothing when it still runs after `timeout`. The status is waitpid's.
  std::optional<int> wait(Nanoseconds timeout);
  // Ends the whole group now. Returns false when the process did not go within 5 s (it is stuck in
  // the kernel) and was left behind.
  bool kill();
  // Gives the process to a new owner, who must end and reap it.
  pid_t release();

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
  std::optional<int> status_;
};

// "exit status 3", "signal 11 (Segmentation fault)".
std::string describe_status(int status);

// Reads everything until the writer closes, at most `cap` bytes (the rest is drained and dropped),
// for at most `timeout`. `complete` is false when the time ran out.
struct Drained {
  std::string text;
  std::uint64_t total = 0;
  bool complete = true;
};
Drained drain(int fd, std::size_t cap, Nanoseconds timeout);

Nanoseconds steady_now();

}  // namespace coppice::evaluators
