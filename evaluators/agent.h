// The device agent's main loop: requests in, answers out, one device behind it.
#pragma once

#include "evaluators/device_backend.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace coppice::evaluators {

using BackendFactory = std::function<std::unique_ptr<DeviceBackend>()>;

// Serves requests until `in_fd` is closed or "exit" is called; returns the process's exit status.
// Calls: probe, open, host_scalars, freeze, adopt, evaluate, exit. While a call runs, a closed
// `in_fd` stops it.
int run_agent(int in_fd, int out_fd, const BackendFactory& factory);

}  // namespace coppice::evaluators
