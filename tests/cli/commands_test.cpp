// Every command that looks at a run: stdout, stderr and exit status apart, and bad input.
#include "archive/comparison_file.h"
#include "cli/command.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <sys/stat.h>

#include <cctype>

using namespace coppice;
using namespace coppice::tests;

namespace {

// One finished run, shared by the cases that only look at it.
struct Finished {
  Finished() : fake(25), run(fake.run()), archive(fake.folder / "archive") {}
  Said operator()(std::vector<std::string> words) const {
    words.insert(words.end(), {"--archive", archive});
    return say(words);
  }
  Json json(std::vector<std::string> words) const {
    words.emplace_back("--json");
    const Said said = (*this)(std::move(words));
    auto parsed = Json::parse(said.out, "stdout");
    if (!parsed.ok()) {
      FAIL(said.err << said.out);
    }
    return *parsed;
  }
  FakeWorld fake;
  std::string run, archive;
};

// Is there a "1.25x"? A folder whose random name ends in "5x" is none.
bool tells_speed(const std::string& text) {
  for (std::size_t at = text.find('x'); at != text.npos; at = text.find('x', at + 1)) {
    const char after = at + 1 < text.size() ? text[at + 1] : ' ';
    const bool inside = after == '/' || std::isalnum(static_cast<unsigned char>(after)) != 0;
    if (at > 0 && !inside && std::isdigit(static_cast<unsigned char>(text[at - 1])) != 0) {
      return true;
    }
  }
  return false;
}

std::string without_line(std::string text, const std::string& part) {
  const std::size_t at = text.find(part);
  if (at != text.npos) {
    const std::size_t begin = text.rfind('\n', at) + 1;
    text.erase(begin, text.find('\n', at) - begin);
  }
  return text;
}

const Finished& finished() {
  static const Finished once;
  return once;
}

}  // namespace

TEST_CASE("help shows an example before the options, for the program and each command") {
  const Said program = say({"--help"});
  CHECK(program.status == 0);
  CHECK(program.err.empty());
  CHECK(program.out.find("Example:") < program.out.find("Commands:"));
  for (const cli::Command& command : cli::commands()) {
    CAPTURE(command.name);
    const std::string text = cli::help_of(command);
    CHECK(text.find("Example:") < text.find("Options:"));
    CHECK(contains(text, "--archive DIR"));
    CHECK(contains(text, "--seed N"));
    CHECK(contains(program.out, "  " + command.name));
  }
}

TEST_CASE("unknown input is refused with the nearest known spelling, on stderr, with status 2") {
  const Said command = say({"rnu"});
  CHECK(command.status == 2);
  CHECK(command.out.empty());
  CHECK(command.err == "coppice: unknown command 'rnu'; did you mean 'run'?\n");
  const Said option = say({"list", "--jsn"});
  CHECK(option.status == 2);
  CHECK(contains(option.err, "unknown option of list '--jsn'; did you mean '--json'?"));
  CHECK(say({"list", "more"}).err == "coppice: list: did not expect 'more'\n");
  CHECK(contains(say({"run"}).err, "run: CONFIG is missing"));
  CHECK(contains(say({"archive"}).err, "archive: expected one of"));
  const Said seed = say({"list", "--seed", "x"});
  CHECK(seed.status == 2);
  CHECK(contains(seed.err, "--seed: expected a whole number from 0, found \"x\""));
}

TEST_CASE("list names the runs of an archive") {
  const Said said = finished()({"list"});
  CHECK(said.status == 0);
  CHECK(said.err.empty());
  CHECK(contains(said.out, finished().run));
  CHECK(contains(said.out, "done"));
  const Said other = finished()({"list", "--seed", "99"});
  CHECK(other.status == 0);
  CHECK(other.out.empty());
  CHECK(contains(other.err, "no runs"));
  const Json json = finished().json({"list"});
  CHECK(json.reader("list").at("runs")->items()->size() == 1);
}

TEST_CASE("show tells a run and one candidate with its attempts") {
  const Said run = finished()({"show", finished().run});
  CHECK(run.status == 0);
  CHECK(run.err.empty());
  CHECK(contains(run.out, "the speed of fakeblas"));
  const Said best = finished()({"show", "last", "best"});
  CHECK(best.status == 0);
  CHECK(contains(best.out, "promote"));
  const Said none = finished()({"show", "last", "9999"});
  CHECK(none.status == 2);
  CHECK(none.out.empty());
  CHECK(contains(none.err, "has no candidate 9999"));
  const Json json = finished().json({"show", "last", "1"});
  CHECK(json.reader("show").at("attempts")->items()->size() >= 1);
}

TEST_CASE("show lists every opponent that was frozen, with its time or why it has none") {
  FakeOptions options;
  options.opponents = true;
  FakeWorld fake(3, 1, options);
  const std::string run = fake.run();
  const std::string archive = fake.folder / "archive";
  const Said said = say({"show", run, "--archive", archive});
  CHECK(said.status == 0);
  CHECK(contains(said.out,
                 "workload  opponent                  median    note\n"
                 "small     packedblas                700.0 us  prepacked: reported apart\n"
                 "small     fakeblas:plain:threads=1   1.00 ms  the bar\n"
                 "small     slowblas                   2.50 ms\n"
                 "small     wrongblas                        -  refused: nrmse 1 > 1e-5\n"
                 "all       lostblas                         -  absent: no liblostblas here\n"));
  const auto json = Json::parse(say({"show", run, "--archive", archive, "--json"}).out, "show");
  REQUIRE(json.ok());
  const auto opponents = json->reader("show").at("opponents")->items();
  REQUIRE(opponents.ok());
  REQUIRE(opponents->size() == 5);
  CHECK((*opponents)[1].at("chosen")->boolean().value());
  CHECK((*opponents)[2].at("median_us")->real().value() == 2500.0);
  CHECK(contains((*opponents)[4].at("absent")->text().value(), "and more"));
}

TEST_CASE("best gives the answer, its source and its plan") {
  const Said said = finished()({"best", "last"});
  CHECK(said.status == 0);
  CHECK(contains(said.out, "best: candidate"));
  const Said source = finished()({"best", "last", "--source"});
  CHECK(contains(source.out, "#define TILE "));
  CHECK(contains(source.out, "COPPICE_KERNEL(twice)"));
  CHECK(contains(finished()({"best", "last", "--plan"}).out, "\"steps\""));
  const Said other = finished()({"best", "last", "--precision", "bf16"});
  CHECK(other.status == 1);
  CHECK(contains(other.err, "no valid candidate of class bf16"));
}

TEST_CASE("a node's story tells its insertion, its edits and its priority in words") {
  const Said story = finished()({"tree", "--why", "2"});
  CAPTURE(story.err);
  REQUIRE(story.status == 0);
  CHECK(contains(story.out, "node 2: all ideas > "));
  CHECK(contains(story.out, "after 0 attempts inserted"));
  CHECK(finished()({"tree", "last", "2"}).out == story.out);
  const Json json = finished().json({"tree", "last", "2"});
  const auto changes = *json.reader("t").at("changes")->items();
  REQUIRE(!changes.empty());
  CHECK(*changes.front().at("what")->text() == "inserted");
  CHECK(!changes.front().at("reason")->text()->empty());
  const Said none = finished()({"tree", "last", "9999"});
  CHECK(none.status == 2);
  CHECK(contains(none.err, "has no node 9999"));
  CHECK(finished()({"tree", "last", "two"}).status == 2);
}

TEST_CASE("show --model compares predictions with results, over all and after 50") {
  const Said text = finished()({"show", "last", "--model"});
  REQUIRE(text.status == 0);
  CHECK(contains(text.out, "80 %"));
  CHECK(contains(text.out, "rank correlation"));
  const Json json = finished().json({"show", "last", "--model"});
  const JsonReader root = json.reader("m");
  const std::int64_t predictions = *root.at("all")->at("predictions")->integer();
  CHECK(predictions > 0);
  CHECK(*root.at("all")->at("inside_95")->real() >= *root.at("all")->at("inside_80")->real());
  CHECK(*root.at("after_50")->at("predictions")->integer() < predictions);
  double gained = 0.0;
  const auto mutators = *root.at("mutators")->items();
  for (const JsonReader& one : mutators) {
    gained += *one.at("gained")->real();
  }
  CHECK(gained > 0.0);
  CHECK(finished()({"show", "last", "best", "--model"}).status == 2);
}

TEST_CASE(
    "the archive's memory and its whole frontier count each run once, and point at attempts") {
  const Json memory = finished().json({"memory"});
  const auto groups = *memory.reader("m").at("memory")->items();
  REQUIRE(groups.size() == 1);
  CHECK(*groups[0].at("family")->text() == "norm");
  const std::size_t runs = groups[0].at("runs")->items()->size();
  CHECK(runs >= 1);
  bool winner = false;
  const auto facts = *groups[0].at("facts")->items();
  for (const JsonReader& fact : facts) {
    winner = winner || *fact.at("kind")->text() == "winner";
    CHECK(!fact.at("shown_by")->items()->empty());
    CHECK(!fact.at("maturity")->text()->empty());
  }
  CHECK(winner);
  const Json all = finished().json({"frontier", "--all"});
  const Json one = finished().json({"frontier", "last"});
  const auto levels = *all.reader("f").at("frontiers")->items()->front().at("levels")->items();
  CHECK(levels.size() == one.reader("f").at("levels")->items()->size());
  std::int64_t tried = 0;
  for (const JsonReader& level : levels) {
    tried += *level.at("attempts")->integer() > 0 ? 1 : 0;
    CHECK((*level.at("state")->text() == "untried") == (*level.at("attempts")->integer() == 0));
  }
  CHECK(tried > 5);
  CHECK(finished()({"frontier", "last", "--all"}).status == 2);
}

TEST_CASE("a run written as a table reads back with its valid points") {
  const TemporaryFolder folder;
  for (const char* format : {"t4", "kernel-tuner"}) {
    const Said written = finished()({"table", "last", "--to", format});
    CAPTURE(written.err);
    REQUIRE(written.status == 0);
    write(folder / "table.json", written.out);
    const Said read_back = say({"table", folder / "table.json", "--json"});
    CAPTURE(read_back.err);
    REQUIRE(read_back.status == 0);
    const Json summary = finished().json({"table", "last"});
    CHECK(*Json::parse(read_back.out, "t")->reader("t").at("valid")->integer() ==
          *summary.reader("s").at("valid")->integer());
  }
  CHECK(finished()({"table", "last", "--to", "csv"}).status == 2);
  CHECK(finished()({"table", "last", "--template", "nosuch"}).status == 2);
}

TEST_CASE("tree and frontier show what was tried") {
  const Said tree = finished()({"tree", "last", "--why"});
  CHECK(tree.status == 0);
  CHECK(contains(tree.out, "plain"));
  CHECK(contains(tree.out, "attempts"));
  CHECK(finished().json({"tree"}).reader("t").at("nodes")->items()->size() >= 2);
  const Said csv = finished()({"frontier", "last", "--csv"});
  CHECK(csv.status == 0);
  CHECK(csv.out.find("template,axis,kind,level,state,") == 0);
  CHECK(contains(csv.out, "plain,tile,tile,4,"));
  CHECK(contains(finished()({"frontier"}).out, "tried"));
}

TEST_CASE("an operation without a baseline is told in times, never in speed-ups") {
  FakeOptions options;
  options.baseline = false;
  FakeWorld fake(8, 1, options);
  const std::string run = fake.run();
  const std::string archive = fake.folder / "archive";
  const std::string progress = fake.streams.err();
  CAPTURE(progress);
  CHECK(contains(progress, "s  best so far"));
  CHECK_FALSE(tells_speed(progress));
  for (const char* command : {"show", "best", "tree", "frontier"}) {
    const Said said = say({command, run, "--archive", archive});
    CAPTURE(command, said.out);
    CHECK(said.status == 0);
    // Against the template default there is one, in the line that says so.
    CHECK_FALSE(tells_speed(without_line(said.out, " the best template default")));
  }
  const Said json = say({"best", run, "--json", "--archive", archive});
  CHECK(contains(json.out, "\"speedup\":null"));
  const Said report = say({"report", run, "--json", "--archive", archive});
  CHECK(contains(report.out, "\"baseline\":\"the best template default\""));
}

TEST_CASE("diff compares the winner with its seed, and a candidate with itself") {
  const Said own = finished()({"diff", "last"});
  CHECK(own.status == 1);
  CHECK(contains(own.out, "--- default of template plain"));
  CHECK(contains(own.out, "@@ "));
  const Said same = finished()({"diff", "last", "1", "1"});
  CHECK(same.status == 0);
  CHECK(same.out.empty());
  CHECK(contains(same.err, "are the same"));
}

TEST_CASE("compare puts runs side by side") {
  const Said said = finished()({"compare", finished().run, "last"});
  CHECK(said.status == 0);
  CHECK(contains(said.out, "1.00x"));
  CHECK(finished().json({"compare", "last", "last"}).reader("c").at("runs")->items()->size() == 2);
}

TEST_CASE("replay says that all decisions match, whatever the number of threads") {
  for (const char* threads : {"1", "8"}) {
    const Json json = finished().json({"replay", "last", "--threads", threads});
    const JsonReader reader = json.reader("replay");
    CHECK(reader.at("decisions")->integer().value() > 20);
    CHECK(reader.at("decisions")->integer().value() == reader.at("matched")->integer().value());
    CHECK(reader.at("first_mismatch")->is_null());
  }
  CHECK(contains(finished()({"replay"}).out, "decisions match"));
}

TEST_CASE("report writes one page that needs nothing from outside") {
  const std::string path = finished().fake.folder / "report.html";
  const Said said = finished()({"report", "last", "--output", path});
  CHECK(said.status == 0);
  CHECK(said.out == path + "\n");
  const std::string page = read(path);
  CHECK(contains(page, "d3js.org"));
  CHECK(contains(page, "\"schema\":1"));
  for (const char* outside : {"src=\"http", "href=\"http", "@import", "@DATA@", "url(http"}) {
    CAPTURE(outside);
    CHECK_FALSE(contains(page, outside));
  }
}

TEST_CASE("export gives history, memory, frontier, and refuses what it does not know") {
  const Said history = finished()({"export", "last", "--format", "history"});
  CHECK(history.status == 0);
  CHECK(history.out.find("{") == 0);
  CHECK(contains(finished()({"export", "last", "--format", "memory"}).out, "\"templates\""));
  CHECK(contains(finished()({"export", "last", "--format", "frontier"}).out, "template,axis"));
  const Said unknown = finished()({"export", "last", "--format", "pdf"});
  CHECK(unknown.status == 2);
  CHECK(contains(unknown.err, "found \"pdf\""));
}

TEST_CASE("archive verify accepts a whole run, and a run that is not there is named") {
  const Said whole = finished()({"archive", "verify", "last"});
  CHECK(whole.status == 0);
  CHECK(contains(whole.out, "chain whole"));
  const Said none = finished()({"archive", "verify", "nowhere"});
  CHECK(none.status == 2);
  CHECK(contains(none.err, "nowhere"));
}

TEST_CASE("a packed run replays in another archive") {
  const TemporaryFolder folder;
  const std::string file = folder / "run.coppice";
  const Said packed = finished()({"archive", "pack", "last", "--output", file});
  CHECK(packed.status == 0);
  CHECK(packed.out == file + "\n");
  const Said again = finished()({"archive", "pack", "last", "--output", file});
  CHECK(again.status != 0);
  CHECK(again.out.empty());
  const std::string other = folder / "other";
  CHECK(say({"archive", "unpack", file, "--archive", other}).status == 0);
  const Said replayed = say({"replay", "last", "--archive", other});
  CHECK(replayed.status == 0);
  CHECK(contains(replayed.out, "decisions match"));
}

TEST_CASE("the lineage of a run is a git repository with a commit for each candidate") {
  const TemporaryFolder folder;
  const std::string repository = folder / "lineage.git";
  const Said said = finished()({"archive", "git", "last", "--output", repository});
  CHECK(said.status == 0);
  CHECK(said.out == repository + "\n");
  CHECK(std::filesystem::exists(repository + "/HEAD"));
}

TEST_CASE("a folder that is no archive is said to be none") {
  const TemporaryFolder folder;
  const Said said = say({"list", "--archive", folder / "none"});
  CHECK(said.status != 0);
  CHECK(said.out.empty());
  CHECK(contains(said.err, folder / "none"));
}

TEST_CASE("doctor answers on stdout and in JSON") {
  const Said said = say({"doctor", "--quick"});
  CHECK(contains(said.out, "host compiler"));
  CHECK(contains(said.out, "CUDA driver"));
  CHECK_FALSE(contains(said.out, "measured now"));
  const Said json = say({"doctor", "--quick", "--json"});
  const auto parsed = Json::parse(json.out, "doctor");
  REQUIRE(parsed.ok());
  CHECK(parsed->reader("doctor").at("pieces")->items()->size() > 5);
}

TEST_CASE("doctor measures what the machine can read and compute, and scores use the best") {
  const TemporaryFolder cache;
  ::setenv("COPPICE_CACHE", cache.path().c_str(), 1);
  const Said json = say({"doctor", "--json"});
  ::unsetenv("COPPICE_CACHE");
  const auto parsed = Json::parse(json.out, "doctor");
  REQUIRE(parsed.ok());
  const auto ceilings = parsed->reader("doctor").at("ceilings");
  REQUIRE(ceilings.ok());
  CHECK(ceilings->at("read_all")->real().value() > 1e8);
  CHECK(ceilings->at("f32_fma")->real().value() > 1e8);
  CHECK(parsed->reader("doctor").at("ceiling_measurements")->integer().value() == 1);
  CHECK_FALSE(std::filesystem::is_empty(cache.path()));
}

TEST_CASE("the option --version names the program's version and that of its decisions") {
  const Said said = say({"--version"});
  CHECK(said.status == 0);
  CHECK(said.err.empty());
  CHECK(said.out.rfind("coppice 0.", 0) == 0);
  CHECK(contains(said.out, "(decides as version "));
}

namespace {

archive::ComparedRun random_winner() {
  archive::ComparedRun out{"random", "tiny-x", 1.25, "paired", Digest{}};
  out.attempts = 50;
  out.best_after = 31;
  out.as_good_after = 12;
  out.workloads = {{"small", 1.25}};
  return out;
}

}  // namespace

TEST_CASE("a comparison is shown, goes along into a packed run, and shows when it was changed") {
  FakeWorld fake(10);
  const std::string run = fake.run();
  const std::string archive = fake.folder / "archive";
  {
    const auto log = fake.store().open_run(run, archive::ExperimentLog::Mode::read);
    REQUIRE(log.ok());
    REQUIRE(archive::write_comparison(*log, {random_winner()}).ok());
  }
  const std::string told = say({"show", run, "--archive", archive}).out;
  CHECK(contains(told, "1.25x the winner of random"));
  CHECK(contains(told,
                 "random had its best at its attempt 31 of 50, this run was as good at its 12"));
  const std::string file = fake.folder / "run.coppice";
  REQUIRE(say({"archive", "pack", run, "--output", file, "--archive", archive}).status == 0);
  const std::string other = fake.folder / "other";
  REQUIRE(say({"archive", "unpack", file, "--archive", other}).status == 0);
  const Said best = say({"best", run, "--json", "--archive", other});
  CHECK(contains(best.out, "\"over_random\":1.25"));
  const Said whole = say({"show", run, "--json", "--archive", other});
  CHECK(contains(whole.out, "\"workloads\":[{\"ratio\":1.25,\"workload\":\"small\"}]"));
  const std::string path = fake.store().directory_of(run) + "/comparison.json";
  std::string text = read(path);
  write(path, text.replace(text.find("1.25"), 4, "9.25"));
  const Said verified = say({"archive", "verify", run, "--archive", archive});
  CHECK(verified.status == 1);
  CHECK(contains(verified.out, "comparison.json"));
  const Said shown = say({"show", run, "--archive", archive});
  CHECK(shown.status == 3);
  CHECK(contains(shown.err, "digest"));
}
