// Plans launched once each in a program of their own, for tools that watch a whole program: no
// judge, no shared memory; each tensor is an allocation of exactly its size.
#pragma once

#include "core/plan.h"
#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cuda {

inline constexpr const char* kLaunchSaid = "launch-once: workload ";

struct LaunchOnceTensor {
  std::string name;
  bool output = false;
  std::uint64_t bytes = 0;
  std::string content;  // of inputs
};

struct LaunchOnce {
  std::string workload;
  std::string binary;
  ResolvedPlan plan;
  std::vector<LaunchOnceTensor> tensors;
};

struct LaunchJob {
  int device = 0;
  std::vector<LaunchOnce> launches;
};

std::string encode(const LaunchJob& job);
Result<LaunchJob> decode_launch_job(std::string_view bytes);

// The hidden subcommand "launch-once FILE": says "launch-once: workload W" on stderr before each. 0
// when all came to their end, 3 with a line on stderr when one did not.
int run_launch_once(const std::string& file);

}  // namespace coppice::evaluators::cuda
