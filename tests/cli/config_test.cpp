// Run configurations and `coppice check`: what is accepted, and how a mistake is named.
#include "cli/command.h"
#include "cli/run_config.h"
#include "tests/cli/fake_run.h"

using namespace coppice;
using namespace coppice::tests;

namespace {

std::string problem(const std::string& text) {
  const auto json = Json::parse(text, "x.json");
  if (!json.ok()) {
    return json.error().message;
  }
  const auto config = cli::run_config(json->reader("x.json"));
  return config.ok() ? "" : config.error().message;
}

std::string with(const std::string& member) {
  return R"({"schema": 1, "op": "o", "suite": "s", "budget": {"attempts": 5})" +
         (member.empty() ? "" : ", " + member) + "}";
}

}  // namespace

TEST_CASE("a configuration survives writing and reading again") {
  const auto json = Json::parse(
      with(R"("strategy": "best-of-n", "lanes": 3, "seed": 18446744073709551615, "devices": 2,
              "switches": {"tree": false}, "compare": ["random"], "launcher": ["srun", "-n1"])"),
      "x.json");
  REQUIRE(json.ok());
  const auto config = cli::run_config(json->reader("x.json"));
  REQUIRE(config.ok());
  CHECK(config->search.strategy == search::Strategy::best_of_n);
  CHECK(config->seed == UINT64_MAX);
  CHECK_FALSE(config->search.tree);
  const Json again = cli::to_json(*config);
  const auto second = cli::run_config(again.reader("again"));
  REQUIRE(second.ok());
  CHECK(cli::to_json(*second).dump() == again.dump());
}

TEST_CASE("each mistake in a configuration is named with its place and what was expected") {
  CHECK(problem(with("")).empty());
  CHECK(problem(with("\"lane\": 2")).find("lanes") != std::string::npos);
  CHECK(problem(with("\"lanes\": \"two\"")).find("x.json: /lanes: expected") == 0);
  CHECK(problem(with("\"lanes\": 0")).find("x.json: /lanes: expected") == 0);
  CHECK(problem(with("\"strategy\": \"clever\"")).find("x.json: /strategy: expected one of") == 0);
  CHECK(problem(with("\"compare\": [\"random\", \"random\"]")).find("x.json: /compare/1") == 0);
  CHECK(problem(with("\"llm\": 3")).find("x.json: /llm: expected \"off\"") == 0);
  CHECK(problem(with("\"llm\": {\"schema\": 1}")).find("x.json: /llm") == 0);
  const std::string port = problem(with(
      R"("llm": {"schema": 1, "budget": {"requests": 1}, "actions": ["port"], "models": []})"));
  CHECK(port.find("\"port\" needs \"port_from\"") != std::string::npos);
  CHECK(problem(R"({"schema": 1, "op": "o", "suite": "s"})").find("budget") != std::string::npos);
  CHECK(
      problem(R"({"schema": 1, "op": "o", "suite": "s", "budget": {}})").find("x.json: /budget") ==
      0);
  CHECK(problem(R"({"schema": 2, "op": "o", "suite": "s", "budget": {"attempts": 1}})")
            .find("x.json: /schema") == 0);
  CHECK(problem(with("\"seed\": 1.5")).find("x.json: /seed") == 0);
}

TEST_CASE("torn JSON, a missing file and a missing op are each one clear message") {
  const TemporaryFolder folder;
  write(folder / "torn.json", "{\"schema\": 1, \"op\": ");
  const Said torn = say({"check", folder / "torn.json"});
  CHECK(torn.status == 2);
  CHECK(torn.out.find(folder / "torn.json") == 0);
  const Said none = say({"check", folder / "none.json"});
  CHECK(none.status == 2);
  CHECK(none.out.empty());
  CHECK(none.err.find("none.json: neither a configuration nor an operation") != std::string::npos);
  write(folder / "lost.json", tiny_config(folder / "nowhere", 5));
  const Said lost = say({"check", folder / "lost.json"});
  CHECK(lost.status == 2);
  CHECK(lost.out.find("nowhere") != std::string::npos);
}

TEST_CASE("check accepts a good operation and configuration, and counts their combinations") {
  FakeWorld fake;
  const Said op = say({"check", fake.folder / "tiny"});
  CHECK(op.status == 0);
  CHECK(op.out.find(": good") != std::string::npos);
  CHECK(op.err.find("plain (") != std::string::npos);
  CHECK(say({"check", fake.folder / "tiny.json"}).status == 0);
}

TEST_CASE("check names every mistake of an operation") {
  FakeWorld fake;
  const std::string path = fake.folder / "tiny/templates/cpu/plain/template.json";
  std::string text = read(path);
  text.replace(text.find("\"tile * unroll"), 22, "\"tile * unrol < 1\"     ");
  write(path, text);
  const Said said = say({"check", fake.folder / "tiny"});
  CHECK(said.status == 2);
  CHECK(said.out.find("unrol") != std::string::npos);
  CHECK(said.out.find("template.json") != std::string::npos);
}

TEST_CASE("a suite that the op does not have is refused with those that it has") {
  FakeWorld fake;
  std::string text = read(fake.folder / "tiny.json");
  text.replace(text.find("\"small\""), 7, "\"large\"");
  write(fake.folder / "tiny.json", text);
  const Said said = say({"check", fake.folder / "tiny.json"});
  CHECK(said.status == 2);
  CHECK(said.out.find("has no suite 'large' (it has small)") != std::string::npos);
}
