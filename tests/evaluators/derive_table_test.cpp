// Derived tables: siblings stay alike, the misleading ones mislead, and all are reproducible.
#include "evaluators/derive_table.h"

#include "core/random.h"
#include "evaluators/landscape.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;

namespace {

// Share of pairs in the same order less share in the other one, over a sample of pairs.
double likeness(const RecordedTable& a, const RecordedTable& b) {
  const std::vector<Genome>& genomes = *a.space().space.listed();
  Rng rng = stream(1, "test", 0);
  double sum = 0.0;
  int pairs = 0;
  while (pairs < 4000) {
    const std::size_t i = rng.below(genomes.size());
    const std::size_t j = rng.below(genomes.size());
    const RecordedOutcome* bi = b.find(genomes[i]);
    const RecordedOutcome* bj = b.find(genomes[j]);
    const RecordedOutcome& ai = a.outcomes()[i];
    const RecordedOutcome& aj = a.outcomes()[j];
    if (bi == nullptr || bj == nullptr || !bi->valid || !bj->valid || !ai.valid || !aj.valid ||
        ai.milliseconds == aj.milliseconds) {
      continue;
    }
    const bool same = (ai.milliseconds < aj.milliseconds) == (bi->milliseconds < bj->milliseconds);
    sum += same ? 1.0 : -1.0;
    ++pairs;
  }
  return sum / pairs;
}

}  // namespace

TEST_CASE("siblings rank as the table does, cousins less so, a mirror the other way round") {
  const auto table = generate_landscape("gemm_model", 1);
  REQUIRE(table.ok());
  const auto of = [&](const char* name, std::uint64_t instance) {
    auto derived = derive_table(*table, name, instance);
    REQUIRE(derived.ok());
    return std::move(*derived);
  };
  const RecordedTable sibling = of("sibling", 1);
  CHECK(likeness(*table, sibling) > 0.6);
  CHECK(likeness(*table, sibling) < 0.9999);
  CHECK(likeness(*table, of("cousin", 1)) < likeness(*table, sibling));
  CHECK(likeness(*table, of("mirror", 1)) < -0.99);
  CHECK(std::abs(likeness(*table, of("shuffled", 1))) < 0.1);
  CHECK(likeness(*table, of("planted", 1)) > 0.3);
  CHECK(sibling.size() < table->size());  // some are missing
  CHECK(of("sibling", 1).optimum() == sibling.optimum());
  CHECK(of("sibling", 1).optimum_milliseconds() == sibling.optimum_milliseconds());
  CHECK(of("sibling", 2).optimum_milliseconds() != sibling.optimum_milliseconds());
}

TEST_CASE("a derivation that nobody knows is refused with those that exist") {
  const auto table = generate_landscape("smooth", 0);
  REQUIRE(table.ok());
  const auto derived = derive_table(*table, "twin", 0);
  REQUIRE(!derived.ok());
  CHECK(derived.error().message.find("sibling") != std::string::npos);
}
