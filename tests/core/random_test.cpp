// Random streams: addressed, unbiased, and the published generators.
#include "core/random.h"

#include "tests/support/catch.h"

#include <cmath>
#include <numeric>
#include <set>

using namespace coppice;

TEST_CASE("mix64 and the generator give the published numbers") {
  // splitmix64 from seed 0: the first output of the reference code.
  CHECK(mix64(0x9e3779b97f4a7c15U) == 0xe220a8397b1dcdafU);
  CHECK(hash_text("") == mix64(0xcbf29ce484222325U));
}

TEST_CASE("the same address gives the same numbers, another address others") {
  Rng a = stream(1, "axis_step", 5);
  Rng b = stream(1, "axis_step", 5);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t x = a.next();
    CHECK(x == b.next());
    seen.insert(x);
  }
  CHECK(seen.size() == 100);
  CHECK(stream(1, "axis_step", 6).next() != stream(1, "axis_step", 5).next());
  CHECK(stream(1, "jump", 5).next() != stream(1, "axis_step", 5).next());
  CHECK(stream(2, "axis_step", 5).next() != stream(1, "axis_step", 5).next());
}

TEST_CASE("below is uniform and stays below its bound") {
  Rng rng = stream(3, "below", 0);
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 70000; ++i) {
    ++counts[rng.below(7)];
  }
  for (const int count : counts) {
    CHECK(count > 9600);
    CHECK(count < 10400);
  }
  const std::uint64_t huge = (std::uint64_t{1} << 63) + 1;
  for (int i = 0; i < 1000; ++i) {
    CHECK(rng.below(huge) < huge);
  }
  CHECK(rng.below(1) == 0);
}

TEST_CASE("normal deviates have mean 0 and variance 1") {
  Rng rng = stream(4, "normal", 0);
  double sum = 0.0;
  double squares = 0.0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(std::fabs(sum / n) < 0.015);
  CHECK(std::fabs(squares / n - 1.0) < 0.02);
}

TEST_CASE("shuffle keeps all items") {
  std::vector<int> items(50);
  std::iota(items.begin(), items.end(), 0);
  Rng rng = stream(5, "shuffle", 0);
  rng.shuffle(items);
  CHECK(!std::is_sorted(items.begin(), items.end()));
  CHECK(std::set<int>(items.begin(), items.end()).size() == 50);
}
