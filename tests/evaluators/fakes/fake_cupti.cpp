// A libcupti whose counters are known: a range profiler that insists on its order of calls.
// FAKE_CUPTI="enable=35": that call is refused with that status. FAKE_CUPTI_LACKS=NAME: a counter
// that the chip does not have; as in the real one, asking for it spoils the host object.
#include "evaluators/cuda/cupti_api.h"

#include <cstdlib>
#include <cstring>
#include <string>

using namespace coppice::evaluators::cuda;

namespace {

enum class At { idle, started, pushed, popped };
At at = At::idle;
int passes = 0;
constexpr int kPasses = 3;
constexpr int kInvalid = 1;

struct FakeHost {
  bool spoilt = false;
};

int refused(const char* call) {
  const char* wanted = std::getenv("FAKE_CUPTI");
  const std::string name = std::string(call) + "=";
  return wanted != nullptr && std::strncmp(wanted, name.c_str(), name.size()) == 0
             ? std::atoi(wanted + name.size())
             : 0;
}

int move(At from, At to) {
  const bool right = at == from;
  at = to;
  return right ? 0 : kInvalid;
}

double value_of(const char* metric) {
  const std::string name = metric;
  if (name == "dram__bytes_read.sum") {
    return 4096e6;
  }
  if (name == "smsp__warps_active.sum") {
    return 1000;
  }
  if (name == "smsp__warps_issue_stalled_long_scoreboard.sum") {
    return 600;
  }
  if (name == "smsp__warps_issue_stalled_barrier.sum") {
    return 250;
  }
  return name.find(".pct") != std::string::npos ? 25.0 : 1.0;
}

}  // namespace

extern "C" {
int cuptiGetVersion(std::uint32_t* out) {
  *out = 130001;
  return 0;
}
int cuptiGetResultString(int status, const char** out) {
  *out = status == 35 ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES" : "CUPTI_ERROR_INVALID_PARAMETER";
  return 0;
}
int cuptiProfilerInitialize(CuptiPlain*) {
  return refused("initialize");
}
int cuptiDeviceGetChipName(CuptiChipName* record) {
  record->name = "FAKE100";
  return 0;
}
int cuptiProfilerGetCounterAvailability(CuptiAvailability* record) {
  record->bytes = 16;
  return 0;
}
int cuptiProfilerHostInitialize(CuptiHostOpen* record) {
  record->host = new FakeHost;
  return 0;
}
int cuptiProfilerHostDeinitialize(CuptiHost* record) {
  delete static_cast<FakeHost*>(record->host);
  return 0;
}
int cuptiProfilerHostConfigAddMetrics(CuptiHostAdd* record) {
  auto* host = static_cast<FakeHost*>(record->host);
  const char* lacks = std::getenv("FAKE_CUPTI_LACKS");
  for (std::size_t i = 0; i < record->count; ++i) {
    host->spoilt =
        host->spoilt || (lacks != nullptr && std::strcmp(record->metrics[i], lacks) == 0);
  }
  return host->spoilt ? kInvalid : 0;
}
int cuptiProfilerHostGetConfigImageSize(CuptiConfigSize* record) {
  record->bytes = 8;
  return static_cast<FakeHost*>(record->host)->spoilt ? kInvalid : 0;
}
int cuptiProfilerHostGetConfigImage(CuptiConfig* record) {
  return static_cast<FakeHost*>(record->host)->spoilt ? kInvalid : 0;
}
int cuptiProfilerHostEvaluateToGpuValues(CuptiEvaluate* record) {
  for (std::size_t i = 0; i < record->count; ++i) {
    record->values[i] = value_of(record->metrics[i]);
  }
  return passes == kPasses ? 0 : kInvalid;
}
int cuptiRangeProfilerEnable(CuptiEnable* record) {
  record->profiler = &at;
  return refused("enable");
}
int cuptiRangeProfilerDisable(CuptiProfiler*) {
  return 0;
}
int cuptiRangeProfilerGetCounterDataSize(CuptiDataSize* record) {
  record->bytes = 32;
  return 0;
}
int cuptiRangeProfilerCounterDataImageInitialize(CuptiDataOpen*) {
  return 0;
}
int cuptiRangeProfilerSetConfig(CuptiSetConfig* record) {
  passes = 0;
  return record->range == 2 && record->replay == 3 && record->config_bytes == 8 ? 0 : kInvalid;
}
int cuptiRangeProfilerStart(CuptiProfiler*) {
  return move(At::idle, At::started);
}
int cuptiRangeProfilerPushRange(CuptiPush*) {
  return move(At::started, At::pushed);
}
int cuptiRangeProfilerPopRange(CuptiProfiler*) {
  return move(At::pushed, At::popped);
}
int cuptiRangeProfilerStop(CuptiStop* record) {
  record->all_passes = ++passes == kPasses ? 1 : 0;
  return move(At::popped, At::idle);
}
int cuptiRangeProfilerDecodeData(CuptiDecode*) {
  return refused("decode");
}
}
