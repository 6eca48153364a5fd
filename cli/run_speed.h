// run_speed: how fast a run tried candidates and how well it used its devices, from its log.
#pragma once

#include "archive/run_fold.h"
#include "core/json.h"

#include <map>
#include <optional>
#include <string>

namespace coppice::cli {

// Of the attempts at search fidelity.
struct RunSpeed {
  std::int64_t distinct = 0;  // candidates
  double seconds = 0.0;       // running time until the last of them had its result
  double per_hour = 0.0;      // distinct candidates
  double valid_share = 0.0;
  // Of the time in which a device had compiled work on hand: that in which its agent measured, and
  // that in which kernels ran (launches, flushes, the judge's). Absent where the log does not say.
  std::optional<double> busy_share, kernel_share;
  double idle_seconds = 0.0;                // devices without compiled work, all together
  double compile_seconds = 0.0;             // all compilers together
  std::map<int, std::int64_t> by_device{};  // attempts that each device measured
};

RunSpeed run_speed(const archive::RunFold& fold);
Json to_json(const RunSpeed& speed);
std::string text_of(const RunSpeed& speed);  // one line; empty where nothing was tried

}  // namespace coppice::cli
