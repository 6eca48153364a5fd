// Opponents behind Python, and target tables against devices: what needs no GPU.
#include "evaluators/cuda/opponent.h"
#include "evaluators/cuda/target_check.h"
#include "tests/support/catch.h"

#include <algorithm>
#include <cstdlib>

using namespace coppice;
using namespace coppice::evaluators;
using namespace coppice::evaluators::cuda;

namespace {

OpponentSetup setup_with(const std::string& source) {
  OpponentSetup setup;
  setup.name = "fake";
  setup.source = source;
  OpponentWorkload workload;
  workload.index = 7;
  workload.layout = make_layout("small", {}, 2, 2);
  setup.workloads.push_back(workload);
  return setup;
}

// Answers like a library would; `run` is the body for a run request.
std::string fake(const std::string& run) {
  return "import json, sys\n"
         "for line in sys.stdin:\n"
         "    r = json.loads(line)\n"
         "    if r['call'] == 'open':\n"
         "        a = {'outputs': ['out'], 'details': {'sets': r['workloads'][0]['name']}}\n"
         "    else:\n"
         "        " +
         run +
         "\n"
         "    print(json.dumps(a), flush=True)\n";
}

bool have_python() {
  return std::system((python_program() + " -c pass >/dev/null 2>&1").c_str()) == 0;
}

Target table() {
  Target out;
  out.name = "sm_90";
  out.facts["architecture"] = std::string("sm_90a");
  out.facts["multiprocessors"] = std::int64_t{132};
  return out;
}

Json device(const std::string& architecture, std::int64_t multiprocessors) {
  Json out = Json::object();
  out.set("name", "some GPU").set("architecture", architecture);
  return out.set("multiprocessors", multiprocessors);
}

}  // namespace

TEST_CASE("an opponent is opened with its workloads and gives one time for each launch") {
  if (!have_python()) {
    WARN("skipped: no python3 here");
    return;
  }
  const auto opened = OpponentClient::start(
      setup_with(fake("a = {'microseconds': [10.0 * s + t for s, t in r['items']]}")),
      std::chrono::seconds(30));
  INFO((opened.ok() ? "" : opened.error().message));
  REQUIRE(opened.ok());
  CHECK((*opened)->outputs() == std::vector<std::string>{"out"});
  CHECK((*opened)->details().reader("d").text_or("sets", "").value() == "small");
  const auto run = (*opened)->run(7, {}, {{1, 0}, {0, 1}}, std::chrono::seconds(30));
  REQUIRE(run.ok());
  CHECK(run->microseconds == std::vector<float>{10.0F, 1.0F});
  CHECK(!(*opened)->run(3, {}, {{0, 0}}, std::chrono::seconds(1)).ok());
}

TEST_CASE("an opponent whose library is missing is told apart from one that fails") {
  if (!have_python()) {
    WARN("skipped: no python3 here");
    return;
  }
  const auto missing = OpponentClient::start(
      setup_with("print('{\"missing\": \"no such library\"}', flush=True)\nimport sys\n"
                 "sys.stdin.read()\n"),
      std::chrono::seconds(30));
  REQUIRE(!missing.ok());
  CHECK(missing.error().code == ErrorCode::missing);
  CHECK(missing.error().message.find("no such library") != std::string::npos);

  const auto dying =
      OpponentClient::start(setup_with("raise SystemExit(3)"), std::chrono::seconds(30));
  REQUIRE(!dying.ok());
  CHECK(dying.error().code == ErrorCode::missing);

  const auto failing = OpponentClient::start(setup_with(fake("a = {'error': 'out of luck'}")),
                                             std::chrono::seconds(30));
  REQUIRE(failing.ok());
  const auto run = (*failing)->run(7, {}, {{0, 0}}, std::chrono::seconds(30));
  REQUIRE(!run.ok());
  CHECK(run.error().code == ErrorCode::environment);
  CHECK(run.error().message.find("out of luck") != std::string::npos);
}

TEST_CASE("an opponent in Python sees no key of ours") {
  if (!have_python()) {
    WARN("skipped: no python3 here");
    return;
  }
  ::setenv("COPPICE_TEST_API_KEY", "planted", 1);
  const auto opened = OpponentClient::start(
      setup_with("import json, os, sys\n"
                 "for line in sys.stdin:\n"
                 "    print(json.dumps({'outputs': sorted(os.environ.values()), 'details': {}}), "
                 "flush=True)\n"),
      std::chrono::seconds(30));
  ::unsetenv("COPPICE_TEST_API_KEY");
  REQUIRE(opened.ok());
  const std::vector<std::string>& values = (*opened)->outputs();
  CHECK(!values.empty());
  CHECK(std::find(values.begin(), values.end(), "planted") == values.end());
}

TEST_CASE("an opponent that answers with too few times is refused") {
  if (!have_python()) {
    WARN("skipped: no python3 here");
    return;
  }
  const auto opened =
      OpponentClient::start(setup_with(fake("a = {'microseconds': []}")), std::chrono::seconds(30));
  REQUIRE(opened.ok());
  CHECK(!(*opened)->run(7, {}, {{0, 0}}, std::chrono::seconds(30)).ok());
}

TEST_CASE("a table of another architecture is refused, a wrong number is told") {
  const auto other = differences(table(), device("sm_80", 108));
  REQUIRE(!other.ok());
  CHECK(other.error().message.find("sm_80") != std::string::npos);
  const auto wrong = differences(table(), device("sm_90a", 114));
  REQUIRE(wrong.ok());
  REQUIRE(wrong->size() == 1);
  CHECK(wrong->front().find("132") != std::string::npos);
  CHECK(wrong->front().find("114") != std::string::npos);
  CHECK(differences(table(), device("sm_90a", 132)).value().empty());
}
