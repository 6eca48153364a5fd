// Secrets of our environment stay here: no compiler, agent or opponent sees them.
#include "evaluators/child_environment.h"

#include "evaluators/agent_client.h"
#include "evaluators/child.h"
#include "tests/support/catch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

// Sets a variable for as long as it lives.
class Planted {
 public:
  Planted(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Planted() { ::unsetenv(name_); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

 private:
  const char* name_;
};

std::string printed_environment(const ChildOptions& like) {
  int ends[2];
  REQUIRE(::pipe2(ends, 0) == 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  ChildOptions options = like;
  options.argv = {"env"};
  options.output = writer.get();
  auto child = Child::start(options);
  writer.reset();
  REQUIRE(child.ok());
  return drain(reader.get(), 1 << 20, std::chrono::seconds(20)).text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("names that say secret are told from names that only look like it") {
  for (const char* name : {"ANTHROPIC_API_KEY",
                           "OPENAI_API_KEY_2",
                           "openaikey",
                           "HF_TOKEN",
                           "GITHUB_TOKEN",
                           "AWS_SECRET_ACCESS_KEY",
                           "MY_SECRET",
                           "DB_PASSWORD",
                           "PGPASSWORD",
                           "GOOGLE_APPLICATION_CREDENTIALS",
                           "SLURM_JWT"}) {
    INFO(name);
    CHECK(holds_secret(name, "x"));
  }
  for (const char* name : {"PATH",
                           "LD_LIBRARY_PATH",
                           "TOKENIZERS_PARALLELISM",
                           "CUDA_VISIBLE_DEVICES",
                           "OMP_NUM_THREADS",
                           "KEYBOARD_LAYOUT",
                           "COPPICE_PYTHON",
                           "PYTHONPATH",
                           "HOME"}) {
    INFO(name);
    CHECK(!holds_secret(name, "x"));
  }
  CHECK(holds_secret("https_proxy", "http://me:word@proxy:3128/"));
  CHECK(!holds_secret("https_proxy", "http://proxy:3128/"));
  CHECK(!holds_secret("SOME_URL", "https://host/a:b@c"));
}

TEST_CASE("a child process sees our environment without its secrets") {
  const Planted key("COPPICE_TEST_API_KEY", "planted-1");
  const Planted odd("COPPICE_TEST_ODD_NAME", "planted-2");
  const Planted plain("COPPICE_TEST_PLAIN", "seen");
  ChildOptions options;
  options.hidden = {"COPPICE_TEST_ODD_NAME"};
  options.environment["COPPICE_TEST_ADDED"] = "too";
  const std::string seen = printed_environment(options);
  CHECK(has(seen, "COPPICE_TEST_PLAIN=seen\n"));
  CHECK(has(seen, "COPPICE_TEST_ADDED=too\n"));
  CHECK(!has(seen, "COPPICE_TEST_API_KEY"));
  CHECK(!has(seen, "planted"));
  options.hidden.clear();
  CHECK(has(printed_environment(options), "planted-2"));
}

// Judges, candidates, libraries and opponents are the agent's children: what it does not have, they
// don't.
TEST_CASE("the device agent gets no secrets, under whatever name they are") {
  const Planted key("COPPICE_TEST_API_KEY", "planted-1");
  const Planted odd("COPPICE_TEST_ODD_NAME", "planted-2");
  const Planted plain("COPPICE_TEST_PLAIN", "seen");
  const std::string file = (std::filesystem::temp_directory_path() /
                            ("coppice-test-environment-" + std::to_string(::getpid())))
                               .string();
  auto agent = AgentClient::start("cpu",
                                  {"sh", "-c", "env > " + file + "; exec \"$@\"", "sh"},
                                  COPPICE_BINARY_DIR "/coppice",
                                  0,
                                  {"COPPICE_TEST_ODD_NAME"});
  REQUIRE(agent.ok());
  REQUIRE(agent->probe().ok());
  std::stringstream seen;
  seen << std::ifstream(file).rdbuf();
  std::filesystem::remove(file);
  CHECK(has(seen.str(), "COPPICE_TEST_PLAIN=seen\n"));
  CHECK(!has(seen.str(), "planted"));
}

TEST_CASE("a process forgets its secrets where /proc shows them too") {
  // As the system lays an environment out: texts one behind the other.
  char key[] = "COPPICE_TEST_API_KEY=planted";
  REQUIRE(::putenv(key) == 0);
  REQUIRE(std::getenv("COPPICE_TEST_API_KEY") != nullptr);
  const Planted plain("COPPICE_TEST_PLAIN", "seen");
  const pid_t child = ::fork();
  if (child == 0) {
    forget_secrets({"COPPICE_TEST_PLAIN"});
    const bool gone = std::getenv("COPPICE_TEST_API_KEY") == nullptr &&
                      std::getenv("COPPICE_TEST_PLAIN") == nullptr &&
                      std::getenv("PATH") != nullptr &&
                      std::string_view(key, sizeof key).find("planted") == std::string_view::npos;
    ::_exit(gone ? 0 : 1);
  }
  ::unsetenv("COPPICE_TEST_API_KEY");
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
