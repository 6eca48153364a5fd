// Serves a candidate's requests: everything is allocated, loaded and captured before the first
// timed launch; nothing but launches lies between two events.
#include "evaluators/cuda/candidate_worker.h"

#include "evaluators/cuda/device.h"
#include "evaluators/cuda/jail.h"
#include "evaluators/cuda/judge_worker.h"
#include "evaluators/cuda/launch.h"
#include "evaluators/cuda/launch_counters.h"
#include "evaluators/cuda/wire.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>

namespace coppice::evaluators::cuda {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Attached {
  DevicePtr inputs = 0, outputs = 0;
};

struct LoadedPlan {
  ResolvedPlan plan;
  Module module = nullptr;
  WorkspaceLayout workspace;
  std::map<std::pair<std::uint32_t, std::uint32_t>, PlanLauncher> launchers;  // by slot, set
  std::map<std::pair<std::uint32_t, std::uint32_t>, GraphExec> graphs;
};

class CandidateRunner {
 public:
  explicit CandidateRunner(const CandidateSetup& setup)
      : setup_(setup), attached_(setup.workloads.size()) {}

  Result<void> serve(CandidateRequest request, WireReader& in, WireWriter& out);
  bool sticky() const { return sticky_; }

 private:
  Result<void> start(WireWriter& out);
  Result<void> attach(WireReader& in, WireWriter& out);
  Result<void> workspace(WireReader& in);
  Result<void> load(WireReader& in, WireWriter& out);
  Result<void> run(WireReader& in, WireWriter& out);
  void unload();
  Result<void> tighten(WireWriter& out);
  Result<void> profiler(WireReader& in, WireWriter& out);
  Result<void> count(WireReader& in, WireWriter& out);

  Result<Json> resources(const LoadedPlan& plan) const;
  Result<void> prepare(std::uint64_t workload, LoadedPlan& plan, RunItem item, bool plain);
  Bindings bindings(std::uint64_t workload, const LoadedPlan& plan, RunItem item) const;
  Status poison(const LoadedPlan& plan) const;
  Status enqueue(const LoadedPlan& plan, RunItem item, const RunOptions& options, std::size_t nth);
  Result<void> grow_events(std::size_t count);
  Result<void> grow_flush(std::uint64_t bytes);
  // Remembers a sticky status; the caller reports it as data.
  Status note(Status status) {
    sticky_ = sticky_ || is_sticky(status);
    return status;
  }

  CandidateSetup setup_;
  std::optional<Device> device_;
  std::vector<std::optional<Attached>> attached_;
  DevicePtr workspace_ = 0, flush_ = 0;
  std::uint64_t flush_bytes_ = 0;
  std::vector<Module> modules_;
  std::map<std::uint64_t, LoadedPlan> plans_;
  std::vector<EventHandle> events_;
  std::unique_ptr<LaunchCounters> counters_;
  bool namespaces_ = false, tightened_ = false, filtered_ = false, sticky_ = false;
};

Result<void> CandidateRunner::start(WireWriter& out) {
  const auto begin = std::chrono::steady_clock::now();
  if (!device_) {
    bound_process();
    namespaces_ = setup_.tighten && setup_.namespaces && enter_namespaces();
    COPPICE_TRY(Device device, Device::open(setup_.device));
    device_.emplace(std::move(device));
  }
  out.text(to_json(device_->facts()).dump()).put(seconds_since(begin));
  return {};
}

Result<void> CandidateRunner::attach(WireReader& in, WireWriter& out) {
  const auto begin = std::chrono::steady_clock::now();
  const auto index = in.get<std::uint64_t>();
  const auto inputs = in.get<IpcHandle>();
  const auto outputs = in.get<IpcHandle>();
  if (!in.ok() || index >= attached_.size()) {
    return Error{ErrorCode::corrupt, "candidate: no workload " + std::to_string(index)};
  }
  constexpr unsigned kLazyPeerAccess = 1;
  const DriverApi& api = device_->api();
  Attached now;
  COPPICE_TRY_VOID(
      check(api, api.ipc_open(&now.inputs, inputs, kLazyPeerAccess), "open the inputs"));
  COPPICE_TRY_VOID(
      check(api, api.ipc_open(&now.outputs, outputs, kLazyPeerAccess), "open the outputs"));
  attached_[index] = now;
  out.put(seconds_since(begin));
  return {};
}

Result<void> CandidateRunner::workspace(WireReader& in) {
  const auto handle = in.get<IpcHandle>();
  const DriverApi& api = device_->api();
  if (workspace_ != 0) {
    api.ipc_close(workspace_);
    workspace_ = 0;
  }
  return check(api, api.ipc_open(&workspace_, handle, 1), "open the workspace");
}

Result<Json> CandidateRunner::resources(const LoadedPlan& plan) const {
  const DriverApi& api = device_->api();
  Json out = Json::object();
  for (const ResolvedStep& step : plan.plan.steps) {
    if (step.kind != StepKind::kernel) {
      continue;
    }
    Function function = nullptr;
    COPPICE_TRY_VOID(check(api,
                           api.module_function(&function, plan.module, step.entry.c_str()),
                           "kernel \"" + step.entry + "\""));
    int registers = 0, shared = 0, local = 0, blocks = 0;
    api.function_attribute(&registers, static_cast<int>(FunctionAttribute::registers), function);
    api.function_attribute(&shared, static_cast<int>(FunctionAttribute::shared_bytes), function);
    api.function_attribute(&local, static_cast<int>(FunctionAttribute::local_bytes), function);
    if (step.shared_bytes > 0) {  // the kernel's own counts too
      api.set_function_attribute(function,
                                 static_cast<int>(FunctionAttribute::max_dynamic_shared),
                                 static_cast<int>(step.shared_bytes));
    }
    api.occupancy(&blocks,
                  function,
                  static_cast<int>(step.block[0] * step.block[1] * step.block[2]),
                  static_cast<std::size_t>(step.shared_bytes));
    Json one = Json::object();
    one.set("registers", registers)
        .set("shared_bytes", shared + step.shared_bytes)
        .set("local_bytes", local)
        .set("blocks_per_multiprocessor", blocks);
    out.set(step.entry, std::move(one));
  }
  return out;
}

Result<void> CandidateRunner::load(WireReader& in, WireWriter& out) {
  const auto begin = std::chrono::steady_clock::now();
  unload();
  const auto binaries = in.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < binaries && in.ok(); ++i) {
    COPPICE_TRY(const Module module, device_->load(in.text()));
    modules_.push_back(module);
  }
  const auto plans = in.get<std::uint64_t>();
  Json kernels = Json::object();
  for (std::uint64_t i = 0; i < plans && in.ok(); ++i) {
    const auto workload = in.get<std::uint64_t>();
    const std::string text = in.text();
    const auto binary = in.get<std::uint64_t>();
    if (!in.ok() || workload >= attached_.size() || binary >= modules_.size()) {
      return Error{ErrorCode::corrupt, "candidate: load: no such workload or binary"};
    }
    COPPICE_TRY(const Json json, Json::parse(text, "plan"));
    LoadedPlan loaded;
    COPPICE_TRY(loaded.plan, resolved_plan(json.reader("plan")));
    loaded.module = modules_[binary];
    loaded.workspace = workspace_layout(loaded.plan, kGuardBytes);
    COPPICE_TRY(Json one, resources(loaded));
    kernels.set(setup_.workloads[workload].name, std::move(one));
    plans_[workload] = std::move(loaded);
  }
  if (!in.ok()) {
    return Error{ErrorCode::corrupt, "candidate: load: torn request"};
  }
  out.put(seconds_since(begin)).text(kernels.dump());
  return {};
}

void CandidateRunner::unload() {
  if (!device_) {
    return;
  }
  for (auto& [workload, plan] : plans_) {
    for (auto& [key, graph] : plan.graphs) {
      device_->api().graph_exec_destroy(graph);
    }
  }
  plans_.clear();
  for (const Module module : modules_) {
    device_->api().module_unload(module);
  }
  modules_.clear();
}

Bindings CandidateRunner::bindings(std::uint64_t workload,
                                   const LoadedPlan& plan,
                                   RunItem item) const {
  const WorkloadLayout& layout = setup_.workloads[workload];
  Bindings out;
  for (const TensorInfo& tensor : layout.tensors) {
    out.tensors[tensor.name] =
        tensor.role == TensorRole::output
            ? attached_[workload]->outputs + layout.output_offset(tensor, item.slot)
            : attached_[workload]->inputs + layout.input_offset(tensor, item.set);
    out.tensor_bytes[tensor.name] = tensor.bytes;
  }
  for (const auto& [name, offset] : plan.workspace.offsets) {
    out.workspace[name] = workspace_ + offset;
  }
  return out;
}

Result<void> CandidateRunner::prepare(std::uint64_t workload,
                                      LoadedPlan& plan,
                                      RunItem item,
                                      bool plain) {
  const auto key = std::make_pair(item.slot, item.set);
  const WorkloadLayout& layout = setup_.workloads[workload];
  if (item.slot >= layout.slots || item.set >= layout.sets) {
    return Error{ErrorCode::corrupt, "candidate: run: slot or set out of range"};
  }
  if (plan.launchers.count(key) == 0) {
    COPPICE_TRY(std::vector<LaunchCall> calls,
                translate(plan.plan, bindings(workload, plan, item)));
    COPPICE_TRY(PlanLauncher launcher,
                PlanLauncher::create(device_->api(), plan.module, std::move(calls)));
    plan.launchers.emplace(key, std::move(launcher));
  }
  if (!plain && plan.graphs.count(key) == 0) {
    COPPICE_TRY(const GraphExec graph,
                capture(device_->api(), plan.launchers.at(key), device_->stream()));
    plan.graphs.emplace(key, graph);
  }
  return {};
}

Result<void> CandidateRunner::grow_events(std::size_t count) {
  while (events_.size() < count) {
    EventHandle event = nullptr;
    COPPICE_TRY_VOID(
        check(device_->api(), device_->api().event_create(&event, 0), "make an event"));
    events_.push_back(event);
  }
  return {};
}

Result<void> CandidateRunner::grow_flush(std::uint64_t bytes) {
  if (bytes > flush_bytes_) {
    if (flush_ != 0) {
      device_->api().release(flush_);
    }
    COPPICE_TRY(flush_, device_->allocate(bytes));
    flush_bytes_ = bytes;
  }
  return {};
}

Status CandidateRunner::poison(const LoadedPlan& plan) const {
  Status status = 0;
  for (const auto& [name, bytes] : plan.plan.workspace) {
    if (bytes > 0 && status == 0) {
      status = device_->api().set_bytes(workspace_ + plan.workspace.offsets.find(name)->second,
                                        kPoison,
                                        static_cast<std::uint64_t>(bytes),
                                        device_->stream());
    }
  }
  return status;
}

// Poison the workspace, push everything out of L2, then event, launch, event; no waiting.
Status CandidateRunner::enqueue(const LoadedPlan& plan,
                                RunItem item,
                                const RunOptions& options,
                                std::size_t nth) {
  const DriverApi& api = device_->api();
  const Stream stream = device_->stream();
  const auto key = std::make_pair(item.slot, item.set);
  Status status = options.poison != 0 ? poison(plan) : 0;
  if (status == 0 && options.flush_bytes > 0) {
    status = api.set_bytes(flush_, static_cast<unsigned char>(nth), options.flush_bytes, stream);
  }
  if (status == 0) {
    status = api.event_record(events_[2 * nth], stream);
  }
  if (status == 0 && options.empty == 0) {
    status = options.plain != 0 ? plan.launchers.at(key).enqueue(api, stream)
                                : api.graph_launch(plan.graphs.at(key), stream);
  }
  return status != 0 ? status : api.event_record(events_[2 * nth + 1], stream);
}

Result<void> CandidateRunner::run(WireReader& in, WireWriter& out) {
  const auto workload = in.get<std::uint64_t>();
  const auto options = in.get<RunOptions>();
  std::vector<RunItem> items = in.list<RunItem>();
  const auto found = plans_.find(workload);
  if (!in.ok() || items.empty() || found == plans_.end() || !attached_[workload]) {
    return Error{ErrorCode::corrupt, "candidate: run: nothing loaded for this workload"};
  }
  LoadedPlan& plan = found->second;
  items.insert(items.begin(), options.warm_up, items.front());
  RunReply reply;
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY_VOID(grow_events(2 * items.size()));
  COPPICE_TRY_VOID(grow_flush(options.flush_bytes));
  for (const RunItem item : items) {
    COPPICE_TRY_VOID(prepare(workload, plan, item, options.plain != 0));
  }
  COPPICE_TRY_VOID(device_->wait());
  reply.capture_seconds = seconds_since(begin);
  const auto go = std::chrono::steady_clock::now();
  Status status = 0;
  for (std::size_t i = 0; i < items.size() && status == 0; ++i) {
    status = note(enqueue(plan, items[i], options, i));
  }
  reply.enqueue_seconds = seconds_since(go);
  if (status == 0) {
    status = note(device_->api().stream_synchronize(device_->stream()));
  }
  reply.wall_seconds = seconds_since(go);
  std::vector<float> times;
  for (std::size_t i = options.warm_up; i < items.size() && status == 0; ++i) {
    float milliseconds = 0;
    status = note(device_->api().event_elapsed(&milliseconds, events_[2 * i], events_[2 * i + 1]));
    times.push_back(milliseconds * 1e3F);
  }
  if (float span = 0; status == 0 && device_->api().event_elapsed(
                                         &span, events_[0], events_[2 * items.size() - 1]) == 0) {
    reply.span_seconds = static_cast<double>(span) * 1e-3;
  }
  reply.status = status;
  reply.sticky = sticky_ ? 1 : 0;
  out.put(reply).list(times);
  if (status != 0) {
    out.text(device_->api().describe(status));
  }
  return {};
}

Result<void> CandidateRunner::tighten(WireWriter& out) {
  if (setup_.tighten && !tightened_) {
    tightened_ = true;
    filtered_ = forbid_system_calls(JailKind::candidate);
  }
  out.text(isolation_level(namespaces_, filtered_));
  return {};
}

Result<void> CandidateRunner::profiler(WireReader& in, WireWriter& out) {
  const std::string cubin = in.text();
  COPPICE_TRY(counters_, LaunchCounters::open(*device_, cubin));
  out.text(counters_->source());
  return {};
}

Result<void> CandidateRunner::count(WireReader& in, WireWriter& out) {
  const auto workload = in.get<std::uint64_t>();
  const auto item = in.get<RunItem>();
  const auto found = plans_.find(workload);
  if (!in.ok() || !counters_ || found == plans_.end() || !attached_[workload]) {
    return Error{ErrorCode::corrupt, "candidate: count: nothing loaded for this workload"};
  }
  LoadedPlan& plan = found->second;
  COPPICE_TRY_VOID(prepare(workload, plan, item, false));
  const DriverApi& api = device_->api();
  const GraphExec graph = plan.graphs.at({item.slot, item.set});
  const auto fresh = [&]() -> Result<void> {
    return check(api, note(poison(plan)), "poison the workspace");
  };
  const auto launch = [&]() -> Result<void> {
    return check(api, note(api.graph_launch(graph, device_->stream())), "launch");
  };
  COPPICE_TRY(const WorkloadCounters counters, counters_->read(fresh, launch));
  out.text(to_json(counters).dump());
  return {};
}

Result<void> CandidateRunner::serve(CandidateRequest request, WireReader& in, WireWriter& out) {
  if (request != CandidateRequest::start && !device_) {
    return Error{ErrorCode::corrupt, "candidate: not started"};
  }
  switch (request) {
    case CandidateRequest::start:
      return start(out);
    case CandidateRequest::attach:
      return attach(in, out);
    case CandidateRequest::workspace:
      return workspace(in);
    case CandidateRequest::load:
      return load(in, out);
    case CandidateRequest::run:
      return run(in, out);
    case CandidateRequest::unload:
      unload();
      return {};
    case CandidateRequest::tighten:
      return tighten(out);
    case CandidateRequest::profiler:
      return profiler(in, out);
    case CandidateRequest::count:
      return count(in, out);
  }
  return Error{ErrorCode::corrupt, "candidate: unknown request"};
}

}  // namespace

WorkerHandler make_candidate(const CandidateSetup& setup) {
  auto runner = std::make_shared<CandidateRunner>(setup);
  return [runner](std::uint32_t request, std::string_view payload, std::string& reply) {
    WireReader in(payload);
    WireWriter out;
    const Result<void> done = runner->serve(static_cast<CandidateRequest>(request), in, out);
    WireWriter head;
    head.put(done.ok()          ? WorkerStatus::ok
             : runner->sticky() ? WorkerStatus::sticky
                                : WorkerStatus::failed);
    reply = head.take() + (done.ok() ? out.take() : WireWriter().text(done.error().message).take());
    return true;
  };
}

}  // namespace coppice::evaluators::cuda
