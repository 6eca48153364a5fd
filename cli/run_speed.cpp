// Sums over a run's attempts.
#include "cli/run_speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace coppice::cli {

RunSpeed run_speed(const archive::RunFold& fold) {
  RunSpeed out;
  std::set<CandidateId> candidates;
  Nanoseconds last{}, loaded{}, device{}, kernels{}, idle{}, compile{};
  std::int64_t tried = 0, valid = 0;
  bool kernels_known = false;
  for (const archive::Attempt& attempt : fold.attempts()) {
    if (attempt.proposal.fidelity != Fidelity::search || !attempt.evidence) {
      continue;
    }
    const Evidence& evidence = *attempt.evidence;
    candidates.insert(attempt.proposal.candidate);
    last = std::max(last, attempt.at);
    compile += evidence.cost.compile;
    ++tried;
    valid += attempt.valid() ? 1 : 0;
    if (attempt.lane) {
      const archive::LaneUse& use = *attempt.lane;
      loaded += use.loaded;
      device += std::min(evidence.cost.device, use.loaded);
      kernels += use.kernels;
      idle += use.idle;
      kernels_known = kernels_known || use.kernels.count() > 0;
      ++out.by_device[use.device];
    }
  }
  out.distinct = static_cast<std::int64_t>(candidates.size());
  // A run that ends before its first tick has no running time of its own.
  out.seconds = to_seconds(last.count() > 0 ? last : fold.written() - fold.began());
  out.per_hour = out.seconds > 0 ? 3600.0 * static_cast<double>(out.distinct) / out.seconds : 0.0;
  out.valid_share = tried > 0 ? static_cast<double>(valid) / static_cast<double>(tried) : 0.0;
  out.idle_seconds = to_seconds(idle);
  out.compile_seconds = to_seconds(compile);
  if (loaded.count() > 0) {
    out.busy_share = to_seconds(device) / to_seconds(loaded);
    if (kernels_known) {
      out.kernel_share = to_seconds(kernels) / to_seconds(loaded);
    }
  }
  return out;
}

Json to_json(const RunSpeed& speed) {
  const auto share = [](const std::optional<double>& number) {
    return number ? Json(*number) : Json();
  };
  Json devices = Json::object();
  for (const auto& [device, attempts] : speed.by_device) {
    devices.set(std::to_string(device), attempts);
  }
  return Json::object()
      .set("distinct", speed.distinct)
      .set("seconds", speed.seconds)
      .set("per_hour", speed.per_hour)
      .set("valid_share", speed.valid_share)
      .set("busy_share", share(speed.busy_share))
      .set("kernel_share", share(speed.kernel_share))
      .set("idle_seconds", speed.idle_seconds)
      .set("compile_seconds", speed.compile_seconds)
      .set("by_device", std::move(devices));
}

std::string text_of(const RunSpeed& speed) {
  if (speed.distinct == 0) {
    return "";
  }
  std::string out = fmt::format(
      "{:.0f} candidates an hour, {:.0f} % valid", speed.per_hour, 100.0 * speed.valid_share);
  if (speed.busy_share) {
    out += fmt::format("; with compiled work on hand the device was busy {:.0f} % of the time",
                       100.0 * *speed.busy_share);
  }
  if (speed.kernel_share) {
    out += fmt::format(", kernels ran {:.0f} %", 100.0 * *speed.kernel_share);
  }
  return out + "\n";
}

}  // namespace coppice::cli
