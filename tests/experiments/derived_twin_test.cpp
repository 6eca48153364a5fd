// Twins that are a baseline with texts replaced.
#include "experiments/op_loader.h"
#include "tests/support/catch.h"

#include <algorithm>

namespace coppice::experiments {
namespace {

const std::string kTwin = "twins/cuda/bad_last_k/twin.json";

Op shipped_gemm() {
  Result<Op> op = load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/gemm");
  if (!op.ok()) {
    FAIL(op.error().message);
  }
  return std::move(op).value();
}

std::string refusal(const std::string& twin) {
  auto files = shipped_gemm().files;
  files[kTwin] = twin;
  const Result<Op> op = load_op(files, "gemm");
  REQUIRE(!op.ok());
  return op.error().message;
}

}  // namespace

TEST_CASE("a twin may be a baseline with one thing wrong") {
  const Op op = shipped_gemm();
  const auto twin = std::ranges::find(op.twins, "bad_last_k", &Twin::name);
  const auto base = std::ranges::find(op.baselines, "warp_per_column", &BaselineSpec::name);
  REQUIRE(twin != op.twins.end());
  REQUIRE(base != op.baselines.end());
  CHECK_FALSE(twin->good);
  CHECK(twin->backend == "cuda");
  REQUIRE(twin->plan);
  CHECK(to_json(*twin->plan).dump() == to_json(*base->plan).dump());
  CHECK(base->source.find("d < words - 1") == std::string::npos);
  CHECK(twin->source.find("d < words - 1") != std::string::npos);
  CHECK(twin->source.size() == base->source.size() + 4);
}

TEST_CASE("an edit that fits nowhere, or in two places, is refused by place") {
  CHECK_THAT(refusal(R"({"schema": 1, "good": false, "baseline": "warp_per_column",
                         "edits": [["no such text", ""]]})"),
             Catch::Contains(kTwin) && Catch::Contains("/edits/0") &&
                 Catch::Contains("exactly once in baseline warp_per_column"));
  CHECK_THAT(refusal(R"({"schema": 1, "good": false, "baseline": "warp_per_column",
                         "edits": [["coppice_low", "coppice_high"]]})"),
             Catch::Contains("exactly once"));
  CHECK_THAT(refusal(R"({"schema": 1, "good": false, "baseline": "warp_per_colum"})"),
             Catch::Contains("/baseline") && Catch::Contains("warp_per_colum"));
  CHECK_THAT(refusal(R"({"schema": 1, "good": true})"), Catch::Contains("a kernel beside it"));
}

}  // namespace coppice::experiments
