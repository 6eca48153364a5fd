// The real program on the real decode operation, with models that are played by recorded answers:
// a competent one, and one that only harms.
#include "archive/run_fold.h"
#include "cli/replay.h"
#include "cli/run_reader.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <sys/wait.h>

#include <cstdlib>

using namespace coppice;
using namespace coppice::tests;

namespace {

const std::string kSource = COPPICE_SOURCE_DIR;

// What the built program says, run as a shell would.
Said coppice_program(const TemporaryFolder& folder, const std::string& words) {
  const std::string out = folder / "stdout", err = folder / "stderr";
  const std::string command = "cd '" + folder.path() + "' && '" COPPICE_BINARY_DIR "/coppice' " +
                              words + " >'" + out + "' 2>'" + err + "'";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 255, read(out), read(err)};
}

bool answers_can_be_served() {
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) {
    WARN("skipped: no python3 here");
    return false;
  }
  return true;
}

// A short search in one template, with or without answers out of tests/corpus/answers.
std::string decode_config(const TemporaryFolder& folder, const std::string& answers, int attempts) {
  std::string out = R"({"schema": 1, "op": ")" + kSource +
                    R"(/experiments/ops/gqa_paged_decode", "suite": "quickstart", "seed": 3,)"
                    R"( "templates": ["split_kv"], "finalists": 0, "budget": {"attempts": )" +
                    std::to_string(attempts) + "}";
  if (!answers.empty()) {
    out += R"(, "llm": {"schema": 1, "slots": 1, "share": 0.4, "budget": {"requests": 20},)"
           R"( "models": [{"name": ")" +
           answers + R"(", "provider": "command", "model": "recorded", "command": [")" + kSource +
           R"(/scripts/llm-answers", ")" + kSource + "/tests/corpus/answers/" + answers +
           R"(", ")" + (folder / "served") + R"("], "price": {"in": 0, "out": 0}}]})";
  }
  return out + "}";
}

std::string searched(const TemporaryFolder& folder, const std::string& answers, int attempts) {
  write(folder / "decode.json", decode_config(folder, answers, attempts));
  const Said run = coppice_program(folder, "run decode.json --archive a");
  CAPTURE(run.out, run.err);
  REQUIRE(run.status == 0);
  return run.out;
}

cli::RunReader only_run(const TemporaryFolder& folder) {
  const auto store = archive::RunStore::open(folder / "a", archive::RunStore::Access::read);
  REQUIRE(store.ok());
  const std::filesystem::directory_iterator runs(folder / "a/runs");
  REQUIRE(runs != std::filesystem::directory_iterator());
  auto opened = cli::RunReader::open(*store, runs->path().filename());
  if (!opened.ok()) {
    FAIL(opened.error().message);
  }
  return std::move(*opened);
}

std::vector<const archive::Attempt*> of_models(const cli::RunReader& run) {
  std::vector<const archive::Attempt*> out;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (attempt.proposal.fidelity == Fidelity::search &&
        attempt.proposal.mutator.starts_with("llm_")) {
      out.push_back(&attempt);
    }
  }
  return out;
}

// Its fastest valid candidate by rules alone.
double best_of_rules(const cli::RunReader& run) {
  double best = 1e9;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const bool rules = !attempt.proposal.mutator.starts_with("llm_");
    if (rules && attempt.proposal.fidelity == Fidelity::search && attempt.log_cost()) {
      best = std::min(best, *attempt.log_cost());
    }
  }
  return best;
}

}  // namespace

TEST_CASE(
    "a competent model's structural idea on decode survives two failures, and the tree says so",
    "[slow]") {
  if (!answers_can_be_served()) {
    return;
  }
  const TemporaryFolder folder;
  searched(folder, "decode_pieces", 10);
  const cli::RunReader run = only_run(folder);
  const auto tries = of_models(run);
  REQUIRE(tries.size() >= 3);
  const auto failure = [&](std::size_t i) {
    return std::string(to_text(tries[i]->evidence->verdict.failure));
  };
  CHECK(failure(0) == "compile_error");
  CHECK(failure(1) == "wrong_result");
  CHECK(tries[1]->proposal.mutator == "llm_repair");
  CAPTURE(tries[2]->evidence->verdict.message);
  CHECK((tries[2]->evidence->verdict.valid || failure(2) == "noisy"));
  CHECK(tries[0]->proposal.node == tries[2]->proposal.node);
  const Said tree = coppice_program(folder, "tree last --why --archive a");
  CHECK(contains(tree.out, "Cut the whole batch's tokens into equal pieces"));
  CHECK(coppice_program(folder, "replay last --archive a").status == 0);
}

TEST_CASE("a model that only harms decode costs its share, and the run ends with the rules' best",
          "[slow]") {
  if (!answers_can_be_served()) {
    return;
  }
  const TemporaryFolder folder;
  const int attempts = 10;
  searched(folder, "bad", attempts);
  const cli::RunReader run = only_run(folder);
  const auto tries = of_models(run);
  CHECK(tries.size() >= 2);
  CHECK(tries.size() <= 1 + static_cast<std::size_t>(0.4 * attempts));
  for (const archive::Attempt* attempt : tries) {
    CHECK_FALSE(attempt->evidence->verdict.valid);
  }
  REQUIRE(run.best() != nullptr);
  CHECK_FALSE(run.best()->proposal.spec.template_name.empty());
  CHECK(best_of_rules(run) < 1e9);
  CHECK(coppice_program(folder, "replay last --archive a").status == 0);
}
