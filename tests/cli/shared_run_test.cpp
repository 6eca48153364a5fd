// Runs that are made of tasks: one budget, one archive, a dispatch table at the end.
#include "archive/run_pack.h"
#include "archive/task_logs.h"
#include "cli/dispatch.h"
#include "tests/cli/shared_world.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>

using namespace coppice;
using namespace coppice::tests;

namespace {

// The folder of the op is gone: only the archive is left.
Said replayed(FakeShared& shared, const std::string& run) {
  std::filesystem::remove_all(shared.fake.folder / "tiny");
  return shared.say({"replay", run});
}

bool all_match(const Said& said) {
  const std::size_t colon = said.out.find(": ");
  std::istringstream text(said.out.substr(colon + 2));
  std::uint64_t matched = 0;
  std::uint64_t decisions = 1;
  std::string of;
  text >> matched >> of >> decisions;
  return said.status == 0 && matched == decisions && decisions > 50;
}

std::string problem_of(const std::string& tasks) {
  const std::string text = R"({"schema": 1, "budget": {"attempts": 5}, "tasks": )" + tasks + "}";
  const auto json = Json::parse(text, "x.json");
  REQUIRE(json.ok());
  const auto config = cli::run_config(json->reader("x.json"));
  return config.ok() ? "" : config.error().message;
}

}  // namespace

TEST_CASE("tasks share one budget, each ends with a promoted winner, and every log replays") {
  FakeShared shared(90);
  const cli::SharedEnd end = shared.run();
  CHECK_FALSE(end.interrupted);
  REQUIRE(end.stopped);
  CHECK(end.stopped->reason == StopReason::budget_attempts);
  const cli::SharedReader reader = shared.reader(end.run);
  CHECK(reader.attempts() == 90);
  REQUIRE(reader.tasks().size() == 3);
  CHECK(reader.tasks()[1].config.name == "tiny.wide");
  for (const cli::SharedTaskView& task : reader.tasks()) {
    CAPTURE(task.config.name, task.trouble);
    REQUIRE(task.run);
    REQUIRE(task.run->best() != nullptr);
    CHECK(task.run->best()->proposal.fidelity == Fidelity::promote);
    CHECK(task.run->fold().searched() >= 5);
    CHECK(task.run->fold().stopped()->message ==
          "90 attempts of the shared budget are spent: "
          "finalists and promotion");
  }
  // Of three evaluators two may be open at once.
  CHECK(shared.opened > 3);
  CHECK(shared.fake.evaluator.frozen == 2);
  CHECK(shared.fake.evaluator.adopted >= 1);
  const Said said = replayed(shared, end.run);
  CAPTURE(said.out, said.err);
  CHECK(all_match(said));
}

TEST_CASE("a task of a shared run is an ordinary run: shown, drawn and replayed by its name") {
  FakeShared shared(60);
  const std::string run = shared.run().run;
  for (const std::string task : {"tiny.small", "table"}) {
    CAPTURE(task);
    CHECK(shared.say({"replay", run + "/" + task}).status == 0);
    CHECK(contains(shared.say({"show", run + "/" + task}).out, "attempts"));
    CHECK(shared.say({"report", run + "/" + task, "--output", shared.fake.folder / "r.html"})
              .status == 0);
  }
  CHECK(shared.say({"tree", "last/tiny.s"}).status == 0);  // unique beginnings
  CHECK(contains(shared.say({"list"}).out, run + "/table"));
  const Said whole = shared.say({"tree", run});
  CHECK(whole.status == 2);
  CHECK(contains(whole.err, "name one of them, as in " + run + "/tiny.small"));
  CHECK(contains(shared.say({"resume", run + "/table"}).err, "shares a budget"));
}

TEST_CASE("show, best, report and export tell of all tasks") {
  FakeShared shared(60);
  const std::string run = shared.run().run;
  const Said shown = shared.say({"show", run});
  CHECK(contains(shown.out, "tiny.small"));
  CHECK(contains(shown.out, "its first turn"));
  const Said json = shared.say({"show", run, "--json"});
  const auto parsed = Json::parse(json.out, "show");
  REQUIRE(parsed.ok());
  CHECK(parsed->reader("show").at("tasks")->items()->size() == 3);
  const Said report = shared.say({"report", run, "--output", shared.fake.folder / "night.html"});
  CHECK(report.status == 0);
  const std::string page = read(shared.fake.folder / "night.html");
  CHECK(contains(page, "What to call"));
  CHECK(contains(page, "its first turn"));
  const Said exported = shared.say({"export", run, "--format", "dispatch"});
  CHECK(contains(exported.out, "\"rule\""));
  CHECK(shared.say({"best", run, "--dispatch"}).status == 0);
  CHECK(contains(shared.say({"best", run, "--source"}).err, "of one task at a time"));
}

TEST_CASE("an interrupted shared run goes on where it was, to the same budget, and replays") {
  FakeOptions options;
  FakeShared* here = nullptr;
  int calls = 0;
  options.before_measure = [&] {
    ++calls;
    if (calls == 9 || calls == 30) {
      here->fake.interrupts = 1;
    }
  };
  FakeShared shared(90, options);
  here = &shared;
  const cli::SharedEnd first = shared.run();
  CHECK(first.interrupted);
  shared.fake.interrupts = 0;
  const auto second = shared.resume(first.run);
  REQUIRE(second.ok());
  CHECK(second->interrupted);
  shared.fake.interrupts = 0;
  const auto third = shared.resume(first.run);
  REQUIRE(third.ok());
  CHECK_FALSE(third->interrupted);
  const cli::SharedReader reader = shared.reader(first.run);
  CHECK(reader.attempts() == 90);
  CHECK(reader.sessions() == 3);
  CHECK_FALSE(shared.resume(first.run).ok());  // it has ended
  CHECK(all_match(replayed(shared, first.run)));
}

TEST_CASE("a lost device cuts a turn off; what was in flight is tried again and the run goes on") {
  FakeOptions options;
  options.fail_after = 12;
  FakeShared shared(90, options);
  const cli::SharedEnd end = shared.run();
  CHECK_FALSE(end.interrupted);
  const cli::SharedReader reader = shared.reader(end.run);
  CHECK(reader.tasks()[0].standing.given_up);
  CHECK(reader.tasks()[1].standing.given_up);
  CHECK_FALSE(reader.tasks()[2].standing.given_up);
  REQUIRE(reader.tasks()[2].run->best() != nullptr);
  CHECK(reader.attempts() >= 90);
  CHECK(contains(shared.fake.streams.err(), "the fake device is gone"));
  CHECK(all_match(replayed(shared, end.run)));
}

TEST_CASE("a machine that opens no evaluator ends the run with words, not in a loop") {
  FakeShared shared(60);
  shared.broken = true;
  const cli::SharedEnd end = shared.run();
  REQUIRE(end.stopped);
  CHECK(end.stopped->reason == StopReason::failed);
  CHECK(contains(shared.fake.streams.err(), "no compiler"));
  CHECK(contains(shared.say({"best", end.run, "--dispatch"}).out, "no task had a turn yet"));
}

TEST_CASE(
    "the dispatch table names a verified winner, the baseline where that is faster, and the "
    "nearest bucket for other shapes") {
  FakeShared shared(120);
  const std::string run = shared.run().run;
  const cli::SharedReader reader = shared.reader(run);
  std::vector<cli::DispatchOp> table = cli::dispatch_of(reader);
  REQUIRE(table.size() == 2);
  const auto tiny = std::ranges::find(table, "tiny", &cli::DispatchOp::op);
  REQUIRE(tiny != table.end());
  CHECK(tiny->fallback == "baseline");
  REQUIRE(tiny->buckets.size() == 2);
  const cli::DispatchBucket& small = tiny->buckets[0];
  CHECK(small.workload == "small");
  REQUIRE(small.attempt != nullptr);
  const bool faster = small.timing->speedup > 1.0;
  CHECK(small.use == (faster ? "candidate" : "baseline"));
  // The fake times "small" alone: nothing is known of "wide".
  CHECK(tiny->buckets[1].use != "candidate");
  cli::DispatchBucket& won = tiny->buckets[0];
  won.use = "candidate";
  const auto near = cli::ask_dispatch(table, {{"n", 100}});
  REQUIRE(near.ok());
  REQUIRE(near->size() == 1);
  REQUIRE(near->front().bucket != nullptr);
  CHECK(near->front().bucket->workload == "small");
  CHECK_FALSE(near->front().exact);
  CHECK(contains(near->front().why, "not measured"));
  won.use = "baseline";
  const auto none = cli::ask_dispatch(table, {{"n", 100}});
  REQUIRE(none.ok());
  CHECK(none->front().bucket == nullptr);
  CHECK(contains(none->front().why, "fall-back, baseline"));
  CHECK_FALSE(cli::ask_dispatch(table, {{"m", 100}}).ok());
  CHECK_FALSE(cli::read_dims({"n=x"}).ok());
}

TEST_CASE("a shared run is packed with its tasks, and a task with another history is found out") {
  FakeShared shared(40);
  const std::string run = shared.run().run;
  const std::string file = shared.fake.folder / "night.coppice";
  const auto packed = archive::pack_run(shared.fake.store(), run, file);
  if (!packed.ok()) {
    FAIL(packed.error().message);
  }
  const auto taken = archive::unpack_run(shared.fake.store(), file, "elsewhere");
  if (!taken.ok()) {
    FAIL(taken.error().message);
  }
  CHECK(shared.say({"replay", "elsewhere"}).status == 0);
  CHECK(shared.say({"archive", "verify", "elsewhere"}).status == 0);
  // The table's log in the place of another task's: each chain is whole, the history is not.
  const std::string tasks = shared.fake.store().directory_of("elsewhere") + "/tasks/";
  std::filesystem::remove_all(tasks + "tiny.small");
  std::filesystem::copy(tasks + "table", tasks + "tiny.small");
  const Said said = shared.say({"archive", "verify", "elsewhere"});
  CHECK(said.status == 1);
  CHECK(contains(said.out, "another history"));
}

TEST_CASE("tasks that can't be are refused with their place") {
  CHECK(problem_of(R"([{"op": "o", "suite": "s"}, {"table": "t"}])").empty());
  CHECK(contains(problem_of("[]"), "x.json: /tasks"));
  CHECK(contains(problem_of(R"([{"suite": "s"}])"), "/tasks/0: "));
  CHECK(contains(problem_of(R"([{"op": "o", "table": "t"}])"), "and not both"));
  CHECK(contains(problem_of(R"([{"op": "o"}])"), "a suite or workloads"));
  CHECK(contains(problem_of(R"([{"table": "t", "suite": "s"}])"), "/tasks/0/suite"));
  CHECK(contains(problem_of(R"([{"table": "t", "weight": 0}])"), "/tasks/0/weight"));
  CHECK(contains(problem_of(R"([{"table": "t", "name": "a/b"}])"), "/tasks/0/name"));
  CHECK(contains(problem_of(R"([{"table": "t", "name": "a"}, {"table": "u", "name": "a"}])"),
                 "each name once"));
  CHECK(contains(problem_of(R"([{"table": "t"}], "op": "o")"), "/op"));
  CHECK(contains(problem_of(R"([{"table": "t"}], "compare": ["random"])"), "/compare"));
  CHECK(contains(problem_of(R"([{"table": "t"}], "llm": "lab")"), "/llm"));
}

TEST_CASE("a shared run that is killed again and again keeps what it had and repeats nothing",
          "[slow]") {
  constexpr int kKills = 25;
  FakeOptions options;
  options.measure_takes = std::chrono::microseconds(2000);
  int calls = 0;
  FakeShared* here = nullptr;
  options.before_measure = [&] {
    if (++calls == 3) {
      here->fake.interrupts = 1;
    }
  };
  FakeShared shared(600, options);
  here = &shared;
  const std::string name = shared.run().run;
  shared.fake.interrupts = 0;
  std::mt19937 random(7);
  for (int i = 0; i < 4 * kKills; ++i) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const auto end = shared.resume(name);
      ::_exit(end.ok() ? 0 : end.error().message.find("has ended") != std::string::npos ? 1 : 4);
    }
    if (i < kKills) {
      ::usleep(30'000 + random() % 120'000);
      ::kill(child, SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) {
      REQUIRE((WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 1));
      if (i >= kKills) {
        break;
      }
    }
  }
  const cli::SharedReader reader = shared.reader(name);
  REQUIRE(reader.stopped());
  CHECK(reader.attempts() == 600);
  CHECK(reader.sessions() > 5);
  CHECK(all_match(replayed(shared, name)));
  CHECK(shared.say({"archive", "verify", name}).status == 0);
}
