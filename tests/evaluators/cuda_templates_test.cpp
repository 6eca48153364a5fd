// The CUDA templates that come with the program compile for what they are written for: no GPU
// needed.
#include "cli/template_spaces.h"
#include "core/random.h"
#include "evaluators/cuda/cubin.h"
#include "evaluators/cuda/nvrtc_toolchain.h"
#include "evaluators/prepare.h"
#include "experiments/op_loader.h"
#include "mutators/render.h"
#include "tests/support/catch.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cuda;

namespace {

namespace fs = std::filesystem;

// Beside the default: a few, or as many as COPPICE_GENOMES says.
std::size_t genomes_wanted() {
  const char* wanted = std::getenv("COPPICE_GENOMES");
  return wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 3;
}

constexpr int kTries = 200000;  // where restrictions leave few combinations

// The H200's table as another architecture would have it: its features, and no clusters below
// sm_90.
Target table_for(const std::string& architecture) {
  const fs::path path = fs::path(COPPICE_SOURCE_DIR) / "configs/targets/sm_90.json";
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  const Result<Json> json = Json::parse(text.str(), path.string());
  REQUIRE(json.ok());
  Result<Target> out = target(json->reader(path.string()));
  REQUIRE(out.ok());
  out->facts["architecture"] = architecture;
  if (architecture == "sm_80") {
    out->features = {"sm_80", "cp_async", "bf16"};
    out->facts["cluster_blocks"] = std::int64_t{1};
    out->facts["shared_bytes_per_block"] = std::int64_t{166912};
  } else if (architecture == "sm_100a") {
    std::erase(out->features, "sm_90a");
    std::erase(out->features, "wgmma");
    out->features.insert(out->features.end(), {"sm_100", "sm_100a"});
  }
  return *out;
}

// The default and then random ones, all valid and different.
std::vector<Genome> some_genomes(const AxisSpace& space, std::uint64_t seed) {
  std::vector<Genome> out = {space.canonical(space.default_genome())};
  Rng rng = stream(seed, "cuda_templates_test", 0);
  for (int i = 0; i < kTries && out.size() <= genomes_wanted(); ++i) {
    Genome genome;
    for (const Axis& axis : space.axes()) {
      genome.levels.push_back(static_cast<std::uint16_t>(rng.below(axis.levels.size())));
    }
    genome = space.canonical(genome);
    if (space.valid(genome) && std::ranges::find(out, genome) == out.end()) {
      out.push_back(genome);
    }
  }
  return out;
}

struct Case {
  const Op* op = nullptr;
  const Suite* suite = nullptr;
  const Target* target = nullptr;
  NvrtcToolchain* compiler = nullptr;
};

void compile_one(const Case& at, const TemplateSpace& space, const Genome& genome) {
  const Template* source = at.op->find_template(space.name);
  REQUIRE(source != nullptr);
  const auto classes = cli::precision_classes(*at.op, *at.suite);
  const auto candidate =
      mutators::render(*source, space.space, genome, at.suite->types, classes.front());
  REQUIRE(candidate.ok());
  INFO(at.op->name << "/" << at.suite->name << " " << candidate->label);
  const std::map<std::string, ValueMap> no_scalars;
  const Prepared prepared = prepare(
      *candidate, {*at.op, *at.suite, at.target, no_scalars, {at.suite->workloads.front().name}});
  const bool is_default = genome == space.space.canonical(space.space.default_genome());
  if (prepared.refused) {  // a hard rule of the target that the restrictions leave to it
    CHECK((prepared.refused->failure == FailureClass::plan_invalid ||
           prepared.refused->failure == FailureClass::not_claimed));
    INFO(prepared.refused->message);
    CHECK(!is_default);
    return;
  }
  const CompileJob& job = prepared.jobs[prepared.workloads.front().job];
  const Result<Compiled> compiled = at.compiler->compile(job, {});
  REQUIRE(compiled.ok());
  INFO(compiled->message);
  REQUIRE(compiled->failure == FailureClass::none);
  Result<CubinInfo> info = inspect_cubin(compiled->binary);
  REQUIRE(info.ok());
  add_assembler_report(*info, compiled->log);
  for (const auto& [name, kernel] : info->kernels) {
    INFO("kernel " << name);
    CHECK(kernel.registers <= 255);
    CHECK((!is_default || kernel.spill_store_bytes <= 64));
  }
  for (const ResolvedStep& step : prepared.workloads.front().plan.steps) {
    const auto found = info->kernels.find(step.entry);
    if (step.kind == StepKind::kernel) {
      REQUIRE(found != info->kernels.end());
      CHECK(found->second.registers * step.block[0] * step.block[1] * step.block[2] <= 65536);
    }
  }
}

void compile_all(const std::string& architecture, int expected) {
  Result<std::unique_ptr<NvrtcToolchain>> opened = NvrtcToolchain::open(architecture);
  if (!opened.ok()) {
    REQUIRE(opened.error().code == ErrorCode::environment);
    WARN("skipped: " << opened.error().message);
    return;
  }
  const Target table = table_for(architecture);
  int templates = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(COPPICE_SOURCE_DIR) / "experiments/ops")) {
    if (!fs::is_directory(entry.path() / "templates/cuda")) {
      continue;
    }
    const Result<Op> op = experiments::load_op(entry.path().string());
    REQUIRE(op.ok());
    const auto suite = std::ranges::find_if(
        op->suites, [](const Suite& one) { return one.name.starts_with("h200"); });
    REQUIRE(suite != op->suites.end());
    const Result<cli::TemplateSpaces> spaces = cli::template_spaces(*op, *suite, table, {});
    if (!spaces.ok()) {
      continue;  // none of its templates is for this target
    }
    const Case at{&*op, &*suite, &table, opened->get()};
    for (const TemplateSpace& space : spaces->spaces) {
      ++templates;
      const std::vector<Genome> genomes = some_genomes(space.space, hash_text(space.name));
      CHECK(genomes.size() > 1);
      for (const Genome& genome : genomes) {
        compile_one(at, space, genome);
      }
    }
  }
  CHECK(templates >= expected);
}

}  // namespace

TEST_CASE("each CUDA template compiles for sm_80 where it says so, with random axes too",
          "[slow]") {
  compile_all("sm_80", 3);
}

TEST_CASE("each CUDA template compiles for sm_90a, with random axes too", "[slow]") {
  compile_all("sm_90a", 6);
}

TEST_CASE("each CUDA template compiles for sm_100a where it says so, with random axes too",
          "[slow]") {
  compile_all("sm_100a", 4);
}
