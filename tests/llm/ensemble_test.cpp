// The choice between models: repeatable, drawn to gain per cost, and robust against the absent.
#include "llm/ensemble.h"

#include "tests/support/catch.h"

#include <cmath>

namespace coppice::llm {
namespace {

struct Nature {
  double gain = 0.0;    // of a proposal that succeeds
  double chance = 1.0;  // that it does
  double dollars = 0.01;
};

// How often each model is asked in `rounds`, when proposals turn out as nature has it.
std::vector<int> played(const std::vector<Nature>& nature, int rounds, std::uint64_t seed) {
  std::vector<Ensemble::Arm> arms;
  for (std::size_t i = 0; i < nature.size(); ++i) {
    arms.push_back({"m" + std::to_string(i), nature[i].dollars, 1.0});
  }
  Ensemble ensemble(arms, {.seed = seed});
  std::vector<int> chosen(nature.size());
  std::uint64_t state = seed * 7919 + 1;
  for (int i = 0; i < rounds; ++i) {
    const auto arm = ensemble.choose();
    REQUIRE(arm);
    ++chosen[*arm];
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const double luck = static_cast<double>(state >> 11) * 0x1p-53;
    const Nature& n = nature[*arm];
    ensemble.credit(*arm, {luck < n.chance ? n.gain : 0.0, n.dollars, 1.0});
  }
  return chosen;
}

}  // namespace

TEST_CASE("the model whose proposals gain more is asked more") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    const auto chosen = played({{0.2, 0.5}, {0.2, 0.05}}, 300, seed);
    CHECK(chosen[0] > 2 * chosen[1]);
    CHECK(chosen[1] > 0);
  }
}

TEST_CASE("of two equally good models the cheaper is asked more") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    const auto chosen = played({{0.1, 0.3, 0.10}, {0.1, 0.3, 0.01}}, 300, seed);
    CHECK(chosen[1] > 3 * chosen[0]);
  }
}

TEST_CASE("choices are a function of seed and history") {
  CHECK(played({{0.1, 0.5}, {0.1, 0.4}}, 100, 3) == played({{0.1, 0.5}, {0.1, 0.4}}, 100, 3));
}

TEST_CASE("a model with a wrong key is gone, and none is left when all are") {
  Ensemble ensemble({{"a", 0.01, 1.0}, {"b", 0.01, 1.0}}, {});
  ensemble.failed(0, FailureKind::auth, {});
  for (int i = 0; i < 50; ++i) {
    CHECK(ensemble.choose() == std::optional<std::size_t>(1));
  }
  ensemble.failed(1, FailureKind::tls, {});
  CHECK_FALSE(ensemble.choose());
}

TEST_CASE("a model that fails three times in a row rests, longer each time, and comes back") {
  Ensemble ensemble({{"a", 0.01, 1.0}}, {});
  const auto rest = [&ensemble] {
    for (int i = 0; i < 3; ++i) {
      ensemble.failed(0, FailureKind::overloaded, {});
    }
    int refused = 0;
    while (!ensemble.choose()) {
      ++refused;
      REQUIRE(refused < 1000);
    }
    return refused;
  };
  CHECK(rest() == 8);
  CHECK(rest() == 16);
  ensemble.credit(0, {0.1, 0.01, 1.0});
  CHECK(rest() == 8);  // forgiven
}

TEST_CASE("our own budget and our own stop are not held against a model") {
  Ensemble ensemble({{"a", 0.01, 1.0}}, {});
  for (int i = 0; i < 10; ++i) {
    ensemble.failed(0, FailureKind::budget, {});
    ensemble.failed(0, FailureKind::cancelled, {});
  }
  CHECK(ensemble.choose());
}

TEST_CASE("a gain that is no number counts as none") {
  Ensemble ensemble({{"a", 0.01, 1.0}, {"b", 0.01, 1.0}}, {});
  ensemble.credit(0, {std::nan(""), 0.01, 1.0});
  ensemble.credit(1, {INFINITY, 0.01, 1.0});
  CHECK(ensemble.choose());
  const Json report = ensemble.report();
  CHECK(report.dump().find("nan") == std::string::npos);
}

}  // namespace coppice::llm
