// Bad input and a bad environment: each gets one clear message and its exit status, and costs
// nothing that was kept.
#include "archive/run_fold.h"
#include "cli/replay.h"
#include "cli/run_reader.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <set>
#include <sstream>

using namespace coppice;
using namespace coppice::tests;

namespace {

// Exit status of what a child process does; 255 when it was killed.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::_exit(body());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

constexpr int kStillRoot = 77;

// As somebody who may write nothing of ours.
Said say_as_stranger(const std::vector<std::string>& words) {
  Streams streams;
  const int status = in_child([&] {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
      return kStillRoot;
    }
    return cli::run_program(words, streams.console);
  });
  return {status, streams.out(), streams.err()};
}

void replace(const std::string& path, const std::string& from, const std::string& to) {
  std::string text = read(path);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  write(path, text.replace(at, from.size(), to));
}

// Refused by `check` on stdout and by `run` on stderr, both with status 2 and the same words; no
// run appears.
void refused(FakeWorld& fake, const std::string& place, const std::vector<std::string>& parts) {
  const Said checked = say({"check", fake.folder / "tiny"});
  CAPTURE(checked.out, checked.err);
  CHECK(checked.status == 2);
  const std::string archive = fake.folder / "never";
  const Said run = say({"run", fake.folder / "tiny.json", "--archive", archive});
  CAPTURE(run.err);
  CHECK(run.status == 2);
  CHECK(run.out.empty());
  CHECK(run.err.rfind("coppice: ", 0) == 0);
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  CHECK(contains(checked.out, fake.folder / place));
  CHECK(contains(run.err, fake.folder / place));
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(contains(checked.out, part));
    CHECK(contains(run.err, part));
  }
  CHECK_FALSE(std::filesystem::exists(archive));
}

// Attempts whose line reached the user.
std::set<std::uint64_t> told_in(const std::string& text) {
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
  std::set<std::uint64_t> ids;
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.empty() && line[0] == '#') {
      ids.insert(std::strtoull(line.c_str() + 1, nullptr, 10));
    }
  }
  return ids;
}

std::set<std::uint64_t> evaluated_in(const archive::ExperimentLog& log) {
  archive::RunFold fold;
  REQUIRE(fold.catch_up(log).ok());
  std::set<std::uint64_t> ids;
  for (const archive::Attempt& attempt : fold.attempts()) {
    if (attempt.evidence) {
      ids.insert(attempt.proposal.attempt.value);
    }
  }
  return ids;
}

}  // namespace

TEST_CASE(
    "a bad configuration is one line on stderr with file, place, value and what was expected") {
  FakeWorld fake;
  const std::string path = fake.folder / "tiny.json";
  const std::string good = read(path);
  struct Mistake {
    std::string from, to, message;
  };
  const std::vector<Mistake> mistakes = {
      {"\"lanes\"", "\"lane\"", ": /: unknown key \"lane\", did you mean \"lanes\"?"},
      {"\"lanes\": 1",
       "\"lanes\": \"two\"",
       ": /lanes: expected a whole number from 1 to 1024, found \"two\""},
      {"\"small\"", "[]", ": /suite: expected text, found an array"},
      {"}}", "}", ": line 1, column "},
      {"\"seed\": 3", "\"warm_start\": true", ": /warm_start: expected false, or a list of logs"},
      {"\"seed\": 3", "\"switches\": {\"memory\": 0}", ": /switches/memory: expected "},
      {"\"attempts\": 12", "\"money\": 5", ": /budget/money: expected 0 ("},
  };
  for (const Mistake& mistake : mistakes) {
    CAPTURE(mistake.to);
    write(path, good);
    replace(path, mistake.from, mistake.to);
    const Said said = say({"run", path, "--archive", fake.folder / "never"});
    CHECK(said.status == 2);
    CHECK(said.out.empty());
    CAPTURE(said.err);
    CHECK(said.err.rfind("coppice: " + path + mistake.message, 0) == 0);
    CHECK(std::count(said.err.begin(), said.err.end(), '\n') == 1);
    CHECK_FALSE(std::filesystem::exists(fake.folder / "never"));
  }
}

TEST_CASE("a missing configuration and a missing operation are named with where was looked") {
  FakeWorld fake;
  const Said none = say({"run", fake.folder / "none.json"});
  CHECK(none.status == 2);
  CHECK(contains(none.err, "none.json: no such configuration (looked in "));
  std::filesystem::remove_all(fake.folder / "tiny");
  const Said lost = say({"run", fake.folder / "tiny.json", "--archive", fake.folder / "never"});
  CHECK(lost.status == 2);
  CHECK(contains(lost.err, fake.folder / "tiny"));
}

TEST_CASE("an operation whose parts don't fit each other is refused with file and place") {
  const std::string part = "tiny/templates/cpu/plain/template.json";
  {
    FakeWorld fake;
    replace(fake.folder / part, "{\"tensor\": \"y\"}", "{\"tensor\": \"z\"}");
    refused(fake, part, {": /plan/steps/0/args/1: unknown tensor 'z'"});
  }
  {
    FakeWorld fake;
    replace(fake.folder / "tiny/op.json", "\"shape\": [\"n\"]}]", "\"shape\": [\"m\"]}]");
    refused(fake, "tiny/op.json", {": /tensors/1/shape/0: unknown name 'm'"});
  }
  {
    FakeWorld fake;
    std::filesystem::remove(fake.folder / "tiny/reference.cpp");
    refused(fake, "tiny", {"reference.cpp"});
  }
}

TEST_CASE("an axis without a valid level is refused with the restriction that leaves it none") {
  const std::string part = "tiny/templates/cpu/plain/template.json";
  {
    FakeWorld fake;
    replace(fake.folder / part, "tile * unroll <= 256", "tile > 64");
    refused(
        fake,
        part,
        {": /restrictions/0: 'tile > 64'", "workload 'small'", "axis 'tile' has no valid level"});
  }
  {
    FakeWorld fake;
    replace(fake.folder / part, "[1, 2, 3, 4]", "[]");
    refused(fake, part, {": /axes/3/levels: axis 'ahead' has no level"});
  }
}

TEST_CASE("without a compiler a run says what to install, and looking and replaying still work") {
  FakeWorld fake(8);
  const std::string run = fake.run();
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (fake.folder / "empty").c_str(), 1);
  const Said said = say({"run", fake.folder / "tiny.json", "--archive", fake.folder / "archive"});
  const Said first = say({"run", fake.folder / "tiny.json", "--archive", fake.folder / "new"});
  const Said doctor = say({"doctor", "--quick"});
  const Said replayed = say({"replay", run, "--archive", fake.folder / "archive"});
  ::setenv("PATH", path.c_str(), 1);
  CHECK(said.status == 3);
  CHECK(said.out.empty());
  CHECK(contains(said.err, "no C++ compiler found (looked for g++, clang++, c++ in PATH)"));
  CHECK(contains(said.err, "install g++"));
  CHECK(first.status == 3);
  CHECK(first.err == said.err);
  CHECK_FALSE(std::filesystem::exists(fake.folder / "new"));
  CHECK(doctor.status == 3);
  CHECK(contains(doctor.out, "coppice can't run here yet"));
  CHECK(replayed.status == 0);
  CHECK(fake.store().names()->size() == 1);
}

TEST_CASE("a full disk stops a run with one message, keeps what was told, and resuming goes on") {
  FakeWorld fake(150, 1, {}, "random");
  const std::string told = fake.folder / "told";
  const int status = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit { 300'000, 300'000 };
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::FILE* file = std::fopen(told.c_str(), "w");
    cli::Console console(file, file, {});
    const cli::SessionWorld world{
        fake.evaluator, fake.clock, fake.executor, console, [] { return 0; }, ""};
    const auto result = cli::start_run(fake.store(), "tiny", fake.material(), {}, world);
    if (result.ok()) {
      return 100;
    }
    console.say("coppice: " + result.error().message);
    return exit_status(result.error().code);
  });
  const std::string said = read(told);
  CAPTURE(said.substr(said.size() > 600 ? said.size() - 600 : 0));
  REQUIRE(status == 3);
  CHECK(contains(said, "free space, then go on"));
  CHECK(contains(said, "go on with: coppice resume tiny-"));
  const std::string run = fake.store().names()->front();
  {
    const auto log = fake.store().open_run(run, archive::ExperimentLog::Mode::read);
    REQUIRE(log.ok());
    CHECK(log->verify()->ok);
    const std::set<std::uint64_t> kept = evaluated_in(*log);
    const std::set<std::uint64_t> shown = told_in(said);
    CHECK(shown.size() > 10);
    CHECK(std::includes(kept.begin(), kept.end(), shown.begin(), shown.end()));
  }
  // With room again it ends as it would have.
  auto log = fake.store().open_run(run, archive::ExperimentLog::Mode::append);
  REQUIRE(log.ok());
  const auto material = cli::recall(*log);
  REQUIRE(material.ok());
  REQUIRE(cli::resume_run(std::move(*log), *material, fake.world()).ok());
  const auto reader = cli::RunReader::open(fake.store(), run);
  REQUIRE(reader.ok());
  CHECK(reader->fold().searched() == 150);
  CHECK(say({"replay", run, "--archive", fake.folder / "archive"}).status == 0);
}

TEST_CASE("a read-only archive can be looked at and replayed, and says why it takes no run") {
  namespace fs = std::filesystem;
  FakeWorld fake(8);
  const std::string run = fake.run();
  const std::string archive = fake.folder / "archive";
  fs::permissions(fake.folder.path(), fs::perms(0755));
  for (const auto& entry : fs::recursive_directory_iterator(archive)) {
    fs::permissions(entry.path(), fs::perms(entry.is_directory() ? 0555 : 0444));
  }
  const Said list = say_as_stranger({"list", "--archive", archive});
  if (list.status == kStillRoot) {
    WARN("skipped: no permission to become another user");
    return;
  }
  CHECK(list.status == 0);
  CHECK(contains(list.out, run));
  CHECK(say_as_stranger({"best", run, "--archive", archive}).status == 0);
  CHECK(say_as_stranger({"replay", run, "--archive", archive}).status == 0);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"run", fake.folder / "tiny.json", "--archive", archive},
        std::vector<std::string>{"resume", run, "--archive", archive}}) {
    const Said said = say_as_stranger(words);
    CAPTURE(words[0], said.err);
    CHECK(said.status == 3);
    CHECK(said.out.empty());
    CHECK(contains(said.err, archive));
    CHECK(contains(said.err, "read-only"));
    CHECK(std::count(said.err.begin(), said.err.end(), '\n') == 1);
  }
  for (const auto& entry : fs::recursive_directory_iterator(archive)) {
    fs::permissions(entry.path(), fs::perms(entry.is_directory() ? 0755 : 0644));
  }
  CHECK(say({"archive", "verify", run, "--archive", archive}).status == 0);
  CHECK(fake.store().names()->size() == 1);
}

TEST_CASE("a second writer is told who writes, and the first one goes on") {
  FakeWorld fake(5);
  const std::string run = fake.run();
  auto first = fake.store().open_run(run, archive::ExperimentLog::Mode::append);
  REQUIRE(first.ok());
  const Said said = say({"resume", run, "--archive", fake.folder / "archive"});
  CHECK(said.status == 3);
  CHECK(said.out.empty());
  CHECK(contains(said.err, "process " + std::to_string(::getpid())));
  REQUIRE(first->append(Tick{}).ok());
  REQUIRE(first->close().ok());
  CHECK(say({"archive", "verify", run, "--archive", fake.folder / "archive"}).status == 0);
}

TEST_CASE("a damaged log is refused by every command with the event that is wrong") {
  FakeWorld fake(8);
  const std::string run = fake.run();
  const std::string path = fake.store().directory_of(run) + "/log.sqlite";
  replace(path, "\"fidelity\":\"search\"", "\"fidelity\":\"saerch\"");
  for (const char* command : {"show", "best", "replay", "report"}) {
    const Said said = say({command, run, "--archive", fake.folder / "archive"});
    CAPTURE(command, said.err);
    CHECK(said.status == 3);
    CHECK(contains(said.err, "event "));
  }
  const Said verified = say({"archive", "verify", run, "--archive", fake.folder / "archive"});
  CHECK(verified.status == 1);
  CHECK(contains(verified.out, "damaged: "));
}
