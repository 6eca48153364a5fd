// What PTX tells about state and foreign calls.
#include "evaluators/cuda/nvrtc_toolchain.h"
#include "evaluators/cuda/ptx_scan.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cuda;

TEST_CASE("a constant that the compiler folded is no state, a variable is") {
  const char* ptx =
      ".global .align 4 .u32 kPer = 4;\n.global .align 4 .u32 used = 1;\n"
      ".visible .global .align 8 .b8 table[64];\n.global .align 4 .u32 _ZL3xyz;\n"
      "\tst.global.u32 \t[used], %r5;\n";
  CHECK(stateful_variables(ptx) == std::vector<std::string>{"used", "table", "_ZL3xyz"});
  CHECK(forbidden_in_ptx(".global .align 4 .u32 kPer = 4;\n\tmov.u32 %r1, kPerhaps;\n").empty());
}

TEST_CASE("functions from elsewhere are named") {
  CHECK(foreign_functions(".extern .func  (.param .b32 func_retval0) vprintf\n(\n") ==
        std::vector<std::string>{"vprintf"});
  CHECK(forbidden_in_ptx(".extern .func malloc\n").find("malloc") != std::string::npos);
}

TEST_CASE("kernels that remember, print or allocate are refused at compile time") {
  auto compiler = NvrtcToolchain::open("sm_90a");
  if (!compiler.ok()) {
    WARN("skipped: " << compiler.error().message);
    return;
  }
  const auto failure = [&](const std::string& source) {
    CompileJob job;
    job.source_name = "kernel.cu";
    job.source = source;
    const auto compiled = (*compiler)->compile(job, {});
    REQUIRE(compiled.ok());
    INFO(compiled->message);
    return compiled->failure;
  };
  CHECK(failure("__device__ int n; extern \"C\" __global__ void k(int* x) { *x = n++; }") ==
        FailureClass::forbidden_code);
  CHECK(failure("extern \"C\" __global__ void k(int* x) { printf(\"%d\", *x); }") !=
        FailureClass::none);
  CHECK(failure("constexpr int kN = 3; __constant__ float t[2] = {1, 2};"
                " extern \"C\" __global__ void k(float* x) { x[0] = t[threadIdx.x & 1] + kN; }") ==
        FailureClass::none);
}
