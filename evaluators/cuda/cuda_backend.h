// The GPU as a device: judge, candidate and baseline processes around one CUDA device.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "evaluators/device_backend.h"

#include <memory>

namespace coppice::evaluators::cuda {

// `ordinal`: which device; -1 takes COPPICE_CUDA_DEVICE or 0. Nothing is touched before open().
std::unique_ptr<DeviceBackend> make_cuda_backend(int ordinal = -1);

// The device's facts, from a process of its own that ends afterwards. An `environment` error where
// there is no driver or no device.
Result<Json> probe_device(int ordinal);

}  // namespace coppice::evaluators::cuda
