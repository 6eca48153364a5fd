// Prices: the table that ships can be checked, names are found as providers write them, sums are
// exact.
#include "llm/prices.h"

#include "tests/support/catch.h"
#include "tests/support/text.h"

#include <fstream>
#include <iterator>

namespace coppice::llm {
namespace {

constexpr const char* kTable =
    R"({"schema": 1, "models": [{"model": "big-4", "in": 2, "out": 8, "cached": 0.5,)"
    R"( "source": "https://example.com/pricing", "date": "2026-01-02"}]})";

std::string refusal(const std::string& text) {
  const auto table = PriceTable::parse(text, "prices.json");
  return table.ok() ? "" : table.error().message;
}

std::string row(const std::string& members) {
  return R"({"schema": 1, "models": [{"model": "m", "source": "https://x", "date": "2026-01-02", )" +
         members + "}]}";
}

}  // namespace

TEST_CASE("a model is found with its maker's prefix and a date behind its name, and only so") {
  const auto table = PriceTable::parse(kTable, "prices.json");
  REQUIRE(table.ok());
  for (const char* name :
       {"big-4", "maker/big-4", "big-4-2025-08-07", "big-4-20250807", "big-4-latest"}) {
    CAPTURE(name);
    REQUIRE(table->find(name));
    CHECK(table->find(name)->out == 8.0);
  }
  for (const char* name : {"big", "big-4-mini", "big-41", "big-4-1", ""}) {
    CAPTURE(name);
    CHECK_FALSE(table->find(name));
  }
  CHECK(table->find("big-4")->cached == 0.5);
  CHECK(table->find("big-4")->written == 2.0);  // no surcharge unless the table says so
}

TEST_CASE("a price without a source or a date, or beyond reason, is refused") {
  CHECK(refusal(row(R"("in": 1, "out": 2)")).empty());
  CHECK(contains(refusal(R"({"schema": 1, "models": [{"model": "m", "in": 1, "out": 2}]})"),
                 "source"));
  CHECK(contains(refusal(R"({"schema": 1, "models": [{"model": "m", "in": 1, "out": 2,)"
                         R"( "source": "https://x", "date": "soon"}]})"),
                 "date"));
  CHECK_FALSE(refusal(row(R"("in": -1, "out": 2)")).empty());
  CHECK_FALSE(refusal(row(R"("in": 1e9, "out": 2)")).empty());
  CHECK_FALSE(refusal(row(R"("in": 1, "out": 2, "inn": 3)")).empty());
  CHECK(contains(refusal(R"({"schema": 2, "models": []})"), "schema 1, found 2"));
}

TEST_CASE("the table that ships is read, and each of its rows says where it comes from") {
  const PriceTable& table = PriceTable::shipped();
  CHECK(table.size() > 0);
  REQUIRE(table.find("claude-opus-4-6"));
  CHECK_FALSE(table.find("a model that nobody makes"));
}

TEST_CASE("money is exact: cached and written tokens at their own prices, sums in any order") {
  const Price price{.in = 2, .out = 8, .cached = 0.5, .written = 2.5};
  const Usage usage{.in = 1000, .out = 100, .cached = 600, .written = 300};
  CHECK(cost_of(price, usage) == Money{100 * 2000 + 600 * 500 + 300 * 2500 + 100 * 8000});
  const Money a{1}, b{1000000000000}, c{7};
  CHECK((a + b) + c == a + (b + c));
  CHECK(Money::of_dollars(0.1) + Money::of_dollars(0.2) == Money::of_dollars(0.3));
  CHECK(Money::of_dollars(-1).nano == 0);
  CHECK(cost_of(price, {.in = -5, .out = -5}).nano == 0);
}

}  // namespace coppice::llm
