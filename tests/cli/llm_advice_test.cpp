// A run whose model is asked for advice through the command provider: taken, refused, scored.
#include "cli/llm_facts.h"
#include "cli/model_fit.h"
#include "cli/run_reader.h"
#include "experiments/op_loader.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

using namespace coppice;
using namespace coppice::tests;

namespace {

constexpr const char* kAdvice = R"({"edits": [
  {"op": "insert", "parent": 2, "title": "two rows at once", "text": "share the loads", "priority": 0.4, "reason": "half the loads",
   "axes": [{"name": "rows", "levels": [1, 2]}, {"name": "tile", "levels": [1, 2]}]},
  {"op": "insert", "parent": 77, "title": "nowhere", "reason": "r"},
  {"op": "update", "node": 2, "state": "closed", "reason": "tired of it"},
  {"op": "update", "node": 2, "best_log_cost": -9, "reason": "trust me"},
  {"op": "prune", "node": 1, "reason": "all of it"},
  {"op": "insert", "parent": 1, "title": "beside the templates", "reason": "r"}],
 "priors": [{"axis": "tile", "level": 8, "gain": 0.3, "confidence": 0.9},
            {"axis": "tile", "level": 32, "gain": -0.3, "confidence": 0.9},
            {"axis": "tile", "level": 7, "gain": 1, "confidence": 1}]})";

// Answers questions about the search with kAdvice, all others with a kernel like the template's.
std::string adviser(const TemporaryFolder& folder) {
  const std::string kernel =
      Json::object()
          .set("text",
               std::string("IDEA: number NUMBER\n```cpp\n// NUMBER\n") + kTinyKernel + "```\n")
          .dump();
  return "#!/bin/sh\ncd '" + folder.path() +
         "' || exit 1\ncat > last\nif grep -q 'Your task: advise' last; then cp last asked.$$; "
         "cat <<'COPPICE_END'\n" +
         Json::object().set("text", kAdvice).dump() +
         "\nCOPPICE_END\nelse cp last other.$$; n=$$; sed \"s/NUMBER/$n/g\" <<'COPPICE_END'\n" +
         kernel + "\nCOPPICE_END\nfi\n";
}

std::string run_with_advice(FakeWorld& fake) {
  write(fake.folder / "answer.sh", adviser(fake.folder));
  std::string config = tiny_config(fake.folder / "tiny", 48);
  config.back() = ',';
  config +=
      R"("llm": {"schema": 1, "slots": 1, "share": 0.3, "advise": 10, "budget": {"requests": 50}, )"
      R"("models": [{"name": "adviser", "provider": "command", "model": "a", "command": ["/bin/sh", ")" +
      (fake.folder / "answer.sh") + R"("], "price": {"in": 0, "out": 0}}]}})";
  write(fake.folder / "tiny.json", config);
  return fake.run();
}

std::vector<LlmReplied> replies_of(const cli::RunReader& run) {
  std::vector<LlmReplied> out;
  REQUIRE(run.log()
              .visit(EventSeq{1},
                     [&](const archive::LogRow& row) -> Result<bool> {
                       const auto event = decode(row.bytes);
                       if (const auto* replied = std::get_if<LlmReplied>(&*event)) {
                         out.push_back(*replied);
                       }
                       return true;
                     })
              .ok());
  return out;
}

std::string texts_of(const TemporaryFolder& folder, const std::string& beginning) {
  std::string out;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with(beginning)) {
      out += read(entry.path());
    }
  }
  return out;
}

}  // namespace

TEST_CASE(
    "advice is applied part by part, its refusals are told to the model, its beliefs are scored") {
  FakeWorld fake(48, 1, {std::chrono::microseconds(8000), {}, -1});
  const std::string name = run_with_advice(fake);
  auto opened = cli::RunReader::open(fake.store(), name);
  REQUIRE(opened.ok());
  std::optional<LlmReplied> advised;
  std::string messages;
  for (const LlmReplied& reply : replies_of(*opened)) {
    messages += reply.message + "\n";
    if (reply.advice && !advised) {
      advised = reply;
    }
  }
  CAPTURE(messages);
  REQUIRE(advised);
  CHECK(advised->advice->edits.size() == 1);
  CHECK(advised->advice->priors.size() == 2);
  std::string refused;
  for (const std::string& one : advised->refused) {
    refused += one + "\n";
  }
  CAPTURE(refused);
  CHECK(contains(refused, "edits[0].axes[1]: there is an axis \"tile\" already"));
  CHECK(contains(refused, "edits[1]: parent: no such node"));
  CHECK(contains(refused, "edits[2]: node 2: only ideas"));
  CHECK(contains(refused, "edits[3]: \"best_log_cost\": it is measured"));
  CHECK(contains(refused, "edits[4]: node 1 is a root"));
  CHECK(contains(refused, "edits[5]: parent: the root holds templates"));
  CHECK(contains(refused, "priors[2]: axis tile has no such level"));
  // The idea was asked for, with its text and its new axis; what was refused stood in the next
  // question about the search.
  const std::string others = texts_of(fake.folder, "other.");
  CHECK(contains(others, "two rows at once"));
  CHECK(contains(others, "Declare the axis rows with the levels 1 2"));
  CHECK(contains(others, "Levels of the axes, and how they did"));
  CHECK(contains(others, "- by rules: candidate"));
  const std::string asked = texts_of(fake.folder, "asked.");
  CHECK(contains(asked, "What was refused of the last answer"));
  CHECK(contains(asked, "it is measured, not proposed"));
  CHECK(contains(asked, "The search tree"));
  const cli::ModelFit fit = cli::model_fit(opened->fold());
  CHECK(fit.opinions.results > 0);  // how many depends on how soon the answer came
  CHECK(contains(cli::text_of(fit), "the language model's advice"));
  CHECK(contains(cli::text_of(fit), "the statistical model, on the same"));
  const Said replayed = say({"replay", name, "--archive", fake.folder / "archive"});
  CHECK(replayed.status == 0);
  CHECK(contains(replayed.out, "prompts are made again to the letter"));
}

TEST_CASE("a question shows the headers that kernels of the operation include, no others") {
  const auto op =
      experiments::load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/mla_paged_decode");
  REQUIRE(op.ok());
  const std::string gpu = cli::library_text(*op, "cuda");
  CHECK(contains(gpu, "// ---- coppice_hopper.cuh\n"));  // through coppice_wgmma.cuh
  CHECK(contains(gpu, "// ---- coppice_wgmma.cuh\n"));
  CHECK_FALSE(contains(gpu, "// ---- coppice_cuda.cuh\n"));  // has a section of its own
  CHECK(cli::library_text(*op, "cpu").empty());
}

TEST_CASE("a question says what was given up and why, until it is opened again") {
  FakeWorld fake(8);
  const cli::RunMaterial material = fake.material();
  const TemplateSpace& space = material.templates.spaces.front();
  Proposed proposal;
  proposal.candidate = {1};
  proposal.spec.template_name = space.name;
  proposal.spec.genome = space.space.canonical(space.space.default_genome());
  cli::LlmFacts facts;
  facts.take(proposal);
  Insert insert;
  insert.node = {2};
  insert.parent = {1};
  insert.kind = NodeKind::template_root;
  insert.template_name = "plain";
  insert.title = "wide rows";
  facts.take(EditApplied{insert});
  facts.take(EditApplied{Prune{{2}, "memory: two runs showed it 3 times as slow"}});
  LlmAsked ask;
  ask.action = "rewrite";
  ask.parents = {{1}};
  CHECK(contains(facts.sections(material, ask)->at("tried"),
                 "given up: wide rows (plain): memory: two runs showed"));
  Update update;
  update.node = {2};
  update.state = NodeState::open;
  facts.take(EditApplied{update});
  CHECK_FALSE(contains(facts.sections(material, ask)->at("tried"), "given up"));
}
