// The CPU as a device: the host's compiler, real processes, real timings.
#pragma once

#include "evaluators/device_backend.h"

#include <memory>

namespace coppice::evaluators::cpu {

std::unique_ptr<DeviceBackend> make_cpu_backend();

}  // namespace coppice::evaluators::cpu
