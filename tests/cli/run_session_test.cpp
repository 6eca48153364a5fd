// A run from its first event to its end, with a fake evaluator: recording, interruption, resuming.
#include "archive/run_fold.h"
#include "cli/replay.h"
#include "cli/run_answer.h"
#include "cli/run_reader.h"
#include "cli/warm_sources.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

using namespace coppice;
using namespace coppice::tests;

namespace {

cli::Replayed replay(FakeWorld& fake, const std::string& run) {
  auto log = fake.store().open_run(run, archive::ExperimentLog::Mode::read);
  REQUIRE(log.ok());
  // From the archive alone: the op's folder is gone.
  std::filesystem::remove_all(fake.folder / "tiny");
  const auto material = cli::recall(*log);
  if (!material.ok()) {
    FAIL(material.error().message);
  }
  auto engine = search::Engine::create(cli::engine_setup(*material), fake.executor);
  REQUIRE(engine.ok());
  const auto replayed = cli::replay_log(*log, *engine);
  if (!replayed.ok()) {
    FAIL(replayed.error().message);
  }
  if (const auto& mismatch = replayed->first_mismatch) {
    UNSCOPED_INFO("event " << mismatch->seq.value << "\nrecorded " << mismatch->recorded
                           << "\ndecided  " << mismatch->decided);
  }
  return *replayed;
}

cli::RunReader reader(FakeWorld& fake, const std::string& run) {
  auto opened = cli::RunReader::open(fake.store(), run);
  if (!opened.ok()) {
    FAIL(opened.error().message);
  }
  return std::move(*opened);
}

Result<cli::SessionResult> resume(FakeWorld& fake, const std::string& run) {
  auto log = fake.store().open_run(run, archive::ExperimentLog::Mode::append);
  if (!log.ok()) {
    return log.error();
  }
  const auto material = cli::recall(*log);
  REQUIRE(material.ok());
  return cli::resume_run(std::move(*log), *material, fake.world());
}

}  // namespace

TEST_CASE("a run spends its budget, finds the best point it can, and replays from its archive") {
  FakeWorld fake(20);
  const std::string run = fake.run();
  const cli::RunReader seen = reader(fake, run);
  CHECK(seen.fold().searched() == 20);
  REQUIRE(seen.fold().stopped());
  CHECK(seen.fold().stopped()->reason == StopReason::budget_attempts);
  REQUIRE(seen.best() != nullptr);
  CHECK(seen.best()->proposal.fidelity == Fidelity::promote);
  CHECK(fake.evaluator.frozen == 1);
  const cli::Replayed replayed = replay(fake, run);
  CHECK(replayed.decisions > 20);
  CHECK(replayed.matched == replayed.decisions);
  CHECK(replayed.same());
}

TEST_CASE("a run in which every template computes other values points at the operation, once") {
  FakeOptions options;
  options.all_wrong = true;
  FakeWorld fake(10, 1, options);
  const std::string run = fake.run();
  const std::string progress = fake.streams.err();
  const std::string hint = "coppice check --build " + (fake.folder / "tiny");
  CAPTURE(progress);
  const std::size_t at = progress.find(hint);
  REQUIRE(at != progress.npos);
  CHECK(progress.find(hint, at + 1) == progress.npos);
  CHECK(progress.find("\n#2 ") > at);  // said as soon as it is known
  CHECK(contains(cli::run_summary_text(reader(fake, run), {}), hint));

  FakeWorld sound(10);
  sound.run();
  CHECK_FALSE(contains(sound.streams.err(), "check --build"));
}

TEST_CASE("several lanes work at once and the run still replays") {
  FakeWorld fake(30, 4, {std::chrono::microseconds(300), {}, -1});
  const std::string run = fake.run();
  CHECK(reader(fake, run).fold().searched() == 30);
  CHECK(replay(fake, run).same());
}

TEST_CASE("every strategy runs to its end and replays") {
  for (const char* name : {"random", "hillclimb", "best_of_n", "default"}) {
    CAPTURE(name);
    FakeWorld fake(15);
    cli::RunMaterial material = fake.material();
    material.config.search.strategy = *cli::strategy_named(name);
    const auto result = cli::start_run(fake.store(), "tiny", material, {}, fake.world());
    REQUIRE(result.ok());
    CHECK_FALSE(result->end.interrupted);
    CHECK(replay(fake, result->run).same());
  }
}

TEST_CASE("an interrupted run keeps what was in flight, and resuming it ends where it would have") {
  FakeOptions options;
  FakeWorld* world = nullptr;
  int calls = 0;
  options.before_measure = [&] {
    if (++calls == 6) {
      world->interrupts = 1;
    }
  };
  FakeWorld fake(20, 1, options);
  world = &fake;
  const auto first = cli::start_run(fake.store(), "tiny", fake.material(), {}, fake.world());
  REQUIRE(first.ok());
  CHECK(first->end.interrupted);
  const std::int64_t before = reader(fake, first->run).fold().searched();
  CHECK(before >= 6);
  CHECK(before < 20);
  CHECK(reader(fake, first->run).fold().in_flight() == 0);

  fake.interrupts = 0;
  const auto second = resume(fake, first->run);
  REQUIRE(second.ok());
  CHECK_FALSE(second->end.interrupted);
  CHECK(fake.evaluator.frozen == 1);
  CHECK(fake.evaluator.adopted == 1);
  CHECK(reader(fake, first->run).fold().searched() == 20);
  CHECK(replay(fake, first->run).same());
}

TEST_CASE("a second interrupt stops at once, and the attempt in flight is tried again") {
  FakeOptions options;
  FakeWorld* world = nullptr;
  int calls = 0;
  options.before_measure = [&] {
    if (++calls == 4) {
      world->interrupts = 2;
      while (world->interrupts == 2 && calls == 4) {
        std::this_thread::sleep_for(std::chrono::milliseconds(120));
        world->interrupts = 3;
      }
    }
  };
  FakeWorld fake(12, 1, options);
  world = &fake;
  const auto first = cli::start_run(fake.store(), "tiny", fake.material(), {}, fake.world());
  REQUIRE(first.ok());
  CHECK(first->end.interrupted);
  CHECK(reader(fake, first->run).fold().in_flight() == 1);
  fake.interrupts = 0;
  const auto second = resume(fake, first->run);
  REQUIRE(second.ok());
  const cli::RunReader seen = reader(fake, first->run);
  CHECK(seen.fold().in_flight() == 0);
  CHECK(seen.fold().sessions() == 2);
  CHECK(replay(fake, first->run).same());
}

TEST_CASE("an evaluator that can't go on ends the session with its message, and nothing is lost") {
  FakeOptions options;
  options.fail_after = 5;
  FakeWorld fake(20, 1, options);
  const auto result = cli::start_run(fake.store(), "tiny", fake.material(), {}, fake.world());
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == ErrorCode::environment);
  CHECK(result.error().message.find("the fake device is gone") == 0);
  CHECK(result.error().message.find("coppice resume tiny-") != std::string::npos);
  const auto names = fake.store().names();
  REQUIRE(names.ok());
  REQUIRE(names->size() == 1);
  CHECK(reader(fake, names->front()).fold().in_flight() == 1);
}

TEST_CASE("a run that has ended is not resumed") {
  FakeWorld fake(5);
  const std::string run = fake.run();
  const auto again = resume(fake, run);
  REQUIRE_FALSE(again.ok());
  CHECK(again.error().code == ErrorCode::usage);
  CHECK(again.error().message.find("has ended") != std::string::npos);
}

TEST_CASE("a second writer of a run is refused with the first one's process number") {
  FakeWorld fake(5);
  const std::string run = fake.run();
  const auto first = fake.store().open_run(run, archive::ExperimentLog::Mode::append);
  REQUIRE(first.ok());
  const auto second = fake.store().open_run(run, archive::ExperimentLog::Mode::append);
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == ErrorCode::busy);
  CHECK(second.error().message.find(std::to_string(::getpid())) != std::string::npos);
}

TEST_CASE("a log with another decision than the engine's is reported with its place") {
  FakeWorld fake(5);
  const std::string run = fake.run();
  auto log = fake.store().open_run(run, archive::ExperimentLog::Mode::append);
  REQUIRE(log.ok());
  REQUIRE(log->append(Idle{7}).ok());
  REQUIRE(log->commit().ok());
  const std::uint64_t last = *log->size();
  REQUIRE(log->close().ok());
  const cli::Replayed replayed = replay(fake, run);
  REQUIRE(replayed.first_mismatch);
  CHECK(replayed.first_mismatch->seq.value == last);
  CHECK(replayed.matched + 1 == replayed.decisions);
  CHECK_FALSE(replayed.same());
}

TEST_CASE("the answer of a run has every promised member") {
  FakeWorld fake(10);
  const cli::RunReader seen = reader(fake, fake.run());
  const Json answer = cli::run_answer(seen, {});
  const JsonReader json = answer.reader("answer");
  for (const char* key : {"run",
                          "op",
                          "target",
                          "strategy",
                          "seed",
                          "attempts",
                          "valid",
                          "best",
                          "rejected",
                          "seconds",
                          "archive",
                          "stop_reason"}) {
    CAPTURE(key);
    CHECK(json.at(key).ok());
  }
  const auto best = json.at("best");
  REQUIRE(best.ok());
  for (const char* key : {"candidate",
                          "speedup",
                          "speedup_low",
                          "speedup_high",
                          "sol_score",
                          "baseline",
                          "over_default"}) {
    CAPTURE(key);
    CHECK(best->at(key).ok());
    CHECK(best->find(key).has_value());
  }
}

TEST_CASE(
    "a run that starts from another run's log keeps that log, and replays without the other") {
  FakeWorld fake(20);
  const std::string first = fake.run();
  const archive::RunStore store = fake.store();
  for (const std::string& name : {first, std::string("archive"), store.directory_of(first)}) {
    CAPTURE(name);
    auto material = fake.material();
    material.config.warm_start = {name};
    const auto warm = cli::warm_data({name}, material.op.name, &store);
    if (!warm.ok()) {
      FAIL(warm.error().message);
    }
    REQUIRE(warm->size() == 1);
    material.warm = *warm;
    const auto result = cli::start_run(store, "warm", material, {}, fake.world());
    REQUIRE(result.ok());
    const cli::RunReader seen = reader(fake, result->run);
    REQUIRE(seen.fold().start());
    CHECK(seen.fold().start()->warm.size() == 1);
    CHECK(seen.material().config.warm_start == std::vector<std::string>{name});
    // What the first run found best is tried first here.
    REQUIRE(!seen.fold().attempts().empty());
    const auto& spec = seen.fold().attempts().front().proposal.spec;
    CHECK(spec == reader(fake, first).best()->proposal.spec);
    auto log = store.open_run(result->run, archive::ExperimentLog::Mode::read);
    REQUIRE(log.ok());
    const auto recalled = cli::recall(*log);
    REQUIRE(recalled.ok());
    auto engine = search::Engine::create(cli::engine_setup(*recalled), fake.executor);
    REQUIRE(engine.ok());
    const auto replayed = cli::replay_log(*log, *engine);
    REQUIRE(replayed.ok());
    CHECK(replayed->same());
    std::filesystem::remove_all(store.directory_of(result->run));
  }
  const auto none = cli::warm_data({"nothing-of-that-name"}, "tiny", &store);
  CHECK(!none.ok());
}
