// From resolved plans to driver calls, with a table of recording functions in the driver's place.
#include "evaluators/cuda/launch.h"
#include "tests/support/catch.h"

#include <cstring>

using namespace coppice;
using namespace coppice::evaluators::cuda;

namespace {

ResolvedStep kernel(std::string entry) {
  ResolvedStep step;
  step.entry = std::move(entry);
  step.grid = {4, 2, 1};
  step.block = {128, 1, 1};
  return step;
}

ResolvedArg tensor(std::string name) {
  ResolvedArg out;
  out.kind = ArgKind::tensor;
  out.name = std::move(name);
  return out;
}

Bindings bindings() {
  Bindings out;
  out.tensors = {{"x", 0x1000}, {"y", 0x2000}};
  out.tensor_bytes = {{"x", 64}, {"y", 32}};
  out.workspace = {{"scratch", 0x9000}};
  return out;
}

// What the recording driver saw.
struct Seen {
  std::vector<LaunchConfig> configs;
  std::vector<LaunchAttribute> attributes;
  std::vector<std::uint64_t> first_words;
  std::vector<std::pair<DevicePtr, std::size_t>> fills;
  std::vector<std::pair<int, int>> function_attributes;
  TensorMap* encoded = nullptr;
  std::vector<std::uint64_t> map_sizes;
};
Seen* seen = nullptr;

DriverApi recording_driver() {
  DriverApi api;
  api.module_function = [](Function* out, Module, const char*) {
    *out = reinterpret_cast<Function>(0x42);
    return 0;
  };
  api.set_function_attribute = [](Function, int which, int value) {
    seen->function_attributes.emplace_back(which, value);
    return 0;
  };
  api.launch = [](const LaunchConfig* config, Function, void** parameters, void**) {
    seen->configs.push_back(*config);
    for (unsigned i = 0; i < config->attribute_count; ++i) {
      seen->attributes.push_back(config->attributes[i]);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, parameters[0], sizeof word);
    seen->first_words.push_back(word);
    return 0;
  };
  api.set_bytes = [](DevicePtr to, unsigned char, std::size_t bytes, Stream) {
    seen->fills.emplace_back(to, bytes);
    return 0;
  };
  api.tensor_map_tiled = [](TensorMap* out,
                            int,
                            std::uint32_t rank,
                            DevicePtr,
                            const std::uint64_t* sizes,
                            const std::uint64_t*,
                            const std::uint32_t*,
                            const std::uint32_t*,
                            int,
                            int,
                            int,
                            int) {
    out->words[0] = 0x77;
    seen->map_sizes.assign(sizes, sizes + rank);
    return 0;
  };
  return api;
}

}  // namespace

TEST_CASE("arguments arrive in the plan's order: addresses, whole numbers, floats") {
  ResolvedPlan plan;
  ResolvedStep step = kernel("k");
  ResolvedArg slice;
  slice.kind = ArgKind::workspace;
  slice.name = "scratch";
  slice.integer = 256;
  ResolvedArg dim;
  dim.kind = ArgKind::dim;
  dim.integer = -3;
  ResolvedArg scalar;
  scalar.kind = ArgKind::scalar;
  scalar.real = 0.5;
  step.args = {tensor("y"), slice, dim, scalar};
  plan.steps = {step};
  const auto calls = translate(plan, bindings());
  REQUIRE(calls.ok());
  REQUIRE(calls->size() == 1);
  const auto& parameters = calls->front().parameters;
  CHECK(parameters[0].bits == 0x2000);
  CHECK(parameters[1].bits == 0x9100);
  CHECK(static_cast<std::int64_t>(parameters[2].bits) == -3);
  CHECK(parameters[3].bits == 0x3f000000);
  CHECK(calls->front().grid[1] == 2);
}

TEST_CASE("a name that the plan does not bind is refused with its step") {
  ResolvedPlan plan;
  plan.steps = {kernel("k")};
  plan.steps[0].args = {tensor("z")};
  const auto calls = translate(plan, bindings());
  REQUIRE(!calls.ok());
  CHECK(calls.error().message == "plan: step 1: no tensor or workspace is called \"z\"");
}

TEST_CASE(
    "clusters, cooperation and dependence become launch attributes, shared memory is asked for") {
  Seen record;
  seen = &record;
  const DriverApi api = recording_driver();
  ResolvedPlan plan;
  ResolvedStep first = kernel("first"), second = kernel("second");
  first.cluster = {2, 1, 1};
  first.shared_bytes = 100000;
  first.args = {tensor("x")};
  second.dependent = true;
  second.cooperative = true;
  second.shared_bytes = 47000;  // with the kernel's own it may be too much unasked
  second.args = {tensor("y")};
  plan.steps = {first, second};
  auto calls = translate(plan, bindings());
  REQUIRE(calls.ok());
  const auto launcher = PlanLauncher::create(api, nullptr, std::move(*calls));
  REQUIRE(launcher.ok());
  REQUIRE(launcher->enqueue(api, nullptr) == 0);
  REQUIRE(record.configs.size() == 2);
  CHECK(record.configs[0].shared_bytes == 100000);
  CHECK(record.function_attributes ==
        std::vector<std::pair<int, int>>{
            {static_cast<int>(FunctionAttribute::max_dynamic_shared), 100000},
            {static_cast<int>(FunctionAttribute::max_dynamic_shared), 47000}});
  REQUIRE(record.attributes.size() == 3);
  CHECK(record.attributes[0].id == kAttributeClusterDimension);
  CHECK(record.attributes[0].value[0] == 2);
  CHECK(record.attributes[1].id == kAttributeCooperative);
  CHECK(record.attributes[2].id == kAttributeProgrammaticSerialization);
  CHECK(record.first_words == std::vector<std::uint64_t>{0x1000, 0x2000});
}

TEST_CASE("the first step never depends on the flush before it") {
  ResolvedPlan plan;
  plan.steps = {kernel("k")};
  plan.steps[0].dependent = true;
  CHECK(!translate(plan, bindings())->front().dependent);
}

TEST_CASE("fills reach the whole slice") {
  Seen record;
  seen = &record;
  const DriverApi api = recording_driver();
  ResolvedPlan plan;
  plan.workspace = {{"scratch", 512}};
  ResolvedStep fill;
  fill.kind = StepKind::fill;
  fill.target = "scratch";
  plan.steps = {fill};
  auto launcher = PlanLauncher::create(api, nullptr, std::move(*translate(plan, bindings())));
  REQUIRE(launcher->enqueue(api, nullptr) == 0);
  CHECK(record.fills == std::vector<std::pair<DevicePtr, std::size_t>>{{0x9000, 512}});
}

TEST_CASE("tensor maps are encoded once and passed by value") {
  Seen record;
  seen = &record;
  const DriverApi api = recording_driver();
  ResolvedPlan plan;
  ResolvedStep step = kernel("k");
  ResolvedArg map;
  map.kind = ArgKind::tensor_map;
  map.name = "x";
  map.map = ResolvedTensorMap{"x", "bf16", {64, 16}, {128}, {64, 8}, "128", "256"};
  step.args = {map};
  plan.steps = {step};
  auto calls = translate(plan, bindings());
  REQUIRE(calls.ok());
  auto launcher = PlanLauncher::create(api, nullptr, std::move(*calls));
  REQUIRE(launcher.ok());
  REQUIRE(launcher->enqueue(api, nullptr) == 0);
  CHECK(record.map_sizes == std::vector<std::uint64_t>{64, 16});
  CHECK(record.first_words == std::vector<std::uint64_t>{0x77});
  plan.steps[0].args[0].map->stride_bytes = {100};
  CHECK(!translate(plan, bindings()).ok());
}

TEST_CASE("a plan beyond the device is named with its limit before anything runs") {
  ResolvedPlan plan;
  plan.steps = {kernel("k")};
  CHECK(broken_limit(plan, {}).empty());
  plan.steps[0].block = {1024, 2, 1};
  CHECK(broken_limit(plan, {}) == "step 1 (k): 2048 threads a block, at most 1024");
  plan.steps[0].block = {64, 1, 1};
  plan.steps[0].shared_bytes = 300000;
  CHECK(broken_limit(plan, {}).find("300000 bytes of shared memory") != std::string::npos);
  plan.steps[0].shared_bytes = 0;
  plan.steps[0].cluster = {3, 1, 1};
  CHECK(broken_limit(plan, {}).find("not a multiple of the cluster") != std::string::npos);
}

TEST_CASE("workspace slices have guards before, between and behind") {
  ResolvedPlan plan;
  plan.workspace = {{"a", 100}, {"b", 256}};
  const WorkspaceLayout layout = workspace_layout(plan, 1024);
  CHECK(layout.offsets.at("a") == 1024);
  CHECK(layout.offsets.at("b") == 1024 + 256 + 1024);
  CHECK(layout.bytes == 1024 + 256 + 1024 + 256 + 1024);
  CHECK(layout.guards.size() == 3);
}
