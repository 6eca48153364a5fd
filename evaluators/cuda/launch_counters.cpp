// The L2 is emptied by reading: what a memset leaves dirty there would be written during the launch
// and be counted as the candidate's.
#include "evaluators/cuda/launch_counters.h"

#include "evaluators/cuda/jail.h"
#include "evaluators/cuda/worker_process.h"

#include <algorithm>

namespace coppice::evaluators::cuda {

Result<std::unique_ptr<LaunchCounters>> LaunchCounters::open(const Device& device,
                                                             const std::string& trusted_cubin) {
  std::unique_ptr<LaunchCounters> out(new LaunchCounters(device));
  COPPICE_TRY(std::shared_ptr<const CuptiApi> cupti, load_cupti());
  out->name_ = cupti->name();
  COPPICE_TRY(const Module trusted, device.load(trusted_cubin));
  COPPICE_TRY_VOID(check(device.api(),
                         device.api().module_function(&out->digest_, trusted, "coppice_digest"),
                         "coppice_digest"));
  out->scrub_bytes_ =
      2 * static_cast<std::uint64_t>(std::max<std::int64_t>(device.facts().l2_bytes, 1 << 20));
  COPPICE_TRY(out->scrub_, device.allocate(out->scrub_bytes_ + 256));
  COPPICE_TRY_VOID(device.fill(out->scrub_, 0x5a, out->scrub_bytes_ + 256));
  COPPICE_TRY_VOID(device.wait());
  COPPICE_TRY(
      out->profiler_,
      RangeProfiler::open(std::move(cupti), device.context(), device.ordinal(), counter_metrics()));
  return out;
}

std::string LaunchCounters::source() const {
  return name_;
}

Result<void> LaunchCounters::scrub_l2() const {
  const unsigned grid[3] = {
      static_cast<unsigned>(8 * std::max<std::int64_t>(device_.facts().multiprocessors, 1)), 1, 1};
  return device_.launch(digest_, grid, 256, {scrub_, scrub_bytes_ / 16, scrub_ + scrub_bytes_});
}

Result<WorkloadCounters> LaunchCounters::read(const std::function<Result<void>()>& prepare,
                                              const std::function<Result<void>()>& launch) {
  RangeProfiler::Work work;
  work.before = [&]() -> Result<void> {
    COPPICE_TRY_VOID(prepare());
    COPPICE_TRY_VOID(scrub_l2());
    return device_.wait();
  };
  work.launch = [&]() -> Result<void> {
    COPPICE_TRY_VOID(launch());
    return device_.wait();
  };
  COPPICE_TRY(const RangeProfiler::Reading reading, profiler_->read(work));
  WorkloadCounters out = counters_of(reading.values);
  out.passes = reading.passes;
  return out;
}

Result<std::string> probe_counters(int ordinal) {
  const auto make = [ordinal]() -> WorkerHandler {
    return [ordinal](std::uint32_t, std::string_view, std::string& reply) {
      const auto found = [ordinal]() -> Result<std::string> {
        bound_process();
        COPPICE_TRY(const std::shared_ptr<const CuptiApi> cupti, load_cupti());
        COPPICE_TRY(const Device device, Device::open(ordinal));
        COPPICE_TRY([[maybe_unused]] const std::unique_ptr<RangeProfiler> profiler,
                    RangeProfiler::open(cupti, device.context(), ordinal, counter_metrics()));
        return cupti->name();
      }();
      reply = found.ok() ? *found : "!" + found.error().message;
      return false;
    };
  };
  COPPICE_TRY(WorkerProcess process, WorkerProcess::start("coppice-count", make));
  const WorkerReply reply = process.call(0, "", std::chrono::seconds(30));
  if (reply.outcome != WorkerReply::Outcome::answered) {
    return Error{ErrorCode::environment, "the profiler's process: " + reply.detail};
  }
  if (reply.payload.empty() || reply.payload.front() == '!') {
    return Error{ErrorCode::environment,
                 reply.payload.empty() ? "no answer" : reply.payload.substr(1)};
  }
  return reply.payload;
}

}  // namespace coppice::evaluators::cuda
