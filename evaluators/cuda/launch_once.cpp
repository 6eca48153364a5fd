// Allocations lie apart: what is between them is free memory, so that every access beside a tensor
// is one outside of all allocations.
#include "evaluators/cuda/launch_once.h"

#include "evaluators/cuda/device.h"
#include "evaluators/cuda/jail.h"
#include "evaluators/cuda/launch.h"
#include "evaluators/cuda/layout.h"
#include "evaluators/cuda/wire.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace coppice::evaluators::cuda {
namespace {

constexpr std::uint64_t kLaunchOnceMagic = 0x31656e6f2d6e616cull;

class Allocations {
 public:
  explicit Allocations(const Device& device) : device_(device) {}

  // Exactly `bytes` long, with spacers around it.
  Result<DevicePtr> take(std::uint64_t bytes) {
    COPPICE_TRY_VOID(spacer());
    COPPICE_TRY(const DevicePtr out, exactly(std::max<std::uint64_t>(bytes, 1)));
    COPPICE_TRY_VOID(spacer());
    return out;
  }
  void free_spacers() {
    for (const DevicePtr at : spacers_) {
      device_.api().release(at);
    }
    spacers_.clear();
  }

 private:
  Result<void> spacer() {
    COPPICE_TRY(const DevicePtr at, exactly(kGuardBytes));
    spacers_.push_back(at);
    return {};
  }
  Result<DevicePtr> exactly(std::uint64_t bytes) {
    DevicePtr out = 0;
    COPPICE_TRY_VOID(check(device_.api(),
                           device_.api().allocate(&out, bytes),
                           "allocate " + std::to_string(bytes) + " bytes"));
    return out;
  }
  const Device& device_;
  std::vector<DevicePtr> spacers_;
};

Result<void> place_tensors(const Device& device,
                           const LaunchOnce& launch,
                           Allocations& memory,
                           Bindings& bindings) {
  for (const LaunchOnceTensor& tensor : launch.tensors) {
    COPPICE_TRY(const DevicePtr at, memory.take(tensor.bytes));
    bindings.tensors[tensor.name] = at;
    bindings.tensor_bytes[tensor.name] = tensor.bytes;
    COPPICE_TRY_VOID(tensor.output ? device.fill(at, kPoison, tensor.bytes)
                                   : device.upload(at, tensor.content));
  }
  for (const auto& [name, bytes] : launch.plan.workspace) {
    const auto size = static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0));
    COPPICE_TRY(bindings.workspace[name], memory.take(size));
    COPPICE_TRY_VOID(device.fill(bindings.workspace[name], kPoison, size));
  }
  return device.wait();
}

// Everything is loaded and in place before the first kernel runs: from then on no file, process or
// connection can be opened.
Result<void> launch_all(const LaunchJob& job) {
  bound_process();
  COPPICE_TRY(const Device device, Device::open(job.device));
  Allocations memory(device);
  std::vector<PlanLauncher> plans;
  for (const LaunchOnce& launch : job.launches) {
    COPPICE_TRY(const Module module, device.load(launch.binary));
    Bindings bindings;
    COPPICE_TRY_VOID(place_tensors(device, launch, memory, bindings));
    COPPICE_TRY(std::vector<LaunchCall> calls, translate(launch.plan, bindings));
    COPPICE_TRY(PlanLauncher plan, PlanLauncher::create(device.api(), module, std::move(calls)));
    plans.push_back(std::move(plan));
  }
  memory.free_spacers();
  forbid_system_calls(JailKind::candidate);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    std::fprintf(stderr, "%s%s\n", kLaunchSaid, job.launches[i].workload.c_str());
    COPPICE_TRY_VOID(
        check(device.api(), plans[i].enqueue(device.api(), device.stream()), "launch"));
    COPPICE_TRY_VOID(device.wait());
  }
  return {};
}

LaunchOnce read_launch(WireReader& in, std::string& plan) {
  LaunchOnce out;
  out.workload = in.text();
  out.binary = in.text();
  plan = in.text();
  const auto count = in.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    LaunchOnceTensor tensor;
    tensor.name = in.text();
    tensor.output = in.get<std::uint8_t>() != 0;
    tensor.bytes = in.get<std::uint64_t>();
    tensor.content = in.text();
    out.tensors.push_back(std::move(tensor));
  }
  return out;
}

}  // namespace

std::string encode(const LaunchJob& job) {
  WireWriter out;
  out.put(kLaunchOnceMagic).put<std::int64_t>(job.device);
  out.put<std::uint64_t>(job.launches.size());
  for (const LaunchOnce& launch : job.launches) {
    out.text(launch.workload).text(launch.binary).text(to_json(launch.plan).dump());
    out.put<std::uint64_t>(launch.tensors.size());
    for (const LaunchOnceTensor& tensor : launch.tensors) {
      out.text(tensor.name).put<std::uint8_t>(tensor.output ? 1 : 0).put(tensor.bytes);
      out.text(tensor.content);
    }
  }
  return out.take();
}

Result<LaunchJob> decode_launch_job(std::string_view bytes) {
  WireReader in(bytes);
  LaunchJob out;
  const bool ours = in.get<std::uint64_t>() == kLaunchOnceMagic;
  out.device = static_cast<int>(in.get<std::int64_t>());
  const auto count = in.get<std::uint64_t>();
  std::vector<std::string> plans;
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    out.launches.push_back(read_launch(in, plans.emplace_back()));
  }
  if (!ours || !in.at_end()) {
    return Error{ErrorCode::corrupt, "launch-once: not a job, or a torn one"};
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    COPPICE_TRY(const Json json, Json::parse(plans[i], "plan"));
    COPPICE_TRY(out.launches[i].plan, resolved_plan(json.reader("plan")));
    for (const LaunchOnceTensor& tensor : out.launches[i].tensors) {
      if (!tensor.output && tensor.content.size() != tensor.bytes) {
        return Error{ErrorCode::corrupt, tensor.name + ": content is not its size"};
      }
    }
  }
  return out;
}

int run_launch_once(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const Result<LaunchJob> job = decode_launch_job(bytes);
  const Result<void> done = job.ok() ? launch_all(*job) : Result<void>(job.error());
  if (!done.ok()) {
    std::fprintf(stderr, "launch-once: %s\n", done.error().message.c_str());
    return 3;
  }
  return 0;
}

}  // namespace coppice::evaluators::cuda
