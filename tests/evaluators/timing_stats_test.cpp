// Known-answer timing: coverage of the intervals, false claims, planted gains, stopping.

#include "evaluators/timing_stats.h"

#include "core/random.h"
#include "tests/support/catch.h"

#include <cmath>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

// Launch times as a noisy machine gives them: a floor, a right tail, and now and then an outlier.
double launch(Rng& rng, double base) {
  double t = base * (1.0 + 0.01 * std::fabs(rng.normal()) + 0.005 * rng.normal());
  if (rng.below(50) == 0) {
    t *= 1.0 + rng.uniform();
  }
  return t;
}

std::vector<Pair> block(Rng& rng, std::size_t n, double gain, double drift) {
  std::vector<Pair> out;
  for (std::size_t i = 0; i < n; ++i) {
    const double slow = 1.0 + drift * static_cast<double>(i) / static_cast<double>(n);
    out.push_back({launch(rng, slow / gain), launch(rng, slow)});
  }
  return out;
}

}  // namespace

TEST_CASE("the interval of the median covers the truth in 93 to 97 of 100 cases") {
  const std::size_t n = GENERATE(8, 11, 20, 50, 101);
  Rng rng = stream(11, "coverage", n);
  int covered = 0;
  constexpr int kTrials = 4000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> samples(n);
    for (double& x : samples) {
      const double z = rng.normal();
      x = z + 0.3 * std::fabs(z) * z;  // symmetric, heavy tails; median 0
    }
    const Interval i = median_interval(samples);
    covered += i.low <= 0.0 && 0.0 <= i.high ? 1 : 0;
  }
  CAPTURE(n, covered);
  CHECK(covered >= kTrials * 93 / 100);
  CHECK(covered <= kTrials * 97 / 100);
}

TEST_CASE("a program against itself is claimed faster or slower in at most 5 of 100 blocks") {
  int claims = 0;
  constexpr int kTrials = 1000;
  for (int trial = 0; trial < kTrials; ++trial) {
    Rng rng = stream(12, "aa", static_cast<std::uint64_t>(trial));
    const PairedResult result = paired(block(rng, 30, 1.0, 0.2));
    const Claim c = claim(result.log_ratio, 0.0);
    claims += c == Claim::faster || c == Claim::slower ? 1 : 0;
  }
  CAPTURE(claims);
  CHECK(claims <= kTrials / 20);
}

TEST_CASE("a planted gain of 2 percent is claimed, through drift and outliers") {
  int found = 0;
  constexpr int kTrials = 300;
  for (int trial = 0; trial < kTrials; ++trial) {
    Rng rng = stream(13, "planted", static_cast<std::uint64_t>(trial));
    const PairedResult result = paired(block(rng, 100, 1.02, 0.3));
    found += claim(result.log_ratio, 0.0) == Claim::faster ? 1 : 0;
  }
  CAPTURE(found);
  CHECK(found >= kTrials * 9 / 10);
}

TEST_CASE("two modes in the timings are reported") {
  std::vector<Pair> pairs;
  Rng rng = stream(14, "modes", 0);
  for (int i = 0; i < 40; ++i) {
    pairs.push_back({launch(rng, i % 2 == 0 ? 1.0 : 1.4), launch(rng, 1.0)});
  }
  CHECK(paired(pairs).bimodal);
  Rng other = stream(14, "modes", 1);
  CHECK_FALSE(paired(block(other, 40, 1.0, 0.0)).bimodal);
}

TEST_CASE("a block ends when its interval is narrow, or at its longest") {
  StopRule rule{8, 64, 0.02, 4};
  Rng rng = stream(15, "stop", 0);
  const std::vector<Pair> quiet = block(rng, 64, 1.1, 0.0);
  CHECK_FALSE(enough(std::span(quiet).first(4), rule));
  CHECK_FALSE(enough(std::span(quiet).first(17), rule));
  CHECK(enough(std::span(quiet).first(40), rule));
  rule.half_width = 1e-9;
  CHECK_FALSE(enough(std::span(quiet).first(40), rule));
  CHECK(enough(quiet, rule));
}

TEST_CASE("a clearly slower candidate is given up early, a close one is not") {
  Rng rng = stream(16, "hopeless", 0);
  const std::vector<Pair> slow = block(rng, 8, 0.5, 0.0);
  CHECK(hopeless(slow, std::log(1.2), 0.05));
  CHECK_FALSE(hopeless(std::span(slow).first(3), std::log(1.2), 0.05));
  const std::vector<Pair> close = block(rng, 8, 1.19, 0.0);
  CHECK_FALSE(hopeless(close, std::log(1.2), 0.05));
}

TEST_CASE("speed-ups of workloads combine to their geometric mean") {
  const std::vector<Interval> parts{{std::log(2.0), std::log(1.9), std::log(2.1)},
                                    {std::log(0.5), std::log(0.4), std::log(0.6)}};
  const Interval all = combine(parts);
  CHECK(all.median == Approx(0.0).margin(1e-12));
  CHECK(all.low < 0.0);
  CHECK(all.high > 0.0);
  CHECK(all.half_width() < 0.2);
}

TEST_CASE("the SOL score is one half at the baseline and one at the bound") {
  CHECK(sol_score(2.0, 1.0, 2.0) == Approx(0.5));
  CHECK(sol_score(1.0, 1.0, 2.0) == Approx(1.0));
  CHECK(sol_score(100.0, 1.0, 2.0) < 0.02);
  CHECK(sol_score(2.0, 1.0, 0.9) == 0.0);
}
