// The agent's loop: an answer leaves as soon as it is there, a caller that is gone stops a call.
#include "evaluators/agent.h"
#include "evaluators/wire.h"
#include "tests/support/catch.h"

#include <unistd.h>

#include <chrono>
#include <thread>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

// Answers soon; freezing lasts until it is told to stop.
class Patient final : public DeviceBackend {
 public:
  explicit Patient(bool& stopped) : stopped_(stopped) {}
  Json probe() override {
    // Long enough for the watcher to have begun its look.
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
    while (std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    return Json::object().set("backend", "patient");
  }
  Result<void> open(DeviceSession, std::stop_token) override { return {}; }
  Result<std::map<std::string, ValueMap>> host_scalars() override {
    return std::map<std::string, ValueMap>();
  }
  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override {
    while (!stop.stop_requested()) {
      std::this_thread::yield();
    }
    stopped_ = true;
    return std::vector<BaselineFrozen>();
  }
  Result<void> adopt_baselines(const std::vector<BaselineFrozen>&, std::stop_token) override {
    return {};
  }
  Result<Evidence> evaluate(const DeviceTask&, std::stop_token) override { return Evidence(); }

 private:
  bool& stopped_;
};

// An agent on a thread of this process, behind two pipes.
class AgentBehindPipes {
 public:
  AgentBehindPipes() {
    int to[2];
    int from[2];
    REQUIRE(::pipe(to) == 0);
    REQUIRE(::pipe(from) == 0);
    channel = Channel(Fd(from[0]), Fd(to[1]));
    thread_ = std::jthread([this, in = to[0], out = from[1]] {
      run_agent(in, out, [this] { return std::make_unique<Patient>(stopped); });
    });
  }
  ~AgentBehindPipes() { channel.close(); }
  void hang_up() {
    channel.close();
    thread_.join();
  }

  Channel channel;
  bool stopped = false;

 private:
  std::jthread thread_;
};

Json call_of(const char* name) {
  return Json::object().set("call", name);
}

}  // namespace

TEST_CASE("an agent's answers leave at once, not at the end of a look for its caller") {
  AgentBehindPipes agent;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    REQUIRE(agent.channel.send(call_of("probe"), std::chrono::seconds(5)).ok());
    REQUIRE(agent.channel.receive(std::chrono::seconds(5)).ok());
  }
  // Twenty ends of a look every 200 ms would be 4 s; a loaded machine gets half of that.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
}

TEST_CASE("a caller that hangs up stops the agent's call") {
  AgentBehindPipes agent;
  REQUIRE(agent.channel.send(call_of("freeze"), std::chrono::seconds(5)).ok());
  agent.hang_up();
  CHECK(agent.stopped);
}
