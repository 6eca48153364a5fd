// Generated tables: what their names promise, and that they are the same each time.
#include "evaluators/landscape.h"

#include "tests/support/catch.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace {

using namespace coppice;
using evaluators::RecordedOutcome;
using evaluators::RecordedTable;

RecordedTable landscape(std::string_view name, std::uint64_t instance = 0) {
  auto table = evaluators::generate_landscape(name, instance);
  REQUIRE(table.ok());
  return std::move(*table);
}

std::vector<double> times(const RecordedTable& table) {
  std::vector<double> out;
  for (const RecordedOutcome& outcome : table.outcomes()) {
    if (outcome.valid) {
      out.push_back(outcome.milliseconds);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("at least twelve landscapes are generated, each of a size that can be searched") {
  const std::vector<std::string> names = evaluators::landscape_names();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  CHECK(names.size() >= 12);
  for (const std::string& name : names) {
    const RecordedTable table = landscape(name);
    INFO(name);
    CHECK(table.size() >= 1000);
    CHECK(table.size() <= 50000);
    CHECK(table.valid_count() >= table.size() / 5);
    const std::vector<double> sorted = times(table);
    CHECK(sorted.front() == table.optimum_milliseconds());
    CHECK(sorted[sorted.size() / 2] > 1.1 * sorted.front());  // there is something to be found
    // Few points are near the optimum.
    const auto near = std::upper_bound(sorted.begin(), sorted.end(), 1.05 * sorted.front());
    CHECK(near - sorted.begin() < static_cast<std::ptrdiff_t>(sorted.size() / 10));
  }
}

TEST_CASE("a landscape is the same each time, and another instance is another one") {
  for (const std::string& name : evaluators::landscape_names()) {
    const RecordedTable a = landscape(name, 3);
    const RecordedTable b = landscape(name, 3);
    const RecordedTable c = landscape(name, 4);
    INFO(name);
    CHECK(a.name() == "synthetic:" + name + "/3");
    CHECK(times(a) == times(b));
    CHECK(times(a) != times(c));
  }
}

TEST_CASE("landscapes have the traits of their names") {
  CHECK(landscape("cliffs").valid_count() < 6 * landscape("cliffs").size() / 10);
  CHECK(landscape("smooth").valid_count() == landscape("smooth").size());

  std::vector<double> steps = times(landscape("plateaus"));
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  CHECK(steps.size() < landscape("plateaus").size() / 100);

  const std::vector<double> tail = times(landscape("heavy_tail"));
  CHECK(tail.back() > 50.0 * tail[tail.size() / 2]);

  const RecordedTable needles = landscape("needles");
  const std::vector<double> sorted = times(needles);
  CHECK(sorted[sorted.size() / 1000] > 1.02 * sorted.front());
  CHECK(landscape("noisy").outcomes().front().log_noise == 0.05);
}

TEST_CASE("axes that are said to be irrelevant hardly matter") {
  const RecordedTable table = landscape("irrelevant_axes");
  const std::vector<Genome>& genomes = *table.space().space.listed();
  double most = 0.0;
  for (std::size_t i = 0; i < genomes.size(); i += 97) {
    for (std::size_t axis = 3; axis < 8; ++axis) {
      Genome other = genomes[i];
      other.levels[axis] = static_cast<std::uint16_t>((other.levels[axis] + 1) % 3);
      const RecordedOutcome* outcome = table.find(other);
      REQUIRE(outcome != nullptr);
      most = std::max(most,
                      std::abs(std::log(outcome->milliseconds / table.outcomes()[i].milliseconds)));
    }
  }
  CHECK(most < 0.02);
}

TEST_CASE("an unknown landscape is refused with the names that there are") {
  const auto table = evaluators::generate_landscape("flat", 0);
  REQUIRE_FALSE(table.ok());
  CHECK(table.error().code == ErrorCode::usage);
  CHECK(table.error().message.find("plateaus") != std::string::npos);
}
