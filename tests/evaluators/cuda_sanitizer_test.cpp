// The memory check without a device: reports as the tool writes them, and a script in its place.
#include "evaluators/cuda/sanitizer.h"
#include "tests/support/catch.h"

#include <cstdlib>

using namespace coppice;
using namespace coppice::evaluators::cuda;

namespace {

const std::string kScript =
    std::string(COPPICE_SOURCE_DIR) + "/tests/evaluators/fakes/compute-sanitizer";

// A variable of the environment for the time of a test.
class Setting {
 public:
  Setting(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Setting() { unsetenv(name_); }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  const char* name_;
};

LaunchJob one_launch() {
  ResolvedStep step;
  step.entry = "scale";
  step.grid = {4, 1, 1};
  step.block = {32, 1, 1};
  for (const char* name : {"x", "y"}) {
    ResolvedArg argument;
    argument.kind = ArgKind::tensor;
    argument.name = name;
    step.args.push_back(argument);
  }
  LaunchOnce out;
  out.workload = "odd_b3";
  out.binary = "cubin";
  out.plan.steps = {step};
  out.plan.workspace = {{"scratch", 100}};
  out.tensors = {{"x", false, 5, "hello"}, {"y", true, 12, ""}};
  return LaunchJob{0, {out, out}};
}

MemoryCheck checked(const std::string& doing, Nanoseconds limit = std::chrono::seconds(30)) {
  const Setting tool("COPPICE_SANITIZER", kScript);
  const Setting behaviour("FAKE_SANITIZER", doing);
  SanitizerOptions options;
  options.program = std::string(COPPICE_BINARY_DIR) + "/coppice";
  options.limit = limit;
  return sanitize(one_launch(), options);
}

}  // namespace

TEST_CASE("a job of launches comes back as it was written, and a torn one is refused") {
  const LaunchJob job = one_launch();
  const std::string bytes = encode(job);
  const auto back = decode_launch_job(bytes);
  REQUIRE(back.ok());
  REQUIRE(back->launches.size() == 2);
  const LaunchOnce& launch = back->launches[1];
  CHECK(launch.workload == "odd_b3");
  CHECK(launch.binary == "cubin");
  REQUIRE(launch.tensors.size() == 2);
  CHECK(launch.tensors[0].content == "hello");
  CHECK(launch.tensors[1].output);
  CHECK(launch.tensors[1].bytes == 12);
  CHECK(launch.plan.steps[0].entry == "scale");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK(!decode_launch_job(std::string_view(bytes).substr(0, size)).ok());
  }
  LaunchJob wrong = job;
  wrong.launches[1].tensors[0].bytes = 6;
  CHECK(decode_launch_job(encode(wrong)).error().message.find("x: content") != std::string::npos);
}

TEST_CASE("a report's finding is one line with kernel, place, thread and address") {
  const SanitizerReport report = read_sanitizer_report(
      "========= COMPUTE-SANITIZER\nlaunch-once: workload odd_b3\n"
      "========= Invalid __global__ read of size 16 bytes\n"
      "=========     at k(float *)+0x1f0 in kernel.cu:9\n"
      "=========     by thread (1,0,0) in block (0,0,0)\n"
      "=========     Access at 0x10 is out of bounds\n"
      "=========     Saved host backtrace up to driver entry point at kernel launch time\n"
      "=========         Host Frame: f+0x1 [0x2] in libcuda.so.1\n"
      "========= \n"
      "========= Program hit CUDA_ERROR_LAUNCH_FAILED (error 719) on CUDA API call.\n"
      "========= ERROR SUMMARY: 2 errors\n");
  CHECK(report.complete);
  CHECK(report.finding ==
        "odd_b3: Invalid __global__ read of size 16 bytes, at k(float *)+0x1f0 in kernel.cu:9, by "
        "thread (1,0,0) in block (0,0,0), Access at 0x10 is out of bounds");
}

TEST_CASE("an error of the program that names no place in a kernel is no finding") {
  const SanitizerReport report = read_sanitizer_report(
      "========= COMPUTE-SANITIZER\n"
      "========= Program hit CUDA_ERROR_NOT_FOUND (error 500) on CUDA API call to cuModuleGet.\n"
      "=========     Saved host backtrace up to driver entry point at error\n"
      "=========         Host Frame: main+0x12 [0x1] in coppice\n"
      "========= \n"
      "========= ERROR SUMMARY: 1 error\n");
  CHECK(report.complete);
  CHECK(report.finding.empty());
}

TEST_CASE("a report without its summary is not complete") {
  CHECK(!read_sanitizer_report("========= COMPUTE-SANITIZER\n").complete);
  CHECK(!read_sanitizer_report("").complete);
}

TEST_CASE("both tools run over a sound candidate and find nothing") {
  const MemoryCheck check = checked("clean");
  CHECK(check.unavailable.empty());
  CHECK(check.finding.empty());
  CHECK(check.ran == "memcheck, racecheck");
  CHECK(check.tool == "compute-sanitizer 2025.3.1.0");
  CHECK(check.workloads == "odd_b3, odd_b3");
}

TEST_CASE("an access outside its memory is a finding with its tool, and ends the check") {
  const MemoryCheck check = checked("finding");
  CHECK(check.finding.find("memcheck: Invalid __global__ write of size 4 bytes, at scale+0x70 in "
                           "kernel.cu:52") == 0);
  CHECK(check.finding.find("Host Frame") == std::string::npos);
  CHECK(check.ran == "memcheck");
}

TEST_CASE("a race is noted and refuses nobody") {
  const MemoryCheck check = checked("race");
  CHECK(check.finding.empty());
  CHECK(check.noted.find("racecheck: Error: Race reported between") == 0);
}

TEST_CASE("a tool that can't look is said, not held against the candidate") {
  const MemoryCheck unsupported = checked("unsupported");
  CHECK(unsupported.finding.empty());
  CHECK(unsupported.unavailable == "memcheck: Error: Device not supported");
  CHECK(unsupported.ran.empty());
  const MemoryCheck late = checked("hang", std::chrono::milliseconds(200));
  CHECK(late.unavailable.find("no end within") != std::string::npos);
  const Setting off("COPPICE_SANITIZER", "off");
  CHECK(sanitize(one_launch(), {}).unavailable == "switched off (COPPICE_SANITIZER=off)");
  const Setting absent("COPPICE_SANITIZER", "/nowhere/compute-sanitizer");
  CHECK(sanitize(one_launch(), {}).unavailable.find("/nowhere/compute-sanitizer") == 0);
}

TEST_CASE("the program launches a candidate's plan by itself under the tool") {
  const Setting driver("COPPICE_LIBCUDA",
                       std::string(COPPICE_BINARY_DIR) + "/tests/libfake_cuda.so");
  const MemoryCheck sound = checked("run");
  CHECK(sound.unavailable.empty());
  CHECK(sound.ran == "memcheck, racecheck");
  const Setting failing("FAKE_CUDA_LAUNCH", "700");
  const MemoryCheck broken = checked("run");
  CHECK(broken.finding.empty());
  CHECK(broken.unavailable.find("launch-once: launch: CUDA_ERROR_ILLEGAL_ADDRESS") !=
        std::string::npos);
}
