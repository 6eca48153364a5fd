// The judge's state and requests, inside its process (see judge_worker.h for the protocol).
#pragma once

#include "evaluators/cuda/device.h"
#include "evaluators/cuda/judge_worker.h"
#include "evaluators/cuda/layout.h"
#include "evaluators/cuda/wire.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace coppice::evaluators::cuda {

struct OpenWorkload {
  const JudgeWorkload* setup = nullptr;
  DevicePtr inputs = 0, outputs = 0, expected = 0, reference_workspace = 0;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>, std::less<>>
      expected_places;  // output name to (offset, stride between sets)
  std::uint64_t expected_stride = 0;
  Module reference = nullptr;
  std::uint64_t digest = 0;
  bool digest_known = false;
};

class Judge {
 public:
  explicit Judge(const JudgeSetup& setup) : setup_(setup), open_(setup.workloads.size()) {}

  Result<void> serve(JudgeRequest request, WireReader& in, WireWriter& out);

 private:
  Result<void> start(WireWriter& out);
  Result<void> open(WireReader& in, WireWriter& out);
  Result<void> draw(WireReader& in, WireWriter& out);
  Result<void> expect(WireReader& in, WireWriter& out);
  Result<void> read(WireReader& in, WireWriter& out);
  Result<void> write(WireReader& in);
  Result<void> workspace(WireReader& in, WireWriter& out);
  Result<void> arm(WireReader& in);
  Result<void> check_outputs(WireReader& in, WireWriter& out);
  Result<void> verify(WireReader& in, WireWriter& out);
  Result<void> canary(WireWriter& out);
  Result<void> stream(WireReader& in, WireWriter& out);
  Result<void> close(WireReader& in);

  Result<OpenWorkload*> workload(WireReader& in);
  Result<Function> kernel(const char* name);
  Result<DevicePtr> scratch(std::uint64_t bytes);
  Result<std::uint64_t> damaged(const std::vector<GuardRange>& ranges);
  Result<std::uint64_t> digest(const OpenWorkload& w);
  std::vector<GuardRange> guards(const OpenWorkload& w, bool outputs) const;
  Result<void> poison_inputs(const OpenWorkload& w);
  Result<void> compare_one(const OpenWorkload& w,
                           const TensorInfo& tensor,
                           const DeviceTolerance& limit,
                           std::uint64_t slots,
                           DevicePtr sets,
                           DevicePtr results);

  JudgeSetup setup_;
  std::optional<Device> device_;
  Module trusted_ = nullptr;
  std::vector<std::optional<OpenWorkload>> open_;
  DevicePtr scratch_ = 0;
  std::uint64_t scratch_bytes_ = 0;
  struct Workspace {
    DevicePtr at = 0;
    std::uint64_t bytes = 0;
  };
  std::array<Workspace, 2> workspaces_;  // the candidate's, the baseline's
};

}  // namespace coppice::evaluators::cuda
