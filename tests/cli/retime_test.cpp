// Winners of several runs timed in turn: one ratio for the suite and one for each workload.
#include "cli/retime.h"

#include "tests/cli/fake_run.h"

#include <cmath>

using namespace coppice;
using namespace coppice::tests;

namespace {

std::string run_with(FakeWorld& fake, search::Strategy strategy) {
  cli::RunMaterial material = fake.material();
  material.config.search.strategy = strategy;
  const auto result = cli::start_run(fake.store(), "tiny", material, {}, fake.world());
  if (!result.ok()) {
    FAIL(result.error().message);
  }
  return result->run;
}

cli::RunReader opened(FakeWorld& fake, const std::string& run) {
  auto reader = cli::RunReader::open(fake.store(), run);
  if (!reader.ok()) {
    FAIL(reader.error().message);
  }
  return std::move(*reader);
}

}  // namespace

TEST_CASE("winners timed in turn tell the ratio by workload and how soon each was as good") {
  FakeWorld fake(30);
  const cli::RunReader mine = opened(fake, run_with(fake, search::Strategy::coppice));
  std::vector<cli::RunReader> others;
  others.push_back(opened(fake, run_with(fake, search::Strategy::random)));
  const auto against = cli::retime_winners(mine, others, fake.evaluator, {});
  REQUIRE(against.size() == 1);
  const cli::Against& random = against[0];
  CHECK(random.strategy == "random");
  CHECK(random.basis == "paired");
  REQUIRE(random.ratio);
  REQUIRE(random.workloads.size() == 1);
  CHECK(random.workloads[0].workload == "small");
  CHECK(std::abs(random.workloads[0].ratio - *random.ratio) < 1e-6);
  CHECK(random.attempts == others[0].fold().searched());
  REQUIRE(random.best_after);
  CHECK(*random.best_after <= random.attempts);
  // The curve says the same: ours is as good as random's best exactly from that attempt on.
  const auto& curve = others[0].fold().curve(others[0].headline());
  CHECK(random.as_good_after == cli::attempts_until(mine, curve.back().log_cost));
}
