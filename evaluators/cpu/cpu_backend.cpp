// DeviceBackend over a CpuSession.

#include "evaluators/cpu/cpu_backend.h"

#include "evaluators/cpu/examination.h"
#include "evaluators/cpu/session.h"

#include <algorithm>
#include <cmath>

namespace coppice::evaluators::cpu {
namespace {

// What starting and ending a launch costs when there is nothing to do: the floor of every timing;
// and how much that varies: their resolution.
Result<void> time_empty_launches(CpuSession& s) {
  COPPICE_TRY(const SharedMemory nothing, SharedMemory::create("nothing", kPageBytes));
  CandidateStart start;  // no tensors, no steps, no binary
  start.threads = s.threads;
  Launch outcome;
  COPPICE_TRY(Runner runner,
              s.launcher->launch(start, {nothing.fd(), nothing.fd(), -1, nothing.fd()}, outcome));
  std::vector<double> times;
  for (int i = 0; i < 41; ++i) {
    const Launch launch = runner.launch(0, 0, std::chrono::seconds(5));
    if (!launch.ok()) {
      return Error{ErrorCode::environment, "empty launch: " + launch.message};
    }
    times.push_back(to_seconds(launch.elapsed));
  }
  const Spread all = spread(times);
  s.ceilings.launch_floor = all.median;
  constexpr double kFinest = 200e-9;  // no clock is asked for less
  constexpr double kCoarsest = 5e-6;  // a machine busy just now must not excuse what comes later
  s.launch_resolution = std::clamp(0.5 * (all.p90 - all.p10), kFinest, kCoarsest);
  return {};
}

class CpuBackend final : public DeviceBackend {
 public:
  Json probe() override {
    Json out = Json::object();
    out.set("backend", "cpu").set("machine", to_json(look_at_machine()));
    if (session_) {
      out.set("ceilings", to_json(session_->ceilings)).set("threads", session_->threads);
      out.set("ceiling_measurements", session_->ceiling_measurements);
      out.set("toolchain", session_->toolchain->version());
      out.set("isolation", to_text(session_->launcher->level()));
    } else {
      const Machine machine = look_at_machine();
      out.set("ceilings", to_json(measure_ceilings(machine)));
      auto launcher = CandidateLauncher::start();
      out.set("isolation", launcher.ok() ? to_text(launcher->level()) : "none");
      auto toolchain = HostToolchain::open({});
      out.set("toolchain", toolchain.ok() ? (*toolchain)->version() : "");
    }
    return out;
  }

  Result<void> open(DeviceSession session, std::stop_token stop) override {
    session_.reset();
    COPPICE_TRY(session_, open_session(std::move(session), std::move(stop)));
    return time_empty_launches(*session_);
  }

  Result<std::map<std::string, ValueMap>> host_scalars() override {
    COPPICE_TRY_VOID(need());
    return session_->scalars;
  }

  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override {
    COPPICE_TRY_VOID(need());
    COPPICE_TRY_VOID(freeze(*session_, std::move(stop)));
    return session_->frozen;
  }

  Result<void> adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                               std::stop_token stop) override {
    COPPICE_TRY_VOID(need());
    return adopt(*session_, frozen, std::move(stop));
  }

  Result<Evidence> evaluate(const DeviceTask& task, std::stop_token stop) override {
    COPPICE_TRY_VOID(need());
    return Examination(*session_, task, std::move(stop)).run();
  }

 private:
  Result<void> need() const {
    return session_ ? Result<void>() : Error{ErrorCode::usage, "cpu backend: open a session first"};
  }
  std::unique_ptr<CpuSession> session_;
};

}  // namespace

std::unique_ptr<DeviceBackend> make_cpu_backend() {
  return std::make_unique<CpuBackend>();
}

}  // namespace coppice::evaluators::cpu
