// Runs with a model on recorded evidence: threads never matter; and with a slow model: devices stay
// busy.
#include "cli/run_reader.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <chrono>
#include <mutex>

using namespace coppice;
using namespace coppice::tests;

namespace {

// A model that answers each question with another kernel after `seconds`, right or broken in turn.
std::string slow_model(const TemporaryFolder& folder, const std::string& seconds) {
  const std::string kernel =
      Json(std::string("IDEA: number NUMBER\nBecause.\n```cpp\n// slow NUMBER\n") + kTinyKernel +
           "```\n")
          .dump();
  return "#!/bin/sh\ncd '" + folder.path() + "' || exit 1\ncat > /dev/null\nsleep " + seconds +
         "\nn=$$\nsed \"s/NUMBER/$n/g\" <<'COPPICE_END'\n{\"model\": \"slow\", \"text\": " +
         kernel + "}\nCOPPICE_END\n";
}

struct RecordedWorld : FakeWorld {
  RecordedWorld(
      const FakeOptions& options, int attempts, int lanes, int workers, const std::string& seconds)
      : FakeWorld(attempts, lanes, options) {
    write(folder / "answer.sh", slow_model(folder, seconds));
    std::string config = tiny_config(folder / "tiny", attempts, lanes);
    config.back() = ',';
    config +=
        R"("devices": )" + std::to_string(workers) + R"(, "compile_jobs": )" +
        std::to_string(workers) +
        R"(, "llm": {"schema": 1, "slots": 2, "share": 0.4, "advise": 0, "budget": {"requests": 60}, )"
        R"("models": [{"name": "slow", "provider": "command", "model": "s", "command": ["/bin/sh", ")" +
        (folder / "answer.sh") + R"("], "price": {"in": 0, "out": 0}}]}})";
    write(folder / "tiny.json", config);
  }
  std::string run(const cli::SessionWorld& around) {
    const auto result = cli::start_run(store(), "tiny", material(), {}, around);
    if (!result.ok()) {
      FAIL(result.error().message);
    }
    return result->run;
  }
  // All decisions of a run, one a line.
  std::string decisions(const std::string& run) {
    auto opened = cli::RunReader::open(store(), run);
    REQUIRE(opened.ok());
    std::string out;
    REQUIRE(opened->log()
                .visit(EventSeq{1},
                       [&](const archive::LogRow& row) -> Result<bool> {
                         const auto event = decode(row.bytes);
                         if (event.ok() && !is_input(*event)) {
                           out += row.bytes + "\n";
                         }
                         return true;
                       })
                .ok());
    return out;
  }
};

std::shared_ptr<llm::Cassette> cassette_at(const std::string& path) {
  auto opened = llm::Cassette::open(path, true);
  REQUIRE(opened.ok());
  return std::shared_ptr<llm::Cassette>(std::move(*opened));
}

}  // namespace

TEST_CASE("runs with one cassette on recorded evidence are the same with 1 and 8 workers") {
  const TemporaryFolder shared;
  std::string first;
  for (const int workers : {1, 8, 8}) {
    FakeOptions options;
    options.devices = workers;
    options.costs_vary = true;
    RecordedWorld fake(options, 48, 8, workers, "0");
    cli::SessionWorld around = fake.world();
    around.recorded_order = true;
    around.cassette = cassette_at(shared / "answers.jsonl");
    const std::string said = fake.decisions(fake.run(around));
    CHECK(contains(said, "llm_rewrite"));
    if (first.empty()) {
      first = said;
    }
    CHECK(said == first);
  }
}

TEST_CASE("while a slow model is asked the device stays busy", "[slow]") {
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::time_point> begins;
  FakeOptions options;
  options.measure_takes = std::chrono::milliseconds(200);
  options.before_measure = [&] {
    const std::lock_guard lock(mutex);
    begins.push_back(std::chrono::steady_clock::now());
  };
  RecordedWorld fake(options, 40, 2, 1, "1");
  const std::string run = fake.run(fake.world());
  REQUIRE(begins.size() >= 30);
  const double span = std::chrono::duration<double>(begins.back() - begins.front()).count();
  const double busy = 0.2 * static_cast<double>(begins.size() - 1) / span;
  CAPTURE(span, begins.size());
  CHECK(busy >= 0.9);
  CHECK(contains(fake.decisions(run), "llm_"));
}
