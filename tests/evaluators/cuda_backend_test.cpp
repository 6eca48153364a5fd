// The backend where there is no GPU: it explains itself and touches nothing.
#include "evaluators/cuda/cuda_backend.h"

#include "evaluators/cuda/driver_api.h"
#include "experiments/op_loader.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cuda;

TEST_CASE("without a driver the CUDA backend says what is missing and how to get it") {
  if (load_driver().ok()) {
    WARN("skipped: this machine has a CUDA driver");
    return;
  }
  const auto device = probe_device(0);
  REQUIRE(!device.ok());
  CHECK(device.error().code == ErrorCode::environment);
  CHECK(device.error().message.find("libcuda.so.1") != std::string::npos);
  CHECK(device.error().message.find("nvidia-driver") != std::string::npos);
  const auto backend = make_cuda_backend(0);
  const Json probed = backend->probe();
  CHECK(!probed.reader("probe").find("device").has_value());
  CHECK(probed.reader("probe").find("missing").has_value());
}

TEST_CASE("a task before a session is a mistake of the caller, not a crash") {
  const auto backend = make_cuda_backend(0);
  CHECK(backend->evaluate({}, {}).error().code == ErrorCode::usage);
  CHECK(backend->host_scalars().error().code == ErrorCode::usage);
}

TEST_CASE("a session on a suite that the op lacks is refused by name") {
  const auto op =
      experiments::load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/moe_ffn");
  REQUIRE(op.ok());
  DeviceSession session;
  session.op = *op;
  session.suite = "nowhere";
  const auto opened = make_cuda_backend(0)->open(std::move(session), {});
  REQUIRE(!opened.ok());
  CHECK(opened.error().message.find("nowhere") != std::string::npos);
}

TEST_CASE("every operation with a CUDA template has a device reference and a plain opponent") {
  for (const char* name : {"gqa_paged_decode", "moe_ffn"}) {
    const auto op =
        experiments::load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/" + name);
    INFO(name << ": " << (op.ok() ? "" : op.error().message));
    REQUIRE(op.ok());
    CHECK(!op->reference_cu.empty());
    CHECK(op->reference_plan.has_value());
    int opponents = 0;
    for (const BaselineSpec& baseline : op->baselines) {
      opponents += baseline.backend == "cuda" && baseline.plan ? 1 : 0;
    }
    CHECK(opponents >= 1);
  }
}
