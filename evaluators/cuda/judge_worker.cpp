// Serves the judge's requests on its own context: memory, values, expected outputs.
#include "core/random.h"
#include "evaluators/cuda/judge.h"
#include "evaluators/cuda/launch.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

namespace coppice::evaluators::cuda {
namespace {

constexpr double kNormalUnit = 37837.227;  // evaluators/values.h

std::uint64_t bits_of(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace

Result<void> Judge::start(WireWriter& out) {
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(Device device, Device::open(setup_.device));
  device_.emplace(std::move(device));
  COPPICE_TRY(trusted_, device_->load(setup_.trusted_cubin));
  out.text(to_json(device_->facts()).dump());
  out.put(to_seconds(std::chrono::steady_clock::now() - begin));
  return {};
}

Result<Function> Judge::kernel(const char* name) {
  Function out = nullptr;
  COPPICE_TRY_VOID(
      check(device_->api(), device_->api().module_function(&out, trusted_, name), name));
  return out;
}

Result<DevicePtr> Judge::scratch(std::uint64_t bytes) {
  if (bytes > scratch_bytes_) {
    if (scratch_ != 0) {
      device_->api().release(scratch_);
    }
    scratch_bytes_ = round_up(bytes, kRegionUnit);
    COPPICE_TRY(scratch_, device_->allocate(scratch_bytes_));
  }
  return scratch_;
}

Result<OpenWorkload*> Judge::workload(WireReader& in) {
  const auto index = in.get<std::uint64_t>();
  if (!in.ok() || index >= open_.size() || !open_[index]) {
    return Error{ErrorCode::corrupt, "judge: workload " + std::to_string(index) + " is not open"};
  }
  return &*open_[index];
}

// All that lies between tensors holds the poison: a read outside gives NaN, a write is seen.
Result<void> Judge::poison_inputs(const OpenWorkload& w) {
  return device_->fill(w.inputs, kPoison, w.setup->layout.inputs_bytes);
}

Result<void> Judge::open(WireReader& in, WireWriter& out) {
  const auto index = in.get<std::uint64_t>();
  if (!in.ok() || index >= open_.size()) {
    return Error{ErrorCode::corrupt, "judge: no workload " + std::to_string(index)};
  }
  const DriverApi& api = device_->api();
  OpenWorkload w;
  w.setup = &setup_.workloads[index];
  const WorkloadLayout& layout = w.setup->layout;
  COPPICE_TRY(w.inputs, device_->allocate(layout.inputs_bytes));
  COPPICE_TRY(w.outputs, device_->allocate(layout.outputs_bytes));
  COPPICE_TRY_VOID(poison_inputs(w));
  COPPICE_TRY_VOID(device_->fill(w.outputs, kPoison, layout.outputs_bytes));
  for (const TensorInfo& tensor : layout.tensors) {
    if (tensor.role == TensorRole::output) {
      const std::uint64_t width = size_of(expected_type(tensor.dtype));
      w.expected_places[tensor.name] = {w.expected_stride, tensor.elements * width};
      w.expected_stride += round_up(tensor.elements * width, 256);
    } else if (tensor.role == TensorRole::structure) {
      const auto bytes = w.setup->structure.find(tensor.name);
      if (bytes == w.setup->structure.end() || bytes->second.size() != tensor.bytes) {
        return Error{
            ErrorCode::config,
            "judge: structure tensor " + tensor.name + " has not the size that the contract says"};
      }
      COPPICE_TRY_VOID(device_->upload(w.inputs + tensor.offset, bytes->second));
    }
  }
  COPPICE_TRY(w.expected,
              device_->allocate(round_up(w.expected_stride * layout.sets, kRegionUnit)));
  COPPICE_TRY(w.reference, device_->load(w.setup->reference_cubin));
  COPPICE_TRY(w.reference_workspace,
              device_->allocate(workspace_layout(w.setup->reference, 0).bytes));
  COPPICE_TRY_VOID(device_->wait());
  IpcHandle inputs, outputs;
  COPPICE_TRY_VOID(check(api, api.ipc_handle(&inputs, w.inputs), "share the inputs"));
  COPPICE_TRY_VOID(check(api, api.ipc_handle(&outputs, w.outputs), "share the outputs"));
  out.put(inputs).put(outputs);
  open_[index] = std::move(w);
  return {};
}

Result<void> Judge::draw(WireReader& in, WireWriter& out) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  const auto set = in.get<std::uint64_t>();
  const auto seed = in.get<std::uint64_t>();
  const std::vector<DrawFill> fills = in.list<DrawFill>();
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(const Function draw_kernel, kernel("coppice_draw"));
  std::size_t value = 0;
  for (const TensorInfo& tensor : w->setup->layout.tensors) {
    if (tensor.role != TensorRole::value) {
      continue;
    }
    if (!in.ok() || value >= fills.size() || set >= w->setup->layout.sets) {
      return Error{ErrorCode::corrupt, "judge: draw: too few fills or no such set"};
    }
    const DrawFill& fill = fills[value++];
    const double scale = fill.kind == 0 ? fill.scale / kNormalUnit : fill.scale;
    const unsigned grid[3] = {static_cast<unsigned>(std::min<std::uint64_t>(
                                  std::max<std::uint64_t>(tensor.elements / 2048, 1), 8192)),
                              1,
                              1};
    COPPICE_TRY_VOID(device_->launch(draw_kernel,
                                     grid,
                                     256,
                                     {w->inputs + w->setup->layout.input_offset(tensor, set),
                                      tensor.elements,
                                      static_cast<std::uint64_t>(tensor.dtype),
                                      static_cast<std::uint64_t>(fill.kind),
                                      mix64(seed ^ hash_text(tensor.name)),
                                      bits_of(static_cast<float>(scale)),
                                      bits_of(static_cast<float>(fill.offset))}));
  }
  COPPICE_TRY_VOID(device_->wait());
  w->digest_known = false;
  out.put(to_seconds(std::chrono::steady_clock::now() - begin));
  return {};
}

Result<void> Judge::expect(WireReader& in, WireWriter& out) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  const auto set = in.get<std::uint64_t>();
  const WorkloadLayout& layout = w->setup->layout;
  if (!in.ok() || set >= layout.sets) {
    return Error{ErrorCode::corrupt, "judge: expect: no such set"};
  }
  Bindings bindings;
  for (const TensorInfo& tensor : layout.tensors) {
    const bool output = tensor.role == TensorRole::output;
    bindings.tensors[tensor.name] =
        output ? w->expected + set * w->expected_stride + w->expected_places[tensor.name].first
               : w->inputs + layout.input_offset(tensor, set);
    bindings.tensor_bytes[tensor.name] =
        output ? w->expected_places[tensor.name].second : tensor.bytes;
  }
  for (const auto& [name, offset] : workspace_layout(w->setup->reference, 0).offsets) {
    bindings.workspace[name] = w->reference_workspace + offset;
  }
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(std::vector<LaunchCall> calls, translate(w->setup->reference, bindings));
  COPPICE_TRY(const PlanLauncher plan,
              PlanLauncher::create(device_->api(), w->reference, std::move(calls)));
  COPPICE_TRY_VOID(
      check(device_->api(), plan.enqueue(device_->api(), device_->stream()), "reference"));
  COPPICE_TRY_VOID(device_->wait());
  out.put(to_seconds(std::chrono::steady_clock::now() - begin));
  return {};
}

Result<void> Judge::read(WireReader& in, WireWriter& out) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  const auto set = in.get<std::uint64_t>();
  const std::string name = in.text();
  const bool expected = in.get<std::uint8_t>() != 0;
  const TensorInfo* tensor = w->setup->layout.find(name);
  if (!in.ok() || tensor == nullptr || set >= w->setup->layout.sets) {
    return Error{ErrorCode::corrupt, "judge: read: no tensor " + name};
  }
  if (expected) {
    const auto& [offset, bytes] = w->expected_places[name];
    COPPICE_TRY(std::string data,
                device_->download(w->expected + set * w->expected_stride + offset, bytes));
    out.text(data);
    return {};
  }
  const DevicePtr at = tensor->role == TensorRole::output
                           ? w->outputs + w->setup->layout.output_offset(*tensor, set)
                           : w->inputs + w->setup->layout.input_offset(*tensor, set);
  COPPICE_TRY(std::string data, device_->download(at, tensor->bytes));
  out.text(data);
  return {};
}

Result<void> Judge::write(WireReader& in) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  const auto set = in.get<std::uint64_t>();
  const std::string name = in.text();
  const std::string bytes = in.text();
  const TensorInfo* tensor = w->setup->layout.find(name);
  if (!in.ok() || tensor == nullptr || tensor->role == TensorRole::output ||
      bytes.size() != tensor->bytes || set >= w->setup->layout.sets) {
    return Error{ErrorCode::corrupt, "judge: write: no tensor " + name + " of that size"};
  }
  w->digest_known = false;
  return device_->upload(w->inputs + w->setup->layout.input_offset(*tensor, set), bytes);
}

Result<void> Judge::workspace(WireReader& in, WireWriter& out) {
  const auto slot = in.get<std::uint64_t>();
  const std::uint64_t bytes =
      round_up(std::max<std::uint64_t>(in.get<std::uint64_t>(), 1), kRegionUnit);
  if (!in.ok() || slot >= workspaces_.size()) {
    return Error{ErrorCode::corrupt, "judge: workspace: no such slot"};
  }
  Workspace& workspace = workspaces_[slot];
  if (bytes > workspace.bytes) {
    if (workspace.at != 0) {
      device_->api().release(workspace.at);
      workspace = {};
    }
    COPPICE_TRY(workspace.at, device_->allocate(bytes));
    workspace.bytes = bytes;
  }
  COPPICE_TRY_VOID(device_->fill(workspace.at, kPoison, workspace.bytes));
  COPPICE_TRY_VOID(device_->wait());
  IpcHandle handle;
  COPPICE_TRY_VOID(check(
      device_->api(), device_->api().ipc_handle(&handle, workspace.at), "share the workspace"));
  out.put(handle);
  return {};
}

Result<void> Judge::arm(WireReader& in) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  COPPICE_TRY_VOID(device_->fill(w->outputs, kPoison, w->setup->layout.outputs_bytes));
  return device_->wait();
}

Result<void> Judge::close(WireReader& in) {
  const auto index = in.get<std::uint64_t>();
  if (index < open_.size() && open_[index]) {
    const OpenWorkload& w = *open_[index];
    const DriverApi& api = device_->api();
    for (const DevicePtr at : {w.inputs, w.outputs, w.expected, w.reference_workspace}) {
      api.release(at);
    }
    api.module_unload(w.reference);
    open_[index].reset();
  }
  return {};
}

Result<void> Judge::serve(JudgeRequest request, WireReader& in, WireWriter& out) {
  if (request != JudgeRequest::start && !device_) {
    return Error{ErrorCode::corrupt, "judge: not started"};
  }
  switch (request) {
    case JudgeRequest::start:
      return start(out);
    case JudgeRequest::open:
      return open(in, out);
    case JudgeRequest::draw:
      return draw(in, out);
    case JudgeRequest::expect:
      return expect(in, out);
    case JudgeRequest::read:
      return read(in, out);
    case JudgeRequest::write:
      return write(in);
    case JudgeRequest::workspace:
      return workspace(in, out);
    case JudgeRequest::arm:
      return arm(in);
    case JudgeRequest::check:
      return check_outputs(in, out);
    case JudgeRequest::verify:
      return verify(in, out);
    case JudgeRequest::canary:
      return canary(out);
    case JudgeRequest::stream:
      return stream(in, out);
    case JudgeRequest::close:
      return close(in);
  }
  return Error{ErrorCode::corrupt, "judge: unknown request"};
}

WorkerHandler make_judge(const JudgeSetup& setup) {
  auto judge = std::make_shared<Judge>(setup);
  return [judge](std::uint32_t request, std::string_view payload, std::string& reply) {
    WireReader in(payload);
    WireWriter out;
    const Result<void> done = judge->serve(static_cast<JudgeRequest>(request), in, out);
    WireWriter head;
    head.put(done.ok() ? WorkerStatus::ok : WorkerStatus::failed);
    reply = head.take() + (done.ok() ? out.take() : WireWriter().text(done.error().message).take());
    return true;
  };
}

}  // namespace coppice::evaluators::cuda
