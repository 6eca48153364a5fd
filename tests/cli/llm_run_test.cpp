// Runs that ask a scripted language model through the command provider: record, replay, budgets.
#include "archive/run_fold.h"
#include "cli/prompt_check.h"
#include "cli/replay.h"
#include "cli/run_reader.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

using namespace coppice;
using namespace coppice::tests;

namespace {

constexpr const char* kSecret = "hush-9876543210";

// A shell script that answers the n-th question with the n-th text, the last one again and again.
// It counts in a file, and keeps each request.
std::string script_for(const TemporaryFolder& folder, const std::vector<std::string>& answers) {
  std::string script = "#!/bin/sh\ncd '" + folder.path() +
                       "' || exit 1\nn=$(cat count 2>/dev/null || echo 0)\n"
                       "echo $((n + 1)) > count\ncat > request.$n\ncase $n in\n";
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const bool last = i + 1 == answers.size();
    script += (last ? std::string("*") : std::to_string(i)) + ") cat <<'COPPICE_END'\n" +
              Json::object().set("text", answers[i]).set("model", "scripted").dump() +
              "\nCOPPICE_END\n;;\n";
  }
  return script + "esac\n";
}

std::string whole(const std::string& idea, const std::string& mark) {
  return "IDEA: " + idea + "\nBecause.\n```cpp\n// " + mark + "\n" + kTinyKernel + "```\n";
}

constexpr const char* kFewPoints = R"json({
  "schema": 1, "summary": "A loop.",
  "axes": [
    {"name": "tile", "type": "ordinal", "kind": "tile", "levels": [1, 2, 4], "default": 1},
    {"name": "fuse", "type": "boolean", "kind": "fusion", "levels": [false, true], "default": false, "structural": true}],
  "plan": {"threads": 1, "steps": [
    {"kernel": "twice", "grid": ["ceil_div(n, 8 * tile)"],
     "args": [{"tensor": "x"}, {"tensor": "y"}, {"dim": "n"}]}]}
})json";

struct ModelWorld : FakeWorld {
  explicit ModelWorld(const std::vector<std::string>& answers,
                      int attempts = 24,
                      const std::string& more = "",
                      const std::string& budget = R"({"requests": 50})")
      : FakeWorld(attempts, 1, {std::chrono::microseconds(8000), {}, -1}) {
    write(folder / "answer.sh", script_for(folder, answers));
    std::string config = tiny_config(folder / "tiny", attempts);
    config.back() = ',';
    config +=
        R"("llm": {"schema": 1, "slots": 1, "share": 0.5, "budget": )" + budget +
        R"(, "models": [{"name": "scripted", "provider": "command", "model": "s", "command": [)"
        R"("/bin/sh", ")" +
        (folder / "answer.sh") +
        R"("], "secret_env": ["HUSH"], )"
        R"("deadline_seconds": 20, "price": {"in": 1, "out": 2}}])" +
        more + "}}";
    write(folder / "tiny.json", config);
  }
  cli::SessionWorld world() {
    cli::SessionWorld out = FakeWorld::world();
    out.environment = [](const std::string& name) {
      return name == "HUSH" ? std::optional<std::string>(kSecret) : std::nullopt;
    };
    return out;
  }
  std::string run() {
    const auto result = cli::start_run(store(), "tiny", material(), {}, world());
    if (!result.ok()) {
      FAIL(result.error().message);
    }
    return result->run;
  }
  cli::RunReader reader(const std::string& run) {
    auto opened = cli::RunReader::open(store(), run);
    if (!opened.ok()) {
      FAIL(opened.error().message);
    }
    return std::move(*opened);
  }
};

std::int64_t by_model(const cli::RunReader& run) {
  std::int64_t count = 0;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    count +=
        attempt.proposal.fidelity == Fidelity::search && attempt.proposal.spec.template_name.empty()
            ? 1
            : 0;
  }
  return count;
}

std::int64_t in_model_templates(const cli::RunReader& run) {
  std::int64_t count = 0;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const bool tuned = attempt.proposal.spec.template_name.starts_with("llm_");
    count += attempt.proposal.fidelity == Fidelity::search && tuned ? 1 : 0;
  }
  return count;
}

std::string title_of(const cli::RunReader& run, const std::string& title) {
  for (const auto& [id, node] : run.fold().nodes()) {
    if (node.insert.title == title) {
      return node.reason;
    }
  }
  return "no such node";
}

}  // namespace

TEST_CASE("a competent model's idea survives two failures, wins, and the run replays offline") {
  ModelWorld fake({whole("two at once", "BROKEN 1"),
                   whole("two at once", "BROKEN 2"),
                   whole("two at once", "FASTER"),
                   "I have nothing more."},
                  1000);
  // So few points that the rules are through with them, and the run waits for the answers.
  write(fake.folder / "tiny/templates/cpu/plain/template.json", kFewPoints);
  const std::string run = fake.run();
  std::filesystem::remove_all(fake.folder / "tiny");   // replay needs the archive alone,
  std::filesystem::remove(fake.folder / "answer.sh");  // and nobody to ask
  const cli::RunReader seen = fake.reader(run);
  REQUIRE(seen.best() != nullptr);
  // Its kernel became a template, whose levels the rules tuned.
  CHECK(in_model_templates(seen) >= 3);
  CHECK(seen.best()->proposal.fidelity == Fidelity::promote);
  CHECK(contains(title_of(seen, "two at once"), "faster by"));
  CHECK(by_model(seen) == 3);
  const auto source = seen.candidate(*seen.best());
  REQUIRE(source.ok());
  CHECK(contains(source->source, "FASTER"));
  auto engine = search::Engine::create(cli::engine_setup(seen.material()), fake.executor);
  REQUIRE(engine.ok());
  const auto replayed = cli::replay_log(seen.log(), *engine);
  REQUIRE(replayed.ok());
  CHECK(replayed->same());
  // A run from before the log kept the prompts' texts was decided by other rules.
  CHECK(cli::decided_alike(seen.material()));
  cli::RunMaterial older = seen.material();
  older.prompts.reset();
  CHECK_FALSE(cli::decided_alike(older));
}

TEST_CASE("what was asked and answered is in the log, keys are nowhere, prompts can be shown") {
  ModelWorld fake({whole("two at once", std::string("FASTER, says ") + kSecret)});
  const std::string run = fake.run();
  const cli::RunReader seen = fake.reader(run);
  std::optional<LlmReplied> first;
  REQUIRE(seen.log()
              .visit(EventSeq{1},
                     [&](const archive::LogRow& row) -> Result<bool> {
                       const auto event = decode(row.bytes);
                       const auto* replied = std::get_if<LlmReplied>(&*event);
                       if (replied != nullptr && !first) {
                         first = *replied;
                       }
                       return true;
                     })
              .ok());
  REQUIRE(first);
  CHECK(first->model == "scripted");
  CHECK(first->tokens_in > 100);
  CHECK(first->cost.money > 0.0);
  CHECK(first->cost.llm.count() > 0);
  CHECK(seen.fold().llm().cost.money >= first->cost.money);
  CHECK(contains(*seen.log().blob(first->reply), "IDEA: two at once"));
  CHECK(contains(*seen.log().blob(first->prompt), "Doubles a vector."));
  CHECK_FALSE(contains(*seen.log().blob(first->reply), kSecret));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(fake.folder / "archive")) {
    if (entry.is_regular_file()) {
      CHECK_FALSE(contains(tests::read(entry.path()), kSecret));
    }
  }
  const Said said = say({"prompt", run, "2", "--archive", fake.folder / "archive"});
  CHECK(said.status == 0);
  CHECK(contains(said.out, "BEGIN DATA 1 parent"));
  CHECK(contains(said.err, "would be sent (rewrite)"));
  const Said none = say({"prompt", run, "999", "--archive", fake.folder / "archive"});
  CHECK(none.status == 2);
}

TEST_CASE("a model that only breaks things costs its share, and the run still ends with a kernel") {
  std::vector<std::string> answers;
  for (int i = 0; i < 40; ++i) {
    answers.push_back(whole("idea " + std::to_string(i), "BROKEN " + std::to_string(i)));
  }
  ModelWorld fake(answers, 40);
  const cli::RunReader seen = fake.reader(fake.run());
  CHECK(by_model(seen) >= 2);
  CHECK(by_model(seen) <= 1 + 20);
  REQUIRE(seen.best() != nullptr);
  CHECK_FALSE(seen.best()->proposal.spec.template_name.empty());
}

TEST_CASE("replies that can't be used are failures with a reason, not attempts") {
  ModelWorld fake({"no",
                   "```cpp\nint x;",
                   "IDEA: axis\n```cpp\nint x;\n```\n```json\n"
                   "{\"axes\": [{\"name\": \"deep\", \"levels\": []}]}\n```\n"});
  const cli::RunReader seen = fake.reader(fake.run());
  CHECK(by_model(seen) == 0);
  CHECK(seen.fold().llm().failed == seen.fold().llm().replied);
  CHECK(seen.fold().searched() == 24);
  std::vector<std::string> reasons;
  REQUIRE(seen.log()
              .visit(EventSeq{1},
                     [&](const archive::LogRow& row) -> Result<bool> {
                       const auto event = decode(row.bytes);
                       if (const auto* replied = std::get_if<LlmReplied>(&*event)) {
                         reasons.push_back(replied->message);
                       }
                       return true;
                     })
              .ok());
  REQUIRE(reasons.size() >= 3);
  CHECK(contains(reasons[0], "no kernel"));
  CHECK(contains(reasons[1], "not closed"));
  CAPTURE(reasons[2]);
  CHECK(contains(reasons[2], "/axes/0"));
}

TEST_CASE("when the model's budget is spent the run goes on with rules") {
  ModelWorld fake({whole("a", "slow 1"), whole("b", "slow 2"), whole("c", "slow 3")},
                  30,
                  "",
                  R"({"requests": 2})");
  const cli::RunReader seen = fake.reader(fake.run());
  CHECK(std::filesystem::exists(fake.folder / "request.1"));
  CHECK_FALSE(std::filesystem::exists(fake.folder / "request.2"));
  CHECK(by_model(seen) == 2);
  CHECK(seen.fold().searched() == 30);
}

TEST_CASE("a provider that is not there costs nothing but its place in the log") {
  ModelWorld fake({"x"});
  std::string config = tests::read(fake.folder / "tiny.json");
  config.replace(config.find("/bin/sh"), 7, "/bin/no");
  write(fake.folder / "tiny.json", config);
  const cli::RunReader seen = fake.reader(fake.run());
  CHECK(seen.fold().searched() == 24);
  CHECK(seen.fold().llm().failed > 0);
}

TEST_CASE("axes that a reply declares enter the run's space and are tuned by the rules") {
  ModelWorld fake(
      {"IDEA: a new axis\n```cpp\n// FASTER\n" + std::string(kTinyKernel) +
           "// STEP\n```\n```json\n{\"axes\": [{\"name\": \"tile\", \"type\": \"ordinal\","
           "\"levels\": [1, 2, 4]}, {\"name\": \"step\", \"type\": \"ordinal\", \"levels\":"
           " [1, 2, 3], \"default\": 1}], \"restrictions\": []}\n```\n",
       "nothing"},
      40);
  const cli::RunReader seen = fake.reader(fake.run());
  CHECK(by_model(seen) == 1);
  CHECK(in_model_templates(seen) >= 5);
  REQUIRE(seen.best() != nullptr);
  CHECK(seen.candidate(*seen.best()).ok());
  CHECK(contains(seen.label(*seen.best()), "step="));
  auto engine = search::Engine::create(cli::engine_setup(seen.material()), fake.executor);
  REQUIRE(engine.ok());
  const auto replayed = cli::replay_log(seen.log(), *engine);
  REQUIRE(replayed.ok());
  CHECK(replayed->same());
  const auto prompts = cli::check_prompts(seen);
  REQUIRE(prompts.ok());
  CHECK(prompts->sent > 0);
  CHECK(prompts->same == prompts->sent);
}

TEST_CASE("an interrupted run with a model goes on, and what was spent stays spent") {
  ModelWorld fake({whole("a", "BROKEN 1"), whole("b", "BROKEN 2")}, 24, "", R"({"requests": 3})");
  const auto material = fake.material();
  auto world = fake.world();
  world.interrupts = [&] {
    return fake.evaluator.measured > 8 ? 1 : 0;
  };
  const auto begun = cli::start_run(fake.store(), "tiny", material, {}, world);
  REQUIRE(begun.ok());
  REQUIRE(begun->end.interrupted);
  auto log = fake.store().open_run(begun->run, archive::ExperimentLog::Mode::append);
  REQUIRE(log.ok());
  const auto recalled = cli::recall(*log);
  REQUIRE(recalled.ok());
  const auto resumed = cli::resume_run(std::move(*log), *recalled, fake.world());
  if (!resumed.ok()) {
    FAIL(resumed.error().message);
  }
  const cli::RunReader seen = fake.reader(begun->run);
  CHECK(seen.fold().searched() == 24);
  CHECK_FALSE(std::filesystem::exists(fake.folder / "request.3"));
  auto engine = search::Engine::create(cli::engine_setup(seen.material()), fake.executor);
  REQUIRE(engine.ok());
  const auto replayed = cli::replay_log(seen.log(), *engine);
  REQUIRE(replayed.ok());
  CHECK(replayed->same());
}

TEST_CASE("a port shows the kernel of another target, from the log alone afterwards") {
  const TemporaryFolder other;
  std::filesystem::create_directory(other / "warp_rows");
  write(other / "warp_rows/kernel.hip",
        "__global__ void twice(const float* x) { __shfl(1, 2); }\n");
  write(other / "warp_rows/plan.json", "{\"steps\": []}\n");
  write(other / "warp_rows/evidence.json", "{\"measured\": \"not for a prompt\"}\n");
  ModelWorld fake(
      {whole("ported", "FASTER")},
      24,
      R"(, "advise": 0, "actions": ["port"], "port_from": [")" + (other / "warp_rows") + R"("])");
  const std::string run = fake.run();
  std::filesystem::remove_all(other / "warp_rows");
  const std::string asked = read(fake.folder / "request.0");
  CHECK(contains(asked, "Your task: port"));
  CHECK(contains(asked, "The kernel of another target"));
  CHECK(contains(asked, "__shfl(1, 2)"));
  CHECK(contains(asked, "plan.json"));
  CHECK_FALSE(contains(asked, "not for a prompt"));
  const cli::RunReader seen = fake.reader(run);
  CHECK(contains(title_of(seen, "ported"), "faster by"));
  const auto prompts = cli::check_prompts(seen);
  REQUIRE(prompts.ok());
  CHECK(prompts->sent > 0);
  CHECK(prompts->same == prompts->sent);
}
