// NVRTC without a GPU: every target compiles, faults are located, cubins tell what they contain.
#include "evaluators/cuda/cubin.h"
#include "evaluators/cuda/nvrtc_toolchain.h"
#include "evaluators/cuda/trusted_kernels.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cuda;

namespace {

// Nothing on machines without NVRTC; the test then says so and ends.
std::unique_ptr<NvrtcToolchain> toolchain(const std::string& architecture,
                                          CompileLimits limits = {}) {
  Result<std::unique_ptr<NvrtcToolchain>> opened = NvrtcToolchain::open(architecture, limits);
  if (!opened.ok()) {
    REQUIRE(opened.error().code == ErrorCode::environment);
    WARN("skipped: " << opened.error().message);
    return nullptr;
  }
  return std::move(opened).value();
}

CompileJob job(std::string source) {
  CompileJob out;
  out.source_name = "kernel.cu";
  out.source = std::move(source);
  return out;
}

constexpr const char* kScale = R"(
extern "C" __global__ void scale(float* x, long long n, float by) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i < n) x[i] *= by;
})";

}  // namespace

TEST_CASE("a kernel compiles for every target without a GPU") {
  for (const char* architecture : {"sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120"}) {
    const auto compiler = toolchain(architecture);
    if (compiler == nullptr) {
      return;
    }
    const Result<Compiled> compiled = compiler->compile(job(kScale), {});
    REQUIRE(compiled.ok());
    INFO(architecture << ": " << compiled->message);
    REQUIRE(compiled->failure == FailureClass::none);
    Result<CubinInfo> info = inspect_cubin(compiled->binary);
    REQUIRE(info.ok());
    add_assembler_report(*info, compiled->log);
    REQUIRE(info->kernels.size() == 1);
    CHECK(info->kernels.count("scale") == 1);
    CHECK(info->kernels.begin()->second.registers > 0);
    CHECK(info->kernels.begin()->second.spill_store_bytes == 0);
    CHECK(info->writable_bytes == 0);
  }
}

TEST_CASE("an unknown architecture is a configuration error that names known ones") {
  const auto opened = NvrtcToolchain::open("sm_999");
  REQUIRE(!opened.ok());
  CHECK(opened.error().code == ErrorCode::config);
  CHECK(opened.error().message.find("sm_90a") != std::string::npos);
}

TEST_CASE("a compile error names the candidate's own line") {
  const auto compiler = toolchain("sm_90a");
  if (compiler == nullptr) {
    return;
  }
  const auto compiled = compiler->compile(job("#define A 1\n#line 1 \"kernel.cu\"\nextern \"C\" "
                                              "__global__ void k() {\n  missing = 3;\n}\n"),
                                          {});
  REQUIRE(compiled.ok());
  CHECK(compiled->failure == FailureClass::compile_error);
  CHECK(compiled->message.rfind("kernel.cu:2: error:", 0) == 0);
  CHECK(compiled->binary.empty());
}

TEST_CASE("the compiler opens no file of the host") {
  const auto compiler = toolchain("sm_90a");
  if (compiler == nullptr) {
    return;
  }
  const auto compiled = compiler->compile(job("#include \"/etc/passwd\"\n"), {});
  REQUIRE(compiled.ok());
  CHECK(compiled->failure == FailureClass::compile_error);
  CHECK(compiled->log.find("root:") == std::string::npos);
  CHECK(compiled->message.find("/etc/passwd") != std::string::npos);
}

TEST_CASE("a header that the job brings can be included, no other") {
  const auto compiler = toolchain("sm_90a");
  if (compiler == nullptr) {
    return;
  }
  CompileJob with =
      job("#include \"own.cuh\"\nextern \"C\" __global__ void k(int* x) { *x = OWN; }\n");
  with.headers["own.cuh"] = "#define OWN 7\n";
  CHECK(compiler->compile(with, {})->failure == FailureClass::none);
  with.headers.clear();
  CHECK(compiler->compile(with, {})->failure == FailureClass::compile_error);
}

TEST_CASE("device variables that outlive a launch are refused by name") {
  const auto compiler = toolchain("sm_90a");
  if (compiler == nullptr) {
    return;
  }
  const auto compiled = compiler->compile(
      job("__device__ int counter;\nextern \"C\" __global__ void k(int* x) { *x = counter++; }\n"),
      {});
  REQUIRE(compiled.ok());
  CHECK(compiled->failure == FailureClass::forbidden_code);
  CHECK(compiled->message.find("counter") != std::string::npos);
  CHECK(compiled->binary.empty());
}

TEST_CASE("spills and the stack frame are reported") {
  const auto compiler = toolchain("sm_90a");
  if (compiler == nullptr) {
    return;
  }
  const auto compiled =
      compiler->compile(job("extern \"C\" __global__ void k(int* x) { int a[512]; for (int i = 0; "
                            "i < 512; ++i) a[i] = x[i];"
                            " for (int i = 0; i < 512; ++i) x[i] = a[(x[i] + i) & 511]; }\n"),
                        {});
  REQUIRE(compiled->failure == FailureClass::none);
  auto info = inspect_cubin(compiled->binary);
  REQUIRE(info.ok());
  add_assembler_report(*info, compiled->log);
  CHECK(info->kernels.at("k").frame_bytes >= 2048);
}

TEST_CASE("a template bomb ends at its deadline", "[slow]") {
  const auto compiler = toolchain("sm_90a", {.wall = std::chrono::milliseconds(1500)});
  if (compiler == nullptr) {
    return;
  }
  const auto compiled =
      compiler->compile(job("template<int N, int M> struct F { static constexpr int v = F<N-1, "
                            "M*2>::v + F<N-1, M*2+1>::v; };\n"
                            "template<int M> struct F<0, M> { static constexpr int v = M; };\n"
                            "extern \"C\" __global__ void k(int* x) { *x = F<26, 1>::v; }\n"),
                        {});
  REQUIRE(compiled.ok());
  CHECK((compiled->failure == FailureClass::compile_timeout ||
         compiled->failure == FailureClass::memory_limit));
  CHECK(compiled->elapsed < std::chrono::seconds(10));
}

TEST_CASE("the judge's own kernels compile for the oldest and the newest target", "[slow]") {
  for (const char* architecture : {"sm_80", "sm_90a", "sm_120"}) {
    const auto compiler = toolchain(architecture);
    if (compiler == nullptr) {
      return;
    }
    const auto compiled = compiler->compile(job(kTrustedSource), {});
    REQUIRE(compiled.ok());
    INFO(compiled->message);
    CHECK(compiled->failure == FailureClass::none);
  }
}

TEST_CASE("torn and foreign binaries are refused, not read") {
  CHECK(!inspect_cubin("").ok());
  CHECK(!inspect_cubin("not an ELF file").ok());
  const auto compiler = toolchain("sm_90a");
  if (compiler == nullptr) {
    return;
  }
  const auto compiled = compiler->compile(job(kScale), {});
  REQUIRE(compiled.ok());
  const std::string cubin = compiled->binary;
  REQUIRE(cubin.size() > 0x12);
  for (std::size_t size = 0; size < cubin.size(); size += 37) {
    (void)inspect_cubin(std::string_view(cubin).substr(0, size));  // must not crash
  }
  std::string wrong = cubin;
  wrong[0x12] = 62;  // x86-64
  CHECK(!inspect_cubin(wrong).ok());
}

TEST_CASE("logs lose control characters and statistics, keep text, and have a bound") {
  CHECK(filtered_log("kernel.cu(3): error: x\nptxas info    : Compile time = 3 ms\n\x01\xff\n",
                     1000) == "kernel.cu:3: error: x\n??\n");
  CHECK(filtered_log(std::string(5000, 'a') + "\n", 100).size() <= 110);
  CHECK(
      evaluators::cuda::first_error("kernel.cu(12): warning #1: w\nkernel.cu(14): error: bad\n") ==
      "kernel.cu:14: error: bad");
}
