// A run that was recorded on a machine and committed: any build on any machine decides as it did. A
// new decision version needs a new one: coppice run configs/quickstart.json --attempts 40
// --finalists 2 --seed 7, then coppice archive pack.
#include "search/engine.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <sys/wait.h>

#include <cstdlib>

using namespace coppice;
using namespace coppice::tests;

namespace {

constexpr char kPack[] = COPPICE_SOURCE_DIR "/tests/golden/decode.coppice";
constexpr char kArchive[] = "archive";

struct GoldenReplay {
  std::int64_t decisions = 0, matched = 0;
};

// Replays the unpacked run with these settings of the environment in front.
GoldenReplay replayed(const TemporaryFolder& here, const std::string& settings, int threads) {
  const std::string command = "cd '" + here.path() + "' && env " + settings +
                              " '" COPPICE_BINARY_DIR "/coppice' replay --archive " + kArchive +
                              " --threads " + std::to_string(threads) + " --json >out 2>err";
  const int status = std::system(command.c_str());
  CAPTURE(settings, threads, read(here / "out"), read(here / "err"));
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  const auto json = Json::parse(read(here / "out"), "out");
  REQUIRE(json.ok());
  const JsonReader root = json->reader("out");
  CHECK(*root.at("decision_version")->integer() == search::kDecisionVersion);
  CHECK_FALSE(root.find("first_mismatch"));
  return {*root.at("decisions")->integer(), *root.at("matched")->integer()};
}

}  // namespace

TEST_CASE("the committed run replays to the last decision, with other vector units and threads",
          "[slow]") {
  const TemporaryFolder here;
  const std::string unpack = std::string("cd '") + here.path() +
                             "' && '" COPPICE_BINARY_DIR "/coppice' archive unpack '" + kPack +
                             "' --archive " + kArchive + " >out 2>err";
  const int status = std::system(unpack.c_str());
  CAPTURE(read(here / "err"));
  REQUIRE(status == 0);
  for (const char* settings : {"LC_ALL=C", "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-FMA"}) {
    for (const int threads : {1, 8}) {
      const GoldenReplay run = replayed(here, settings, threads);
      CHECK(run.decisions >= 60);
      CHECK(run.matched == run.decisions);
    }
  }
}
