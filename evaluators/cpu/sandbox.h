// The walls around candidate code: namespaces, limits, system-call filters; what could be built is
// reported, never assumed.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

// Ordered. process: own process, limits, no new privileges, system-call filter. namespaces: also
// own user, network, process, IPC and mount namespaces with an empty file system. full: also
// Landlock. none: a layer of `process` is missing.
enum class Isolation { none, process, namespaces, full };
std::string_view to_text(Isolation level);
Result<Isolation> isolation(std::string_view text);  // "best" is full's spelling for "all there is"

// ---- in the candidate launcher, once ----

// Puts the calling process (one thread) and its children into new namespaces and an empty root;
// children are in a process namespace of their own. False where the system does not allow it.
bool enter_namespaces();
// Gives up root for an unprivileged user where that is possible. Best effort.
void drop_privileges();
// Landlock: no file may be opened any more. False where the kernel lacks it.
bool restrict_files();

// Compiled system-call filters. `loading`: what mapping a kernel needs. `running`: futexes,
// yielding and exiting, nothing else. Anything else kills the process.
struct Filters {
  std::vector<std::uint64_t> loading, running;  // struct sock_filter instructions
};
Result<Filters> compile_filters();

// ---- in a candidate process ----

struct ProcessLimits {
  std::uint64_t address_space = 0;
  std::uint64_t cpu_seconds = 120;
};
void set_limits(const ProcessLimits& limits);
// Installs a filter on all threads of the process. False when the kernel refuses.
bool install(const std::vector<std::uint64_t>& filter);

}  // namespace coppice::evaluators::cpu
