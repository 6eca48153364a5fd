// What the tests of runs that are made of tasks share: three tasks, two of them of the tiny op with
// the fake evaluator, one of a synthetic table.
#pragma once

#include "cli/make_evaluator.h"
#include "cli/shared_answer.h"
#include "cli/shared_run.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <map>

namespace coppice::tests {

inline constexpr const char* kLargeSuite = R"json({
  "schema": 1, "types": {"T": "f32"},
  "workloads": [{"name": "small", "dims": {"n": 64}}, {"name": "wide", "dims": {"n": 4096}}]
})json";

// Counts what it does, and fails when it is told to.
class LentEvaluator final : public evaluators::Evaluator {
 public:
  explicit LentEvaluator(FakeEvaluator& lender) : lender_(lender) {}
  int devices() const override { return 1; }
  Result<std::vector<BaselineFrozen>> freeze_baselines(std::stop_token stop) override {
    return lender_.freeze_baselines(stop);
  }
  Result<void> adopt_baselines(const std::vector<BaselineFrozen>& frozen,
                               std::stop_token stop) override {
    return lender_.adopt_baselines(frozen, stop);
  }
  evaluators::Built build(const evaluators::EvaluationTask& task, std::stop_token stop) override {
    return lender_.build(task, stop);
  }
  Result<Evidence> measure(const evaluators::EvaluationTask& task,
                           const evaluators::Built& built,
                           int device,
                           std::stop_token stop) override {
    return lender_.measure(task, built, device, stop);
  }
  Json environment() const override { return lender_.environment(); }

 private:
  FakeEvaluator& lender_;
};

struct FakeShared {
  explicit FakeShared(int attempts = 90, FakeOptions options = {}) : fake(10, 1, options) {
    write(fake.folder / "tiny/suites/large.json", kLargeSuite);
    write(fake.folder / "night.json",
          R"({"schema": 1, "seed": 5, "budget": {"attempts": )" + std::to_string(attempts) +
              R"(}, "tasks": [
      {"op": ")" +
              fake.folder / "tiny" + R"(", "suite": "small", "weight": 2},
      {"op": ")" +
              fake.folder / "tiny" + R"(", "workloads": ["wide"]},
      {"table": "synthetic:plateaus/3", "name": "table"}]})");
  }

  cli::SharedMaterial material() {
    const auto config = cli::load_run_config(fake.folder / "night.json");
    if (!config.ok()) {
      FAIL(config.error().message);
    }
    auto material = cli::gather_tasks(*config, cli::Places{{}}, nullptr);
    if (!material.ok()) {
      FAIL(material.error().message);
    }
    return std::move(*material);
  }

  cli::SharedWorld world() {
    return {fake.clock,
            fake.executor,
            fake.streams.console,
            [this] { return fake.interrupts.load(); },
            [this](const cli::RunMaterial& material) { return evaluator(material); },
            2};
  }

  Result<std::unique_ptr<evaluators::Evaluator>> evaluator(const cli::RunMaterial& material) {
    ++opened;
    if (broken) {
      return Error{ErrorCode::environment, "no compiler"};
    }
    if (material.table != nullptr) {
      return cli::make_evaluator(material);
    }
    return std::unique_ptr<evaluators::Evaluator>(std::make_unique<LentEvaluator>(fake.evaluator));
  }

  cli::SharedEnd run() {
    const auto end = cli::start_shared(fake.store(), "night", material(), world());
    if (!end.ok()) {
      FAIL(end.error().message);
    }
    return *end;
  }

  Result<cli::SharedEnd> resume(const std::string& name) {
    auto log = fake.store().open_run(name, archive::ExperimentLog::Mode::append);
    if (!log.ok()) {
      return log.error();
    }
    const auto found = cli::recall_tasks(*log);
    if (!found.ok()) {
      return found.error();
    }
    return cli::resume_shared(fake.store(), std::move(*log), *found, world());
  }

  cli::SharedReader reader(const std::string& name) {
    auto opened_run = cli::SharedReader::open(fake.store(), name);
    if (!opened_run.ok()) {
      FAIL(opened_run.error().message);
    }
    return std::move(*opened_run);
  }

  Said say(std::vector<std::string> words) {
    words.push_back("--archive");
    words.push_back(fake.folder / "archive");
    return tests::say(words);
  }

  FakeWorld fake;
  int opened = 0;
  bool broken = false;
};

}  // namespace coppice::tests
