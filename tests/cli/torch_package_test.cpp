// The exported torch package: imported with a recording driver, compared with the archive.
#include "archive/comparison_file.h"
#include "cli/export_torch.h"
#include "cli/torch_build.h"
#include "core/op_shapes.h"
#include "evaluators/cuda/nvrtc_api.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

using namespace coppice;
using namespace coppice::tests;

namespace {

bool python_is_here() {
  return std::system("python3 -c pass >/dev/null 2>&1") == 0;
}

// A finished search for an operation of the repository on an H200 that is not here.
struct CudaRun {
  CudaRun(const std::string& op, const std::string& suite) {
    write(folder / "run.json",
          R"({"schema": 1, "op": ")" + std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/" + op +
              R"(", "suite": ")" + suite +
              R"(", "backend": "cuda", "target": "sm_90", "seed": 1, "budget": {"attempts": 3}})");
    const auto config = cli::load_run_config(folder / "run.json");
    REQUIRE(config.ok());
    auto gathered = cli::gather(*config, cli::Places{{COPPICE_SOURCE_DIR}});
    INFO((gathered.ok() ? "" : gathered.error().message));
    REQUIRE(gathered.ok());
    auto opened = archive::RunStore::open(folder / "archive", archive::RunStore::Access::create);
    REQUIRE(opened.ok());
    const cli::SessionWorld world{
        evaluator, clock, executor, streams.console, [] { return 0; }, ""};
    const auto result = cli::start_run(*opened, "h200", *gathered, {}, world);
    INFO((result.ok() ? "" : result.error().message));
    REQUIRE(result.ok());
    run = result->run;
    auto found = cli::RunReader::open(*opened, run);
    REQUIRE(found.ok());
    reader.emplace(std::move(*found));
  }

  TemporaryFolder folder;
  FakeEvaluator evaluator;
  SteadyClock clock;
  InlineExecutor executor;
  Streams streams;
  std::string run;
  std::optional<cli::RunReader> reader;
};

// The package with made-up code: everything but the compilers.
std::map<std::string, std::string> package_of(const CudaRun& world) {
  const cli::RunMaterial& material = world.reader->material();
  const auto candidate = world.reader->candidate(*world.reader->best());
  REQUIRE(candidate.ok());
  std::map<std::string, cli::PackedStructure> structures;
  std::map<std::string, ValueMap> scalars;
  for (const auto* group : {&material.suite().workloads, &material.suite().hidden}) {
    for (const Workload& workload : *group) {
      const auto shapes = tensor_shapes(material.op, material.suite(), workload);
      REQUIRE(shapes.ok());
      for (const TensorShape& tensor : *shapes) {
        if (tensor.role == TensorRole::structure) {
          structures[workload.name].tensors[tensor.name] = std::string(tensor.bytes, '\1');
        }
      }
      for (const std::string& name : material.op.scalars) {
        structures[workload.name].scalars[name] = std::int64_t{64};
      }
      scalars[workload.name] = structures[workload.name].scalars;
    }
  }
  const evaluators::Prepared prepared = evaluators::prepare(
      *candidate, {material.op, material.suite(), &material.target, scalars, {}});
  INFO((prepared.refused ? prepared.refused->message : ""));
  REQUIRE_FALSE(prepared.refused);
  std::vector<std::string> cubins(prepared.jobs.size(), "code");
  const auto certificate = cli::torch_certificate(*world.reader, *world.reader->best(), *candidate);
  REQUIRE(certificate.ok());
  const auto files = cli::torch_package({material.op,
                                         material.suite(),
                                         *candidate,
                                         prepared,
                                         cubins,
                                         "contract",
                                         structures,
                                         material.target,
                                         *certificate});
  REQUIRE(files.ok());
  return *files;
}

Json tried(const CudaRun& world, const std::map<std::string, std::string>& files) {
  for (const auto& [name, text] : files) {
    write(world.folder / ("package/" + name), text);
  }
  const std::string out = world.folder / "answer.json";
  const std::string command = "python3 " + std::string(COPPICE_SOURCE_DIR) +
                              "/tests/cli/torch_package_try.py " + (world.folder / "package") +
                              " > " + out + " 2> " + (world.folder / "errors");
  INFO(command);
  const int status = std::system(command.c_str());
  INFO(read(world.folder / "errors"));
  REQUIRE(status == 0);
  auto answer = Json::parse(read(out), "answer");
  REQUIRE(answer.ok());
  return *answer;
}

std::string text_in(const JsonReader& json, std::string_view key) {
  const auto member = json.find(key);
  REQUIRE(member);
  return member->copy().dump();
}

}  // namespace

TEST_CASE("a torch package launches on torch's stream what the search launched, for every shape") {
  if (!python_is_here()) {
    WARN("skipped: no python3 here");
    return;
  }
  for (const auto& [op, suite] : {std::pair("gemm", "h200_few_rows"),
                                  std::pair("gqa_paged_decode", "h200_b16"),
                                  std::pair("moe_ffn", "h200_few_tokens")}) {
    const CudaRun world(op, suite);
    const Json answer = tried(world, package_of(world));
    const JsonReader reader = answer.reader("answer");
    const auto workloads = reader.find("workloads")->members();
    REQUIRE(workloads.ok());
    CHECK(workloads->size() >= world.reader->material().suite().workloads.size());
    for (const auto& [name, launched] : *workloads) {
      INFO(op << " " << name);
      CHECK(text_in(launched, "difference") == "\"\"");
      CHECK(contains(text_in(launched, "launches"), "\"stream\":77"));
      CHECK(contains(text_in(launched, "launches"), "\"kernel\""));
    }
  }
}

TEST_CASE("a torch package refuses shapes that were not verified, unless a fall-back is named") {
  if (!python_is_here()) {
    WARN("skipped: no python3 here");
    return;
  }
  const CudaRun world("gemm", "h200_few_rows");
  const Json answer = tried(world, package_of(world));
  const JsonReader reader = answer.reader("answer");
  CHECK(contains(text_in(reader, "strange"), "NotVerified: gemm: "));
  CHECK(text_in(reader, "fallback") == "[\"a\"]");
}

TEST_CASE("a torch package's certificate is the archive's evidence and names every file") {
  const CudaRun world("gemm", "h200_few_rows");
  const auto files = package_of(world);
  const auto parsed = Json::parse(files.at("certificate.json"), "certificate.json");
  REQUIRE(parsed.ok());
  const JsonReader certificate = parsed->reader("certificate");
  const archive::Attempt& best = *world.reader->best();
  CHECK(text_in(certificate, "candidate") == std::to_string(best.proposal.candidate.value));
  const auto evidence = world.reader->evidence(best);
  REQUIRE(evidence.ok());
  CHECK(text_in(certificate, "evidence") == to_json(*evidence).dump());
  const auto head = archive::head_of(world.reader->log());
  REQUIRE(head.ok());
  const auto from = certificate.find("archive");
  REQUIRE(from);
  CHECK(text_in(*from, "head") == "\"" + head->hex() + "\"");
  CHECK(text_in(*from, "run") == "\"" + world.run + "\"");
  const auto digests = certificate.find("files")->members();
  REQUIRE(digests.ok());
  CHECK(digests->size() + 1 == files.size());
  for (const auto& [name, digest] : *digests) {
    CHECK(digest.text().value() == sha256(files.at(name)).hex());
  }
  CHECK(files.count("fallback.py") == 1);
  CHECK(contains(files.at("__init__.py"), "def gemm(a, b, *, c=None, "));
}

TEST_CASE("export --format torch compiles a package without a device", "[slow]") {
  if (!evaluators::cuda::load_nvrtc().ok()) {
    WARN("skipped: no NVRTC here");
    return;
  }
  const CudaRun world("fused_add_rmsnorm", "h200_few_rows");
  const std::string folder = world.folder / "fast_norm";
  const Said said = say({"export",
                         world.run,
                         "--format",
                         "torch",
                         "--output",
                         folder,
                         "--archive",
                         world.folder / "archive"});
  INFO(said.err);
  REQUIRE(said.status == 0);
  CHECK(contains(said.out, folder));
  const std::string code = read(folder + "/kernel_0.cubin");
  CHECK(code.compare(1, 3, "ELF") == 0);
  CHECK(read(folder + "/contract.cubin").compare(1, 3, "ELF") == 0);
  CHECK(contains(read(folder + "/certificate.json"), "sm_90a"));
}

TEST_CASE("a torch package needs a name that can be imported and a run of a CUDA device") {
  FakeWorld fake(6);
  const std::string run = fake.run();
  const std::string archive = fake.folder / "archive";
  const Said bad = say({"export",
                        run,
                        "--format",
                        "torch",
                        "--output",
                        fake.folder / "no-name",
                        "--archive",
                        archive});
  CHECK(bad.status == 2);
  CHECK(contains(bad.err, "no-name"));
  const Said cpu = say(
      {"export", run, "--format", "torch", "--output", fake.folder / "name", "--archive", archive});
  CHECK(cpu.status == 2);
  CHECK(contains(cpu.err, "CUDA"));
}
