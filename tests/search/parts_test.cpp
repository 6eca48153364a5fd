// The engine's parts: elites, the mutators' ledger, the domain and its subspaces, the options.
#include "search/domain.h"
#include "search/elites.h"
#include "search/ledger.h"
#include "tests/search/fake_world.h"

#include <set>

using namespace coppice;
using namespace coppice::test;
using search::Elite;
using search::EliteArchive;

namespace {

Elite elite(std::uint64_t id, std::vector<std::uint16_t> levels, double cost) {
  return {{id}, {0, {std::move(levels)}}, cost};
}

}  // namespace

TEST_CASE("each niche keeps its own elites, so that one structure can't crowd the others out") {
  EliteArchive archive(2, 8);
  CHECK(archive.offer({0, 0}, elite(1, {0, 0, 0}, 1.0)));
  CHECK(archive.offer({0, 0}, elite(2, {0, 2, 2}, 2.0)));
  CHECK_FALSE(archive.offer({0, 0}, elite(3, {0, 3, 3}, 3.0)));
  CHECK(archive.offer({0, 1}, elite(4, {1, 3, 3}, 9.0)));
  CHECK(archive.niches() == 2);
  const std::vector<Elite> parents = archive.parents(0, 3);
  REQUIRE(parents.size() == 3);
  CHECK(parents[0].candidate == CandidateId{1});
  CHECK(parents[1].candidate == CandidateId{4});  // the best of the other niche comes second
  CHECK(parents[2].candidate == CandidateId{2});
  CHECK(archive.parents(1, 3).empty());
}

TEST_CASE("near-duplicates are refused, or replaced by a better one") {
  EliteArchive archive(4, 8);
  CHECK(archive.offer({0}, elite(1, {0, 0}, 1.0)));
  CHECK_FALSE(archive.offer({0}, elite(2, {0, 1}, 1.5)));
  CHECK(archive.offer({0}, elite(3, {0, 2}, 0.5)));
  REQUIRE(archive.all().size() == 1);
  CHECK(archive.all()[0].candidate == CandidateId{3});
  archive.remove({3});
  CHECK(archive.all().empty());
}

TEST_CASE("the number of niches is bounded; the worst one goes") {
  EliteArchive archive(1, 2);
  archive.offer({0}, elite(1, {0}, 1.0));
  archive.offer({1}, elite(2, {0}, 3.0));
  CHECK(archive.offer({2}, elite(3, {0}, 2.0)));
  CHECK(archive.niches() == 2);
  CHECK_FALSE(archive.offer({3}, elite(4, {0}, 9.0)));
}

TEST_CASE("the ledger favours what earns per second and gives nobody up") {
  search::Ledger ledger({"good", "slow", "bad"});
  for (int i = 0; i < 20; ++i) {
    ledger.record("good", true, 0.01, 1.0);
    ledger.record("slow", true, 0.01, 10.0);
    ledger.record("bad", false, 0.0, 1.0);
  }
  const std::vector<double> weights = ledger.weights();
  CHECK(weights[0] > weights[1]);
  CHECK(weights[1] > 0.04);
  CHECK(weights[2] > 0.04);
  CHECK(weights[0] + weights[1] + weights[2] == Approx(1.0));
  CHECK(ledger.accounts()[0].improved == 20);
  CHECK(ledger.accounts()[1].seconds == Approx(200.0));
  Rng rng = stream(1, "ledger_test", 0);
  std::vector<int> chosen(3, 0);
  for (int i = 0; i < 1000; ++i) {
    ++chosen[ledger.choose({0, 1, 2}, rng)];
  }
  CHECK(chosen[0] > chosen[1]);
  CHECK(chosen[2] > 10);
  CHECK(ledger.choose({2}, rng) == 2);
}

TEST_CASE("a mutator that needs three failures before its first success keeps its chance") {
  search::Ledger ledger({"late", "never", "other"});
  for (int i = 0; i < 3; ++i) {
    ledger.record("late", false, 0.0, 1.0);
    ledger.record("never", false, 0.0, 1.0);
    ledger.record("other", true, 0.0, 1.0);
  }
  CHECK(ledger.weights()[0] > 0.2);
  ledger.record("late", true, 0.3, 1.0);
  for (int i = 0; i < 20; ++i) {
    ledger.record("never", false, 0.0, 1.0);
  }
  CHECK(ledger.weights()[0] > 3.0 * ledger.weights()[1]);
}

TEST_CASE("a subspace draws each of its untried points once and knows when it is empty") {
  auto domain = search::Domain::create(two_templates(), {});
  REQUIRE(domain.ok());
  const auto pins = domain->pins(1, {{"fuse", true}});
  REQUIRE(pins.ok());
  search::Subspace space(*domain, 1, *pins);
  std::set<Genome> tried;
  Rng rng = stream(3, "subspace_test", 0);
  const auto seen = [&](const Genome& genome) {
    return tried.contains(genome);
  };
  while (auto genome = space.draw(*domain, seen, rng)) {
    CHECK(genome->levels[0] == 1);
    CHECK(genome->levels[3] >= 1);  // fuse needs splits > 1
    CHECK(tried.insert(*genome).second);
  }
  CHECK(tried.size() == 2 * 5 * 4);
  CHECK(space.remaining() == std::size_t{0});
  CHECK_FALSE(domain->pins(1, {{"fuse", std::int64_t{7}}}).ok());
  CHECK_FALSE(domain->pins(1, {{"fusion", true}}).ok());
}

TEST_CASE("a space too large to list is sampled under its pins") {
  std::vector<Axis> axes{flag("fuse", true)};
  for (int i = 0; i < 8; ++i) {
    axes.push_back(ordinal("a" + std::to_string(i), {1, 2, 3, 4, 5, 6, 7, 8}));
  }
  auto domain =
      search::Domain::create({template_space("huge", axes, {"not fuse or a0 * a1 <= 16"})}, {});
  REQUIRE(domain.ok());
  CHECK(domain->listed(0) == nullptr);
  search::Subspace space(*domain, 0, *domain->pins(0, {{"fuse", true}, {"a3", std::int64_t{5}}}));
  Rng rng = stream(4, "subspace_test", 0);
  const auto fresh = space.sample(
      *domain, [](const Genome&) { return false; }, 50, rng);
  CHECK(fresh.size() == 50);
  for (const Genome& genome : fresh) {
    CHECK(domain->permitted({0, genome}));
    CHECK(genome.levels[0] == 1);
    CHECK(genome.levels[4] == 4);
  }
  CHECK_FALSE(domain->permitted({0, Genome{{1, 7, 7, 0, 0, 0, 0, 0, 0}}}));
  CHECK_FALSE(domain->permitted({0, Genome{{1, 99, 0, 0, 0, 0, 0, 0, 0}}}));
  CHECK_FALSE(domain->permitted({5, Genome{{1}}}));
}

TEST_CASE("search options read, write and read back to the same bytes") {
  search::SearchOptions options;
  options.strategy = search::Strategy::best_of_n;
  options.budget = {500, Nanoseconds(1'500'000'000), 2.5};
  options.lanes = 4;
  options.evolution = false;
  const Json json = to_json(options);
  const auto back = search::search_options(json.reader("c"));
  REQUIRE(back.ok());
  CHECK(to_json(*back).dump() == json.dump());
  CHECK(back->budget.seconds == options.budget.seconds);
  const auto refusal = [](const char* text) {
    const auto parsed = Json::parse(text, "c.json");
    REQUIRE(parsed.ok());
    const auto read = search::search_options(parsed->reader("c.json"));
    REQUIRE(!read.ok());
    return read.error().message;
  };
  CHECK(refusal(R"({"lanes": 0})").find("c.json: /lanes") == 0);
  CHECK(refusal(R"({"budget": {"seconds": -1}})")
            .find("c.json: /budget/seconds: expected a number of seconds") == 0);
  CHECK(refusal(R"({"strategy": "annealing"})").find("hillclimb") != std::string::npos);
  CHECK(refusal(R"({"stagnaton": 3})").find("stagnation") != std::string::npos);
}
