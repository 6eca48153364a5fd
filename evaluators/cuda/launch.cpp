// Translation of plans, and the calls that put them on a stream or into a graph.
#include "evaluators/cuda/launch.h"

#include <cstring>

namespace coppice::evaluators::cuda {
namespace {

Error wrong(std::size_t step, const std::string& what) {
  return Error{ErrorCode::config, "plan: step " + std::to_string(step + 1) + ": " + what};
}

// CU_TENSOR_MAP_DATA_TYPE_*
int map_dtype(std::string_view name) {
  constexpr std::pair<std::string_view, int> kTypes[] = {{"u8", 0},
                                                         {"i8", 0},
                                                         {"e4m3", 0},
                                                         {"e5m2", 0},
                                                         {"i32", 3},
                                                         {"i64", 5},
                                                         {"f16", 6},
                                                         {"f32", 7},
                                                         {"f64", 8},
                                                         {"bf16", 9}};
  for (const auto& [text, value] : kTypes) {
    if (text == name) {
      return value;
    }
  }
  return -1;
}

int map_swizzle(std::string_view name) {
  return name == "none" ? 0 : name == "32" ? 1 : name == "64" ? 2 : name == "128" ? 3 : -1;
}

int map_promotion(std::string_view name) {
  return name == "none" ? 0 : name == "64" ? 1 : name == "128" ? 2 : name == "256" ? 3 : -1;
}

Result<MapRequest> translate_map(const ResolvedTensorMap& map,
                                 DevicePtr address,
                                 std::size_t step) {
  MapRequest out;
  out.address = address;
  out.dtype = map_dtype(map.dtype);
  out.swizzle = map_swizzle(map.swizzle);
  out.promotion = map_promotion(map.l2_promotion);
  const std::size_t rank = map.sizes.size();
  if (out.dtype < 0 || out.swizzle < 0 || out.promotion < 0) {
    return wrong(step,
                 "tensor map of \"" + map.tensor + "\": unknown dtype, swizzle or l2_promotion");
  }
  if (rank < 1 || rank > 5 || map.box.size() != rank || map.stride_bytes.size() + 1 != rank) {
    return wrong(step,
                 "tensor map of \"" + map.tensor +
                     "\": expected 1 to 5 sizes, as many box extents, one stride fewer");
  }
  for (std::size_t i = 0; i < rank; ++i) {
    if (map.sizes[i] < 1 || map.sizes[i] > (1ll << 32) || map.box[i] < 1 || map.box[i] > 256) {
      return wrong(
          step,
          "tensor map of \"" + map.tensor + "\": a size must be 1 to 2^32, a box extent 1 to 256");
    }
    out.sizes.push_back(static_cast<std::uint64_t>(map.sizes[i]));
    out.box.push_back(static_cast<std::uint32_t>(map.box[i]));
  }
  for (const std::int64_t stride : map.stride_bytes) {
    if (stride < 16 || stride % 16 != 0) {
      return wrong(step,
                   "tensor map of \"" + map.tensor +
                       "\": strides must be multiples of 16 bytes, found " +
                       std::to_string(stride));
    }
    out.strides.push_back(static_cast<std::uint64_t>(stride));
  }
  return out;
}

Result<LaunchParameter> translate_argument(const ResolvedArg& argument,
                                           const Bindings& bindings,
                                           std::size_t step) {
  LaunchParameter out;
  const auto& names = argument.kind == ArgKind::workspace ? bindings.workspace : bindings.tensors;
  switch (argument.kind) {
    case ArgKind::dim:
      out.bits = static_cast<std::uint64_t>(argument.integer);
      return out;
    case ArgKind::scalar: {
      const auto value = static_cast<float>(argument.real);
      std::uint32_t bits = 0;
      std::memcpy(&bits, &value, sizeof bits);
      out.bits = bits;
      return out;
    }
    case ArgKind::tensor:
    case ArgKind::workspace:
    case ArgKind::tensor_map:
      break;
  }
  const auto found = names.find(
      argument.kind == ArgKind::tensor_map && argument.map ? argument.map->tensor : argument.name);
  if (found == names.end()) {
    return wrong(step, "no tensor or workspace is called \"" + argument.name + "\"");
  }
  out.bits = found->second + static_cast<std::uint64_t>(argument.integer);
  if (argument.kind == ArgKind::tensor_map) {
    if (!argument.map) {
      return wrong(step, "tensor map of \"" + argument.name + "\" has no description");
    }
    out.is_map = true;
    COPPICE_TRY(out.map, translate_map(*argument.map, found->second, step));
  }
  return out;
}

Result<LaunchCall> translate_fill(const ResolvedPlan& plan,
                                  const ResolvedStep& step,
                                  const Bindings& bindings,
                                  std::size_t index) {
  LaunchCall call;
  call.fill = true;
  call.byte = static_cast<unsigned char>(step.byte);
  for (const auto& [name, bytes] : plan.workspace) {
    if (name == step.target && bindings.workspace.count(name) != 0) {
      call.target = bindings.workspace.find(name)->second;
      call.bytes = static_cast<std::uint64_t>(bytes);
      return call;
    }
  }
  const auto tensor = bindings.tensors.find(step.target);
  const auto bytes = bindings.tensor_bytes.find(step.target);
  if (tensor == bindings.tensors.end() || bytes == bindings.tensor_bytes.end()) {
    return wrong(index, "fill: no workspace or output is called \"" + step.target + "\"");
  }
  call.target = tensor->second;
  call.bytes = bytes->second;
  return call;
}

}  // namespace

WorkspaceLayout workspace_layout(const ResolvedPlan& plan, std::uint64_t guard) {
  WorkspaceLayout out;
  out.guards.emplace_back(0, guard);
  out.bytes = guard;
  for (const auto& [name, bytes] : plan.workspace) {
    const auto rounded =
        (static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)) + 255) / 256 * 256;
    out.offsets[name] = out.bytes;
    out.guards.emplace_back(out.bytes + rounded, guard);
    out.bytes += rounded + guard;
  }
  return out;
}

Result<std::vector<LaunchCall>> translate(const ResolvedPlan& plan, const Bindings& bindings) {
  std::vector<LaunchCall> out;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const ResolvedStep& step = plan.steps[i];
    if (step.kind == StepKind::fill) {
      COPPICE_TRY(LaunchCall call, translate_fill(plan, step, bindings, i));
      if (call.bytes > 0) {
        out.push_back(std::move(call));
      }
      continue;
    }
    LaunchCall call;
    call.entry = step.entry;
    for (std::size_t d = 0; d < 3; ++d) {
      if (step.grid[d] < 1 || step.block[d] < 1 || step.cluster[d] < 0 ||
          step.grid[d] > 2147483647 || step.block[d] > 1024 || step.cluster[d] > 16) {
        return wrong(i, "grid, block or cluster extent out of range");
      }
      call.grid[d] = static_cast<unsigned>(step.grid[d]);
      call.block[d] = static_cast<unsigned>(step.block[d]);
      call.cluster[d] = static_cast<unsigned>(step.cluster[d]);
    }
    if (step.shared_bytes < 0 || step.shared_bytes > (1 << 20)) {
      return wrong(i, "shared_bytes out of range: " + std::to_string(step.shared_bytes));
    }
    call.shared_bytes = static_cast<unsigned>(step.shared_bytes);
    call.cooperative = step.cooperative;
    call.dependent = step.dependent && !out.empty();
    for (const ResolvedArg& argument : step.args) {
      COPPICE_TRY(LaunchParameter parameter, translate_argument(argument, bindings, i));
      call.parameters.push_back(std::move(parameter));
    }
    out.push_back(std::move(call));
  }
  return out;
}

std::string broken_limit(const ResolvedPlan& plan, const LaunchLimits& limits) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const ResolvedStep& step = plan.steps[i];
    if (step.kind == StepKind::fill) {
      continue;
    }
    const std::string where = "step " + std::to_string(i + 1) + " (" + step.entry + "): ";
    const std::int64_t threads = step.block[0] * step.block[1] * step.block[2];
    if (threads < 1 || threads > limits.threads_per_block) {
      return where + std::to_string(threads) + " threads a block, at most " +
             std::to_string(limits.threads_per_block);
    }
    if (step.shared_bytes > limits.shared_per_block) {
      return where + std::to_string(step.shared_bytes) + " bytes of shared memory, at most " +
             std::to_string(limits.shared_per_block);
    }
    if (step.grid[0] > limits.grid_x || step.grid[1] > limits.grid_y ||
        step.grid[2] > limits.grid_z) {
      return where + "grid larger than the device allows";
    }
    const std::int64_t blocks = std::max<std::int64_t>(step.cluster[0], 1) *
                                std::max<std::int64_t>(step.cluster[1], 1) *
                                std::max<std::int64_t>(step.cluster[2], 1);
    if (step.cluster[0] > 0) {
      if (!limits.clusters || blocks > limits.cluster_blocks) {
        return where + "cluster of " + std::to_string(blocks) + " blocks, at most " +
               std::to_string(limits.clusters ? limits.cluster_blocks : 0);
      }
      for (std::size_t d = 0; d < 3; ++d) {
        if (step.grid[d] % std::max<std::int64_t>(step.cluster[d], 1) != 0) {
          return where + "grid is not a multiple of the cluster";
        }
      }
    }
    for (const ResolvedArg& argument : step.args) {
      if (argument.kind == ArgKind::tensor_map && !limits.tensor_maps) {
        return where + "tensor maps need sm_90 or newer";
      }
    }
  }
  return "";
}

Result<PlanLauncher> PlanLauncher::create(const DriverApi& api,
                                          Module module,
                                          std::vector<LaunchCall> calls) {
  PlanLauncher out;
  for (LaunchCall& call : calls) {
    Ready ready;
    if (!call.fill) {
      COPPICE_TRY_VOID(check(api,
                             api.module_function(&ready.function, module, call.entry.c_str()),
                             "kernel \"" + call.entry + "\""));
      if (call.shared_bytes > 0) {  // the kernel's own counts too
        COPPICE_TRY_VOID(check(
            api,
            api.set_function_attribute(ready.function,
                                       static_cast<int>(FunctionAttribute::max_dynamic_shared),
                                       static_cast<int>(call.shared_bytes)),
            call.entry + ": shared memory"));
      }
      if (call.cluster[0] * std::max(call.cluster[1], 1u) * std::max(call.cluster[2], 1u) > 8) {
        COPPICE_TRY_VOID(
            check(api,
                  api.set_function_attribute(
                      ready.function, static_cast<int>(FunctionAttribute::non_portable_cluster), 1),
                  call.entry + ": cluster"));
      }
    }
    for (const LaunchParameter& parameter : call.parameters) {
      if (!parameter.is_map) {
        continue;
      }
      if (api.tensor_map_tiled == nullptr) {
        return Error{ErrorCode::environment, "tensor maps need a driver for CUDA 12 or newer"};
      }
      const MapRequest& map = parameter.map;
      const std::vector<std::uint32_t> ones(map.sizes.size(), 1);
      TensorMap encoded;
      COPPICE_TRY_VOID(check(api,
                             api.tensor_map_tiled(&encoded,
                                                  map.dtype,
                                                  static_cast<std::uint32_t>(map.sizes.size()),
                                                  map.address,
                                                  map.sizes.data(),
                                                  map.strides.data(),
                                                  map.box.data(),
                                                  ones.data(),
                                                  0,
                                                  map.swizzle,
                                                  map.promotion,
                                                  0),
                             call.entry + ": tensor map"));
      ready.maps.push_back(encoded);
    }
    ready.call = std::move(call);
    out.steps_.push_back(std::move(ready));
  }
  return out;
}

Status PlanLauncher::enqueue(const DriverApi& api, Stream stream) const {
  for (const Ready& step : steps_) {
    const LaunchCall& call = step.call;
    if (call.fill) {
      if (const Status status = api.set_bytes(call.target, call.byte, call.bytes, stream);
          status != 0) {
        return status;
      }
      continue;
    }
    std::vector<void*> parameters;
    std::size_t map = 0;
    for (const LaunchParameter& parameter : call.parameters) {
      const void* at = parameter.is_map ? static_cast<const void*>(&step.maps[map++])
                                        : static_cast<const void*>(&parameter.bits);
      parameters.push_back(const_cast<void*>(at));  // the driver copies what it points at
    }
    LaunchAttribute attributes[3];
    unsigned count = 0;
    if (call.cooperative) {
      attributes[count].id = kAttributeCooperative;
      attributes[count++].value[0] = 1;
    }
    if (call.cluster[0] > 0) {
      attributes[count].id = kAttributeClusterDimension;
      for (int d = 0; d < 3; ++d) {
        attributes[count].value[d] = std::max(call.cluster[d], 1u);
      }
      ++count;
    }
    if (call.dependent) {
      attributes[count].id = kAttributeProgrammaticSerialization;
      attributes[count++].value[0] = 1;
    }
    const LaunchConfig config{{call.grid[0], call.grid[1], call.grid[2]},
                              {call.block[0], call.block[1], call.block[2]},
                              call.shared_bytes,
                              stream,
                              count > 0 ? attributes : nullptr,
                              count};
    if (const Status status = api.launch(&config, step.function, parameters.data(), nullptr);
        status != 0) {
      return status;
    }
  }
  return 0;
}

Result<GraphExec> capture(const DriverApi& api, const PlanLauncher& plan, Stream stream) {
  constexpr int kThreadLocal = 1;
  COPPICE_TRY_VOID(check(api, api.begin_capture(stream, kThreadLocal), "begin capture"));
  const Status enqueued = plan.enqueue(api, stream);
  Graph graph = nullptr;
  const Status ended = api.end_capture(stream, &graph);
  COPPICE_TRY_VOID(check(api, enqueued, "launch"));
  COPPICE_TRY_VOID(check(api, ended, "end capture"));
  GraphExec exec = nullptr;
  const Status made = api.graph_instantiate(&exec, graph, 0);
  api.graph_destroy(graph);
  COPPICE_TRY_VOID(check(api, made, "instantiate graph"));
  COPPICE_TRY_VOID(check(api, api.graph_upload(exec, stream), "upload graph"));
  return exec;
}

}  // namespace coppice::evaluators::cuda
