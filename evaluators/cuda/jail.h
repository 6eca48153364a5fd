// What a worker process gives up, in two steps: before the driver starts and after code is loaded.
#pragma once

#include <string>

namespace coppice::evaluators::cuda {

// No core files, no new privileges, killed with its parent. Always works.
void bound_process();

// Own user, network and IPC namespaces; false where the system forbids them.
bool enter_namespaces();

enum class JailKind {
  compiler,   // nothing may be opened any more
  candidate,  // the driver may still read files and open devices, nothing else
};
// A seccomp filter that refuses new processes, sockets, tracing and writing to the file system;
// false where there is no seccomp.
bool forbid_system_calls(JailKind kind);

// "process", "namespaces" or "full", as in the evidence.
std::string isolation_level(bool namespaces, bool filtered);

}  // namespace coppice::evaluators::cuda
