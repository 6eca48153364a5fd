// Reads and writes how a lane was used; kernels are what the device's agent says it ran.
#include "archive/lane_use.h"

namespace coppice::archive {
namespace {

Nanoseconds nanoseconds_at(const JsonReader& json, std::string_view key) {
  const Result<std::int64_t> count = json.integer_or(key, 0);
  return Nanoseconds(count.ok() ? *count : 0);
}

double seconds_at(const JsonReader& json, std::string_view key) {
  const Result<double> seconds = json.real_or(key, 0.0);
  return seconds.ok() ? *seconds : 0.0;
}

}  // namespace

void set_lane_use(Evidence& evidence, const LaneUse& use) {
  if (evidence.validation.is_null()) {
    evidence.validation = Json::object();
  }
  evidence.validation.set("lane",
                          Json::object()
                              .set("device", use.device)
                              .set("waited_ns", use.waited.count())
                              .set("idle_ns", use.idle.count())
                              .set("loaded_ns", use.loaded.count()));
}

std::optional<LaneUse> lane_use_of(const Evidence& evidence) {
  if (evidence.validation.is_null()) {
    return std::nullopt;
  }
  const JsonReader validation = evidence.validation.reader("validation");
  const auto lane = validation.find("lane");
  if (!lane) {
    return std::nullopt;
  }
  LaneUse out;
  const Result<std::int64_t> device = lane->integer_or("device", 0);
  out.device = device.ok() ? static_cast<int>(*device) : 0;
  out.waited = nanoseconds_at(*lane, "waited_ns");
  out.idle = nanoseconds_at(*lane, "idle_ns");
  out.loaded = nanoseconds_at(*lane, "loaded_ns");
  const double kernels = seconds_at(validation, "device_span_s") +
                         seconds_at(validation, "check_s") + seconds_at(validation, "verify_s");
  out.kernels = Nanoseconds(static_cast<std::int64_t>(kernels * 1e9));
  return out;
}

}  // namespace coppice::archive
