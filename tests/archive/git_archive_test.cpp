// The git archive: lineage as commits, the same whatever the steps, sound to git itself.
#include "archive/git_archive.h"

#include "archive/git_store.h"
#include "archive/run_lock.h"
#include "tests/archive/sample_run.h"
#include "tests/archive/support.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

bool have_git() {
  return std::system("git --version > /dev/null 2>&1") == 0;
}

std::string git(const std::string& repository, const std::string& arguments) {
  const std::string command =
      "git -c safe.directory='*' -C '" + repository + "' " + arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out;
  char buffer[4096];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    out.append(buffer, got);
  }
  const int status = ::pclose(pipe);
  INFO(command << "\n" << out);
  CHECK(status == 0);
  return out;
}

CandidateSource made_up_source() {
  CandidateSource source;
  source.candidate = [](CandidateId id, const CandidateSpec& spec) -> Result<Candidate> {
    Candidate out;
    out.id = id;
    out.source_name = "kernel.cpp";
    out.source = "#define COPPICE_TILE " + std::to_string(16 << spec.genome.levels[0]) +
                 "\nvoid kernel() {}\n";
    out.label = "split_kv";
    return out;
  };
  source.axis_values = [](const CandidateSpec& spec) -> Result<ValueMap> {
    return ValueMap{{"tile", static_cast<std::int64_t>(16 << spec.genome.levels[0])}};
  };
  return source;
}

void write_events(const std::string& directory, const std::vector<Event>& events) {
  LogOptions options;
  std::int64_t second = 1'795'392'000;
  options.wall_clock = [&second] {
    return Nanoseconds(std::chrono::seconds(second++));
  };
  auto log = must(ExperimentLog::open(directory, Mode::create, options));
  for (const Event& event : events) {
    must(log.append(event));
  }
  must(log.close());
}

ExperimentLog reader(const std::string& directory) {
  return must(ExperimentLog::open(directory, Mode::read));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    out.push_back(line);
  }
  return out;
}

// Candidate to commit, from the branch `all`.
std::vector<std::string> commits_of(const std::string& repository) {
  const auto store = must(GitStore::open(repository));
  const GitId all = *must(store.ref("refs/heads/all"));
  std::vector<std::string> out;
  for (const GitEntry& entry : must(store.entries(all, "candidates"))) {
    for (const std::string& line : lines_of(must(store.file(all, "candidates/" + entry.name)))) {
      out.push_back(line);
    }
  }
  std::ranges::sort(out);
  return out;
}

// A long made-up lineage: each candidate has one or two earlier parents.
std::vector<Event> long_run(std::uint64_t candidates) {
  std::vector<Event> out = {RunStarted{}};
  for (std::uint64_t i = 1; i <= candidates; ++i) {
    std::vector<std::uint64_t> parents;
    if (i > 1) {
      parents.push_back(1 + i * 7 % (i - 1));
    }
    if (i > 5 && i % 3 == 0) {
      parents.push_back(i - 2);
    }
    const Proposed proposed = proposal(i, i, parents);
    out.emplace_back(proposed);
    out.push_back(i % 5 == 0 ? failed(proposed, Gate::correctness, FailureClass::wrong_result)
                             : passed(proposed, -0.001 * static_cast<double>(i)));
  }
  return out;
}

}  // namespace

TEST_CASE("each candidate becomes a commit whose parents are those it came from") {
  const TempDir dir;
  write_events(dir / "run", sample_run());
  const auto log = reader(dir / "run");
  const GitExported done = must(export_git(log, made_up_source(), dir / "git"));
  REQUIRE(done.candidates == 5);
  REQUIRE(done.new_candidates == 5);
  REQUIRE(done.packs == 1);
  const auto store = must(GitStore::open(dir / "git"));
  const GitId best = *must(store.ref("refs/heads/best"));
  REQUIRE(must(store.file(best, "kernel.cpp")) == "#define COPPICE_TILE 16\nvoid kernel() {}\n");
  REQUIRE_THAT(must(store.file(best, "evidence.json")), Catch::Contains("\"valid\": true"));
  REQUIRE_THAT(must(store.file(best, "genome.json")), Catch::Contains("\"tile\": 16"));
  REQUIRE_THAT(must(store.file(best, "plan.json")), Catch::Contains("steps"));
  if (!have_git()) {
    WARN("no git here: the repository was read by libgit2 only");
    return;
  }
  git(dir / "git", "fsck --full --strict --no-dangling");
  REQUIRE(git(dir / "git", "log --format=%s best") ==
          "c4: 2.226x, f32: axis_step: split_kv\nc2: 1.350x, f32: axis_step: split_kv\n"
          "c1: 1.105x, f32: seed: split_kv\n");
  REQUIRE_THAT(git(dir / "git", "log --format=%s all"),
               Catch::Contains("c3: rejected at build (compile_error)"));
  const std::string merge = git(dir / "git", "log --format=%P best-bf16 -1");
  REQUIRE(lines_of(merge)[0].size() == 81);  // a crossover has two parents
  REQUIRE_THAT(git(dir / "git", "diff best~ best -- kernel.cpp"),
               Catch::Contains("-#define COPPICE_TILE 64\n+#define COPPICE_TILE 16"));
  REQUIRE_THAT(git(dir / "git", "log --format=%B promoted-f32 -1"),
               Catch::StartsWith("promoted: c4"));
  REQUIRE(git(dir / "git", "rev-parse promoted-f32~") == git(dir / "git", "rev-parse best"));
  REQUIRE(git(dir / "git", "log --format=%at -1 best") ==
          git(dir / "git", "log --format=%ct -1 best"));
}

TEST_CASE("in one go, in steps, and interrupted: the commits are the same") {
  const TempDir dir;
  auto events = sample_run();
  for (Event& event : long_run(40)) {
    if (auto* proposed = std::get_if<Proposed>(&event)) {
      proposed->attempt.value += 100;
      proposed->candidate.value += 100;
      for (CandidateId& parent : proposed->parents) {
        parent.value += 100;
      }
      events.push_back(event);
    } else if (auto* evaluated = std::get_if<Evaluated>(&event)) {
      evaluated->evidence.attempt.value += 100;
      evaluated->evidence.candidate.value += 100;
      events.push_back(event);
    }
  }
  write_events(dir / "run", events);
  must(export_git(reader(dir / "run"), made_up_source(), dir / "whole"));
  const auto expected = commits_of(dir / "whole");
  REQUIRE(expected.size() == 45);

  // After each event: the proposals in flight at that moment must not be lost.
  const auto whole = reader(dir / "run");
  std::vector<LogRow> rows;
  must(whole.visit(EventSeq{1}, [&rows](const LogRow& row) -> Result<bool> {
    rows.push_back(row);
    return true;
  }));
  LogOptions options;
  Nanoseconds written{};
  options.wall_clock = [&written] {
    return written;
  };
  auto growing = must(ExperimentLog::open(dir / "growing", Mode::create, options));
  for (const LogRow& row : rows) {
    written = row.written;
    must(growing.append_encoded(row.bytes));
    must(growing.commit());
    if (row.seq.value % 8 == 0 || row.seq.value == rows.size()) {
      must(export_git(reader(dir / "growing"), made_up_source(), dir / "stepwise"));
    }
  }
  REQUIRE(commits_of(dir / "stepwise") == expected);
  const auto store = must(GitStore::open(dir / "stepwise"));
  REQUIRE(must(store.packs()) <= 16);

  GitExportOptions small;
  small.pack_candidates = 4;
  small.most_packs = 6;
  small.progress = [](std::uint64_t) {
    return false;
  };
  int calls = 0;
  while (must(export_git(whole, made_up_source(), dir / "pieces", small)).candidates < 45) {
    ++calls;
  }
  REQUIRE(calls > 5);
  must(export_git(whole, made_up_source(), dir / "pieces"));
  REQUIRE(commits_of(dir / "pieces") == expected);
  for (const char* name : {"stepwise", "pieces"}) {
    for (const char* branch : {"best", "best-f32", "best-bf16", "promoted-f32"}) {
      const std::string ref = std::string("refs/heads/") + branch;
      CHECK(*must(must(GitStore::open(dir / name)).ref(ref)) ==
            *must(must(GitStore::open(dir / "whole")).ref(ref)));
    }
    if (have_git()) {
      git(dir / name, "fsck --full --strict --no-dangling");
    }
  }
}

TEST_CASE("an export that is up to date writes nothing") {
  const TempDir dir;
  write_events(dir / "run", sample_run());
  const auto log = reader(dir / "run");
  must(export_git(log, {}, dir / "git"));
  const auto before = must(list_directory(dir / "git/objects/pack"));
  const GitExported again = must(export_git(log, {}, dir / "git"));
  REQUIRE(again.new_candidates == 0);
  REQUIRE(again.candidates == 5);
  REQUIRE(must(list_directory(dir / "git/objects/pack")) == before);
}

TEST_CASE("a repository made from another log is refused, and so is a second exporter") {
  const TempDir dir;
  write_events(dir / "one", sample_run());
  write_events(dir / "two", long_run(30));
  must(export_git(reader(dir / "one"), {}, dir / "git"));
  const Error error = error_of(export_git(reader(dir / "two"), {}, dir / "git"));
  REQUIRE(error.code == ErrorCode::corrupt);
  REQUIRE_THAT(error.message, Catch::Contains("another log"));
  const auto held = must(RunLock::acquire(dir / "git/coppice.lock"));
  REQUIRE(error_of(export_git(reader(dir / "one"), {}, dir / "git")).code == ErrorCode::busy);
}

TEST_CASE("stored sources of candidates reach their commits without knowing the op") {
  const TempDir dir;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  Proposed proposed = proposal(1, 1);
  proposed.spec = {};
  proposed.spec.source = must(log.put_blob("void mine() {}\n"));
  proposed.spec.plan = must(log.put_blob("{\"steps\":[]}"));
  must(log.append(RunStarted{}));
  must(log.append(proposed));
  must(log.append(passed(proposed, -0.5)));
  must(log.commit());
  must(export_git(log, {}, dir / "git"));
  const auto store = must(GitStore::open(dir / "git"));
  const GitId best = *must(store.ref("refs/heads/best"));
  REQUIRE(must(store.file(best, "kernel")) == "void mine() {}\n");
  REQUIRE(must(store.file(best, "plan.json")) == "{\"steps\":[]}");
}

TEST_CASE("a run without any result still makes a sound repository") {
  const TempDir dir;
  write_events(dir / "run", {RunStarted{}, Stopped{StopReason::user, "at once"}});
  const GitExported done = must(export_git(reader(dir / "run"), {}, dir / "git"));
  REQUIRE(done.candidates == 0);
  if (have_git()) {
    git(dir / "git", "fsck --full --strict");
  }
}

TEST_CASE("thousands of candidates stay in few packs and every commit is reachable", "[slow]") {
  const TempDir dir;
  write_events(dir / "run", long_run(5000));
  GitExportOptions options;
  options.pack_candidates = 150;
  const GitExported done =
      must(export_git(reader(dir / "run"), made_up_source(), dir / "git", options));
  REQUIRE(done.candidates == 5000);
  REQUIRE(done.packs <= 20);
  if (have_git()) {
    git(dir / "git", "fsck --full --strict");
    REQUIRE(git(dir / "git", "log --format=%s all | grep -c '^c[0-9]'") == "5000\n");
    REQUIRE(git(dir / "git", "fsck --unreachable --no-progress | grep -c commit || true") == "0\n");
  }
}
