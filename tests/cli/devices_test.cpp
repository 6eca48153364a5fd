// Several devices: work goes to whichever is free, results say which, a lost one drops out.
#include "archive/lane_use.h"
#include "cli/evaluation_pool.h"
#include "cli/run_speed.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <set>

using namespace coppice;
using namespace coppice::tests;

namespace {

// Devices that need a moment for each candidate; some are lost after so many.
class Machines final : public evaluators::Evaluator {
 public:
  Machines(int count, std::map<int, int> lost_after)
      : count_(count), left_(std::move(lost_after)), measured(static_cast<std::size_t>(count)) {}

  int devices() const override { return count_; }
  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override {
    return fake_.freeze_baselines(stop);
  }
  evaluators::Built build(const evaluators::EvaluationTask&, std::stop_token) override {
    return {};
  }
  Result<Evidence> measure(const evaluators::EvaluationTask& task,
                           const evaluators::Built& built,
                           int device,
                           std::stop_token stop) override {
    const auto index = static_cast<std::size_t>(device);
    const auto limit = left_.find(device);
    if (limit != left_.end() && measured[index] >= limit->second) {
      return Error{ErrorCode::environment, "fell off the bus"};
    }
    ++measured[index];
    std::this_thread::yield();
    return fake_.measure(task, built, device, stop);
  }
  Json environment() const override { return fake_.environment(); }

 private:
  const int count_;
  const std::map<int, int> left_;
  FakeEvaluator fake_;

 public:
  std::vector<std::atomic<int>> measured;
};

evaluators::EvaluationTask numbered(std::uint64_t id) {
  evaluators::EvaluationTask task;
  task.attempt = AttemptId{id};
  task.candidate.id = CandidateId{id};
  task.candidate.source = "FASTER";
  return task;
}

struct Outcome {
  std::set<std::uint64_t> answered;
  std::map<int, int> by_device;
  std::vector<int> lost;
  int errors = 0;
};

Outcome work_off(Machines& machines, int tasks) {
  cli::EvaluationPool pool(machines, {2, machines.devices(), tasks, false});
  for (int i = 1; i <= tasks; ++i) {
    pool.submit(numbered(static_cast<std::uint64_t>(i)));
  }
  Outcome out;
  while (static_cast<int>(out.answered.size()) + out.errors < tasks) {
    const auto result = pool.next(std::chrono::seconds(10));
    if (!result) {
      break;
    }
    if (result->lost) {
      out.lost.push_back(*result->lost);
    } else if (!result->evidence.ok()) {
      ++out.errors;
    } else {
      out.answered.insert(result->attempt.value);
      const auto lane = archive::lane_use_of(*result->evidence);
      REQUIRE(lane);
      ++out.by_device[lane->device];
    }
  }
  return out;
}

}  // namespace

TEST_CASE("every attempt is measured once, and its result names the device") {
  Machines machines(4, {});
  const Outcome out = work_off(machines, 64);
  CHECK(out.answered.size() == 64);
  CHECK(out.errors == 0);
  CHECK(out.lost.empty());
  for (const auto& [device, count] : out.by_device) {
    CHECK(machines.measured[static_cast<std::size_t>(device)] == count);
  }
}

TEST_CASE("a device that is lost hands its candidate on, and no attempt is lost with it") {
  Machines machines(3, {{0, 0}, {2, 1}});
  const Outcome out = work_off(machines, 40);
  CHECK(out.answered.size() == 40);
  CHECK(out.errors == 0);
  CHECK(out.by_device.count(0) == 0);
  CHECK(out.lost.size() <= 2);
  CHECK(std::set<int>(out.lost.begin(), out.lost.end()).count(1) == 0);
}

TEST_CASE("the loss of the last device is the run's") {
  Machines machines(2, {{0, 0}, {1, 3}});
  const Outcome out = work_off(machines, 8);
  CHECK(out.answered.size() == 3);
  CHECK(out.errors == 5);
  CHECK(out.lost.size() == 1);
}

TEST_CASE("a run says how many candidates it tried in an hour and how its devices were used") {
  FakeWorld fake(20);
  const std::string run = fake.run();
  const Said shown = say({"show", run, "--json", "--archive", fake.folder / "archive"});
  CHECK(contains(shown.out, "\"speed\":{"));
  const auto parsed = Json::parse(shown.out, "stdout");
  REQUIRE(parsed.ok());
  const auto speed = parsed->reader("answer").find("speed");
  REQUIRE(speed);
  const std::int64_t distinct = speed->find("distinct")->integer().value();
  CHECK(distinct == 20);
  CHECK(speed->find("per_hour")->real().value() > 0.0);
  CHECK(speed->find("busy_share")->real().value() <= 1.0);
  CHECK_FALSE(speed->find("kernel_share"));  // no device told it
  CHECK(
      contains(say({"show", run, "--archive", fake.folder / "archive"}).out, "candidates an hour"));
}

TEST_CASE("devices is a number or all, and reads back as it was written") {
  const TemporaryFolder here;
  const auto with = [&](const std::string& devices) {
    write(here / "c.json",
          R"({"schema": 1, "op": "o", "suite": "s", "budget": {"attempts": 1}, "devices": )" +
              devices + "}");
    return cli::load_run_config(here / "c.json");
  };
  const auto all = with("\"all\"");
  REQUIRE(all.ok());
  CHECK(all->devices == cli::kAllDevices);
  CHECK(contains(cli::to_json(*all).dump(), "\"devices\":\"all\""));
  CHECK(with("4")->devices == 4);
  CHECK(contains(with("\"both\"").error().message, "\"all\""));
  CHECK_FALSE(with("0").ok());
}
