// Hardware counters without a device: a fake CUPTI and a fake driver, loaded as the real ones are.
#include "evaluators/cuda/clients.h"
#include "evaluators/cuda/launch_counters.h"
#include "tests/support/catch.h"

#include <cstdlib>

using namespace coppice;
using namespace coppice::evaluators::cuda;

namespace {

const std::string kFakes = std::string(COPPICE_BINARY_DIR) + "/tests/";

// A variable of the environment for the time of a test; processes that are forked inherit it.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

Result<std::unique_ptr<RangeProfiler>> fake_profiler() {
  const Variable library("COPPICE_CUPTI", kFakes + "libfake_cupti.so");
  COPPICE_TRY(std::shared_ptr<const CuptiApi> api, load_cupti());
  return RangeProfiler::open(std::move(api), nullptr, 0, counter_metrics());
}

CandidateSetup one_workload() {
  TensorInfo y;
  y.name = "y";
  y.role = TensorRole::output;
  y.bytes = 64;
  CandidateSetup out;
  out.workloads = {make_layout("small", {y}, 1, 1)};
  out.namespaces = false;
  return out;
}

PlanToLoad plan_of(const std::string& entry) {
  ResolvedStep step;
  step.entry = entry;
  step.grid = {4, 1, 1};
  step.block = {32, 1, 1};
  ResolvedArg argument;
  argument.kind = ArgKind::tensor;
  argument.name = "y";
  step.args = {argument};
  PlanToLoad out;
  out.plan.steps = {step};
  out.plan.workspace = {{"scratch", 128}};
  return out;
}

// As the lane profiles: attach, workspace, profiler, code, then no more system calls.
Result<CandidateClient> ready_to_count() {
  COPPICE_TRY(CandidateClient process,
              CandidateClient::start(one_workload(), std::chrono::seconds(20)));
  COPPICE_TRY([[maybe_unused]] const double attached, process.attach(0, SharedRegions{}));
  COPPICE_TRY_VOID(process.workspace(IpcHandle{}));
  COPPICE_TRY([[maybe_unused]] const std::string source, process.open_profiler("cubin"));
  COPPICE_TRY([[maybe_unused]] const CandidateClient::Loaded loaded,
              process.load({"cubin"}, {plan_of("k")}));
  COPPICE_TRY([[maybe_unused]] const std::string level, process.tighten());
  return process;
}

}  // namespace

TEST_CASE("counters become shares and bytes, stalls the largest first") {
  const auto profiler = fake_profiler();
  REQUIRE(profiler.ok());
  int launches = 0, prepared = 0;
  const auto reading = (*profiler)->read({[&]() -> Result<void> {
                                            ++prepared;
                                            return {};
                                          },
                                          [&]() -> Result<void> {
                                            ++launches;
                                            return {};
                                          }});
  REQUIRE(reading.ok());
  CHECK(reading->passes == 3);
  CHECK(launches == 3);
  CHECK(prepared == 3);
  const WorkloadCounters counters = counters_of(reading->values);
  CHECK(counters.dram_read_bytes == 4096e6);
  CHECK(counters.l2_hit_share == 0.25);
  REQUIRE(counters.stalls.size() == 2);
  CHECK(counters.stalls[0] == StallReason{"long_scoreboard", 0.6});
  CHECK(counters.stalls[1] == StallReason{"barrier", 0.25});
}

TEST_CASE("a counter that the chip lacks costs none of the others") {
  const std::string name = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active";
  const Variable lacking("FAKE_CUPTI_LACKS", name);
  const auto profiler = fake_profiler();
  REQUIRE(profiler.ok());
  CHECK((*profiler)->missing() == std::vector<std::string>{name});
  CHECK((*profiler)->metrics().size() == counter_metrics().size() - 1);
  const auto nothing = []() -> Result<void> {
    return {};
  };
  const auto reading = (*profiler)->read({nothing, nothing});
  REQUIRE(reading.ok());
  CHECK(!counters_of(reading->values).tensor_active_share);
  CHECK(counters_of(reading->values).issue_active_share == 0.25);
}

TEST_CASE("a launch that fails ends the reading with its own error") {
  const auto profiler = fake_profiler();
  REQUIRE(profiler.ok());
  const auto good = []() -> Result<void> {
    return {};
  };
  const auto bad = []() -> Result<void> {
    return Error{ErrorCode::environment, "launch: illegal address"};
  };
  const auto reading = (*profiler)->read({good, bad});
  REQUIRE(!reading.ok());
  CHECK(reading.error().message == "launch: illegal address");
}

TEST_CASE("without permission one line says so and what helps") {
  const Variable refused("FAKE_CUPTI", "enable=35");
  const auto profiler = fake_profiler();
  REQUIRE(!profiler.ok());
  CHECK(profiler.error().message.find("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES") != std::string::npos);
  CHECK(profiler.error().message.find("NVreg_RestrictProfilingToAdminUsers=0") !=
        std::string::npos);
  CHECK(profiler.error().message.find('\n') == std::string::npos);
}

TEST_CASE("a CUPTI that is not there, too old or switched off is named") {
  {
    const Variable library("COPPICE_CUPTI", "/nowhere/libcupti.so.13");
    CHECK(load_cupti().error().message == "/nowhere/libcupti.so.13: cannot be opened");
  }
  {
    const Variable library("COPPICE_CUPTI", kFakes + "libfake_cuda.so");
    const auto old = load_cupti();
    REQUIRE(!old.ok());
    CHECK(old.error().message.find("CUDA 12.6 or newer") != std::string::npos);
  }
  const Variable library("COPPICE_CUPTI", "off");
  CHECK(load_cupti().error().message.find("COPPICE_CUPTI=off") != std::string::npos);
}

TEST_CASE("a candidate's launches are counted in a process that may no longer do anything else") {
  const Variable driver("COPPICE_LIBCUDA", kFakes + "libfake_cuda.so");
  const Variable library("COPPICE_CUPTI", kFakes + "libfake_cupti.so");
  Result<CandidateClient> process = ready_to_count();
  INFO((process.ok() ? std::string() : process.error().message));
  REQUIRE(process.ok());
  const auto counters = process->count(0, RunItem{0, 0}, std::chrono::seconds(20));
  INFO((counters.ok() ? std::string() : counters.error().message));
  REQUIRE(counters.ok());
  CHECK(counters->passes == 3);
  CHECK(counters->dram_read_bytes == 4096e6);
  CHECK(process->count(7, RunItem{0, 0}, std::chrono::seconds(20))
            .error()
            .message.find("nothing loaded") != std::string::npos);
}

TEST_CASE("a launch that fails under the profiler is told, not counted") {
  const Variable driver("COPPICE_LIBCUDA", kFakes + "libfake_cuda.so");
  const Variable library("COPPICE_CUPTI", kFakes + "libfake_cupti.so");
  const Variable failing("FAKE_CUDA_LAUNCH", "700");
  Result<CandidateClient> process = ready_to_count();
  // Emptying the L2 is a launch too: this driver refuses that one first.
  REQUIRE(process.ok());
  const auto counters = process->count(0, RunItem{0, 0}, std::chrono::seconds(20));
  REQUIRE(!counters.ok());
  CHECK(counters.error().message.find("CUDA_ERROR_ILLEGAL_ADDRESS") != std::string::npos);
}

TEST_CASE("the doctor's probe names what reads the counters, or why nothing does") {
  const Variable driver("COPPICE_LIBCUDA", kFakes + "libfake_cuda.so");
  {
    const Variable library("COPPICE_CUPTI", kFakes + "libfake_cupti.so");
    const auto found = probe_counters(0);
    INFO((found.ok() ? std::string() : found.error().message));
    REQUIRE(found.ok());
    CHECK(*found == "CUPTI 13.0 range profiler");
    const Variable refused("FAKE_CUPTI", "enable=35");
    CHECK(probe_counters(0).error().message.find("PRIVILEGES") != std::string::npos);
  }
  const Variable library("COPPICE_CUPTI", "/nowhere/libcupti.so");
  CHECK(probe_counters(0).error().message == "/nowhere/libcupti.so: cannot be opened");
}
