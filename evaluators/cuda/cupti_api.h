// CUPTI's range profiler as it is used here: own minimal declarations, resolved by dlopen, so that
// one binary runs with and without it (CUDA 12.6 and newer have it).
#pragma once

#include "core/result.h"
#include "evaluators/cuda/driver_api.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace coppice::evaluators::cuda {

// Every call takes one record that begins with its own size, up to the end of its last member:
// padding behind that does not count.
struct CuptiPlain {  // cuptiProfilerInitialize
  std::size_t size = 16;
  void* reserved = nullptr;
};
struct CuptiChipName {
  std::size_t size = 32;
  void* reserved = nullptr;
  std::size_t device = 0;
  const char* name = nullptr;  // out
};
struct CuptiAvailability {
  std::size_t size = 40;
  void* reserved = nullptr;
  Context context = nullptr;
  std::size_t bytes = 0;          // in and out
  std::uint8_t* image = nullptr;  // null: asks for the size
};
struct CuptiHostOpen {
  std::size_t size = 48;
  void* reserved = nullptr;
  int profiler = 0;  // 0: ranges
  const char* chip = nullptr;
  const std::uint8_t* availability = nullptr;
  void* host = nullptr;  // out
};
struct CuptiHost {  // deinitialize
  std::size_t size = 24;
  void* reserved = nullptr;
  void* host = nullptr;
};
struct CuptiHostAdd {
  std::size_t size = 40;
  void* reserved = nullptr;
  void* host = nullptr;
  const char** metrics = nullptr;
  std::size_t count = 0;
};
struct CuptiConfigSize {
  std::size_t size = 32;
  void* reserved = nullptr;
  void* host = nullptr;
  std::size_t bytes = 0;  // out
};
struct CuptiConfig {
  std::size_t size = 40;
  void* reserved = nullptr;
  void* host = nullptr;
  std::size_t bytes = 0;
  std::uint8_t* image = nullptr;
};
struct CuptiEvaluate {
  std::size_t size = 72;
  void* reserved = nullptr;
  void* host = nullptr;
  const std::uint8_t* image = nullptr;
  std::size_t bytes = 0;
  std::size_t range = 0;
  const char** metrics = nullptr;
  std::size_t count = 0;
  double* values = nullptr;
};
struct CuptiEnable {
  std::size_t size = 32;
  void* reserved = nullptr;
  Context context = nullptr;
  void* profiler = nullptr;  // out
};
struct CuptiProfiler {  // disable, start, pop
  std::size_t size = 24;
  void* reserved = nullptr;
  void* profiler = nullptr;
};
struct CuptiDataSize {
  std::size_t size = 64;
  void* reserved = nullptr;
  void* profiler = nullptr;
  const char** metrics = nullptr;
  std::size_t count = 0;
  std::size_t ranges = 1;
  std::uint32_t nodes = 1;
  std::size_t bytes = 0;  // out
};
struct CuptiDataOpen {
  std::size_t size = 40;
  void* reserved = nullptr;
  void* profiler = nullptr;
  std::size_t bytes = 0;
  std::uint8_t* image = nullptr;
};
struct CuptiSetConfig {
  std::size_t size = 90;
  void* reserved = nullptr;
  void* profiler = nullptr;
  std::size_t config_bytes = 0;
  const std::uint8_t* config = nullptr;
  std::size_t image_bytes = 0;
  std::uint8_t* image = nullptr;
  int range = 2;   // set by the caller's push and pop
  int replay = 3;  // the caller launches once a pass
  std::size_t ranges = 1;
  std::uint16_t levels = 1, least_level = 1;
  std::size_t pass = 0;
  std::uint16_t level = 1;
};
struct CuptiPush {
  std::size_t size = 32;
  void* reserved = nullptr;
  void* profiler = nullptr;
  const char* name = nullptr;
};
struct CuptiStop {
  std::size_t size = 41;
  void* reserved = nullptr;
  void* profiler = nullptr;
  std::size_t pass = 0, level = 0;  // out
  std::uint8_t all_passes = 0;      // out
};
struct CuptiDecode {
  std::size_t size = 32;
  void* reserved = nullptr;
  void* profiler = nullptr;
  std::size_t dropped = 0;  // out
};

// X(member, exported symbol, record)
#define COPPICE_CUPTI_FUNCTIONS(X)                                            \
  X(initialize, "cuptiProfilerInitialize", CuptiPlain)                        \
  X(chip_name, "cuptiDeviceGetChipName", CuptiChipName)                       \
  X(availability, "cuptiProfilerGetCounterAvailability", CuptiAvailability)   \
  X(host_open, "cuptiProfilerHostInitialize", CuptiHostOpen)                  \
  X(host_close, "cuptiProfilerHostDeinitialize", CuptiHost)                   \
  X(host_add, "cuptiProfilerHostConfigAddMetrics", CuptiHostAdd)              \
  X(config_size, "cuptiProfilerHostGetConfigImageSize", CuptiConfigSize)      \
  X(config, "cuptiProfilerHostGetConfigImage", CuptiConfig)                   \
  X(evaluate, "cuptiProfilerHostEvaluateToGpuValues", CuptiEvaluate)          \
  X(enable, "cuptiRangeProfilerEnable", CuptiEnable)                          \
  X(disable, "cuptiRangeProfilerDisable", CuptiProfiler)                      \
  X(data_size, "cuptiRangeProfilerGetCounterDataSize", CuptiDataSize)         \
  X(data_open, "cuptiRangeProfilerCounterDataImageInitialize", CuptiDataOpen) \
  X(set_config, "cuptiRangeProfilerSetConfig", CuptiSetConfig)                \
  X(start, "cuptiRangeProfilerStart", CuptiProfiler)                          \
  X(push, "cuptiRangeProfilerPushRange", CuptiPush)                           \
  X(pop, "cuptiRangeProfilerPopRange", CuptiProfiler)                         \
  X(stop, "cuptiRangeProfilerStop", CuptiStop)                                \
  X(decode, "cuptiRangeProfilerDecodeData", CuptiDecode)

struct CuptiApi {
#define COPPICE_MEMBER(member, symbol, record) int (*member)(record*) = nullptr;
  COPPICE_CUPTI_FUNCTIONS(COPPICE_MEMBER)
#undef COPPICE_MEMBER
  int (*version)(std::uint32_t*) = nullptr;
  int (*result_string)(int, const char**) = nullptr;
  std::string path;

  std::string name() const;  // "CUPTI 13.0 range profiler"
  // "enable the profiler: CUPTI_ERROR_INSUFFICIENT_PRIVILEGES", with what to do about the usual
  // ones, as an environment error; nothing when the call succeeded.
  Result<void> check(int status, const std::string& doing) const;
};

// libcupti of this machine (COPPICE_CUPTI names another file, or "off"); the library is not closed
// again. An `environment` error says in one line what is missing and how to get it.
Result<std::shared_ptr<const CuptiApi>> load_cupti();

}  // namespace coppice::evaluators::cuda
