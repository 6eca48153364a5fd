// A run that is killed at random moments and resumed: what was acknowledged stays, nothing twice.
#include "archive/run_fold.h"
#include "cli/replay.h"
#include "tests/cli/fake_run.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>
#include <set>
#include <sstream>

using namespace coppice;
using namespace coppice::tests;

namespace {

constexpr int kAttempts = 2600;

// What a session of the child does; acknowledgements go to a file, as a terminal would see them.
int child_session(FakeWorld& fake, const std::string& acknowledged) {
  std::FILE* file = std::fopen(acknowledged.c_str(), "a");
  cli::Console console(file, file, {});
  cli::SessionWorld world{fake.evaluator, fake.clock, fake.executor, console, [] { return 0; }, ""};
  const auto names = fake.store().names();
  if (!names.ok()) {
    return 2;
  }
  if (names->empty()) {
    return cli::start_run(fake.store(), "tiny", fake.material(), {}, world).ok() ? 0 : 3;
  }
  auto log = fake.store().open_run(names->front(), archive::ExperimentLog::Mode::append);
  if (!log.ok()) {
    return 4;
  }
  const auto material = cli::recall(*log);
  if (!material.ok()) {
    return 5;  // killed before its first commit: nothing was acknowledged
  }
  const auto result = cli::resume_run(std::move(*log), *material, world);
  return result.ok() ? 0 : result.error().message.find("has ended") != std::string::npos ? 0 : 6;
}

// Attempts whose line reached the user, the last torn line left out.
std::vector<std::uint64_t> acknowledged_in(const std::string& path) {
  const std::string text = read(path);
  std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
  std::vector<std::uint64_t> ids;
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.empty() && line[0] == '#') {
      ids.push_back(std::strtoull(line.c_str() + 1, nullptr, 10));
    }
  }
  return ids;
}

}  // namespace

TEST_CASE("50 kills at random moments lose no acknowledged attempt and repeat none", "[slow]") {
  FakeWorld fake(kAttempts, 2, {std::chrono::microseconds(6000), {}, -1}, "random");
  const std::string acknowledged = fake.folder / "acknowledged";
  std::mt19937 random(20240607);
  int kills = 0;
  while (kills < 50) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::_exit(child_session(fake, acknowledged));
    }
    while (acknowledged_in(acknowledged).empty()) {  // the first session gets to its first result
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % 200));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      break;  // it was faster than the killer: nothing is left to kill
    }
    ++kills;
  }
  const pid_t last = ::fork();
  if (last == 0) {
    ::_exit(child_session(fake, acknowledged));
  }
  int status = 0;
  REQUIRE(::waitpid(last, &status, 0) == last);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);

  const auto names = fake.store().names();
  REQUIRE(names.ok());
  REQUIRE(names->size() == 1);
  auto log = fake.store().open_run(names->front(), archive::ExperimentLog::Mode::read);
  REQUIRE(log.ok());
  const auto chain = log->verify();
  REQUIRE(chain.ok());
  CHECK(chain->ok);
  std::set<std::uint64_t> evaluated;
  REQUIRE(log->visit(EventSeq{1},
                     [&](const archive::LogRow& row) -> Result<bool> {
                       const auto event = decode(row.bytes);
                       REQUIRE(event.ok());
                       if (const auto* seen = std::get_if<Evaluated>(&*event)) {
                         CHECK(evaluated.insert(seen->evidence.attempt.value).second);
                       }
                       return true;
                     })
              .ok());
  const std::vector<std::uint64_t> told = acknowledged_in(acknowledged);
  CHECK(std::set<std::uint64_t>(told.begin(), told.end()).size() == told.size());
  for (const std::uint64_t id : told) {
    CAPTURE(id);
    CHECK(evaluated.count(id) == 1);
  }
  archive::RunFold fold;
  REQUIRE(fold.catch_up(*log).ok());
  WARN(kills << " kills, " << told.size() << " acknowledged, " << fold.sessions() << " sessions, "
             << log->size().value() << " events");
  CHECK(kills == 50);
  CHECK(fold.sessions() >= 40);  // some are killed before they have said that they began
  CHECK(fold.stopped());
  const auto material = cli::recall(*log);
  REQUIRE(material.ok());
  auto engine = search::Engine::create(cli::engine_setup(*material), fake.executor);
  REQUIRE(engine.ok());
  const auto replayed = cli::replay_log(*log, *engine);
  REQUIRE(replayed.ok());
  CHECK(replayed->same());
}
