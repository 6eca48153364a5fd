// Suites from models' configurations: right extents for each tensor-parallel size, and `check`
// accepts what is written.
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

using namespace coppice;
using namespace coppice::tests;

namespace {

const std::string kModels = std::string(COPPICE_SOURCE_DIR) + "/tests/cli/models/";
constexpr const char* kOps[] = {"add_rmsnorm_fp8_gemm",
                                "fused_add_rmsnorm",
                                "gemm",
                                "gqa_paged_decode",
                                "gqa_prefill",
                                "mla_paged_decode",
                                "moe_ffn"};

Json suites(const std::string& model, std::vector<std::string> words) {
  words.insert(words.begin(), {"shapes", kModels + model});
  const Said said = say(words);
  INFO(said.err);
  REQUIRE(said.status == 0);
  auto parsed = Json::parse(said.out, "stdout");
  REQUIRE(parsed.ok());
  return *parsed;
}

// "name: {dims}" of each workload.
std::string workloads(const Json& all, const char* op) {
  const auto suite = all.reader("suites").find(op);
  if (!suite) {
    return "none";
  }
  const auto items = suite->find("workloads")->items();
  REQUIRE(items.ok());
  std::string out;
  for (const JsonReader& item : *items) {
    out += item.find("name")->text().value() + ": " + item.find("dims")->copy().dump() + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("a dense model gives decode, prefill, matrix products and norms of one device's share") {
  const Json all = suites("llama_8b_like.json", {"--tp", "2", "--tokens", "16", "--batch", "4"});
  CHECK(contains(workloads(all, "gqa_paged_decode"),
                 "b4_s2048_p16: {\"batch\":4,\"head_dim\":128,\"heads\":16,\"kv_heads\":4,"
                 "\"page_refs\":512,\"page_size\":16,\"pages\":520,\"total_kv\":8192}"));
  CHECK(contains(workloads(all, "gqa_prefill"), "\"heads\":16,\"kv_heads\":4"));
  const std::string gemm = workloads(all, "gemm");
  CHECK(contains(gemm, "qkv_m16: {\"k\":4096,\"m\":16,\"n\":3072}"));
  CHECK(contains(gemm, "attention_out_m16: {\"k\":2048,\"m\":16,\"n\":4096}"));
  CHECK(contains(gemm, "gate_up_m16: {\"k\":4096,\"m\":16,\"n\":14336}"));
  CHECK(contains(gemm, "down_m16: {\"k\":7168,\"m\":16,\"n\":4096}"));
  CHECK(contains(gemm, "logits_m16: {\"k\":4096,\"m\":16,\"n\":64128}"));
  CHECK(workloads(all, "fused_add_rmsnorm") == "r16: {\"hidden\":4096,\"rows\":16}\n");
  CHECK(contains(workloads(all, "add_rmsnorm_fp8_gemm"),
                 "gate_up_r16: {\"columns\":14336,\"hidden\":4096,\"rows\":16}"));
  CHECK(workloads(all, "moe_ffn") == "none");
  CHECK(workloads(all, "mla_paged_decode") == "none");
}

TEST_CASE("mixtures of experts are found under each family's names") {
  CHECK(
      contains(workloads(suites("mixtral_like.json", {"--tp", "4"}), "moe_ffn"),
               "t128: {\"experts\":8,\"hidden\":4096,\"inter\":3584,\"tokens\":128,\"top_k\":2}"));
  CHECK(contains(workloads(suites("qwen3_30b_like.json", {}), "moe_ffn"),
                 "t1: {\"experts\":128,\"hidden\":2048,\"inter\":768,\"tokens\":1,\"top_k\":8}"));
  const Json deep = suites("deepseek_v3_like.json", {"--tp", "8", "--batch", "16"});
  CHECK(contains(workloads(deep, "moe_ffn"),
                 "t16: {\"experts\":256,\"hidden\":7168,\"inter\":256,\"tokens\":16,\"top_k\":8}"));
  CHECK(contains(workloads(deep, "mla_paged_decode"),
                 "b16_s2048_p64: {\"batch\":16,\"heads\":16,\"latent\":512,\"page_refs\":512,"
                 "\"page_size\":64,\"pages\":520,\"rope\":64,\"total_kv\":32768}"));
  CHECK(workloads(deep, "gqa_paged_decode") == "none");
  CHECK(contains(workloads(deep, "gemm"), "latent_down_m1: {\"k\":7168,\"m\":1,\"n\":576}"));
}

TEST_CASE("a size that a model can't be split into is refused, with the condition") {
  const Said said = say({"shapes", kModels + "llama_8b_like.json", "--tp", "3"});
  CHECK(said.status == 2);
  CHECK(contains(said.err, "num_attention_heads % tp == 0"));
  const Said words = say({"shapes", kModels + "llama_8b_like.json", "--batch", "many"});
  CHECK(words.status == 2);
  CHECK(contains(words.err, "\"many\""));
}

TEST_CASE("a model's suites are written where a run finds them, and check accepts them", "[slow]") {
  const TemporaryFolder here;
  for (const char* op : kOps) {
    std::filesystem::copy(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/" + op,
                          here / op,
                          std::filesystem::copy_options::recursive);
  }
  for (const char* model : {"llama_8b_like.json",
                            "mixtral_like.json",
                            "qwen3_30b_like.json",
                            "deepseek_v3_like.json"}) {
    const Said said = say({"shapes", kModels + model, "--tp", "2", "--output", here.path()});
    INFO(said.err);
    REQUIRE(said.status == 0);
    CHECK(contains(said.out, "_tp2.json"));
  }
  CHECK(std::filesystem::exists(here / "moe_ffn/suites/mixtral_like_tp2.json"));
  for (const char* op : kOps) {
    const Said checked = say({"check", here / op});
    INFO(checked.out << checked.err);
    CHECK(checked.status == 0);
  }
}
