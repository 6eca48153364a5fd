// Json: canonical bytes, strict reading, and messages that lead a person to the place.
#include "core/json.h"

#include "tests/support/catch.h"
#include "tests/support/text.h"

#include <cmath>
#include <limits>

using namespace coppice;

namespace {

std::string parse_message(std::string_view text) {
  const Result<Json> json = Json::parse(text, "a.json");
  return json.ok() ? "" : json.error().message;
}

}  // namespace

TEST_CASE("equal values give equal bytes whatever the order of their making") {
  Json a = Json::object();
  a.set("z", 1).set("a", 0.1).set(
      "list", Json::array_of(std::vector<int>{3, 2}, [](int i) { return Json(i); }));
  Json b;
  b.set("list", Json().push(3).push(2)).set("a", 0.1).set("z", std::uint64_t{1});
  CHECK(a.dump() == R"({"a":0.1,"list":[3,2],"z":1})");
  CHECK(a == b);
  b.set("z", 1.0);
  CHECK(!(a == b));
}

TEST_CASE("numbers are written as the shortest text that reads back the same") {
  CHECK(Json(0.1 + 0.2).dump() == "0.30000000000000004");
  CHECK(Json(5e-324).dump() == "5e-324");
  CHECK(Json(3.0).dump() == "3.0");
  CHECK(Json(-0.0).dump() == "-0.0");
  CHECK(Json(1e22).dump() == "1e+22");
  CHECK(Json(std::int64_t{INT64_MIN}).dump() == "-9223372036854775808");
  CHECK(Json(std::uint64_t{UINT64_MAX}).dump() == "18446744073709551615");
  for (const double x : {1.0 / 3.0, 1e-310, 123456789.125, 2.0, -7e300}) {
    const Result<Json> back = Json::parse(Json(x).dump(), "x");
    REQUIRE(back.ok());
    CHECK(*back->reader("x").real() == x);
  }
}

TEST_CASE("numbers that are not finite are written as words and read as numbers") {
  const double infinite = std::numeric_limits<double>::infinity();
  CHECK(Json(infinite).dump() == "\"inf\"");
  CHECK(*Json(-infinite).reader("x").real() == -infinite);
  CHECK(std::isnan(*Json(std::nan("")).reader("x").real()));
}

TEST_CASE("text that is not UTF-8 is written so that it parses again") {
  const Json json(std::string("ok \xff\xc3\x28 \xc3\xa9 \x01\n\"\\"));
  const Result<Json> back = Json::parse(json.dump(), "x");
  REQUIRE(back.ok());
  CHECK(*back == json);
  CHECK(contains(*back->reader("x").text(), "\xc3\xa9"));
}

TEST_CASE("a torn or broken document is refused with file, line and column") {
  CHECK(
      contains(parse_message("{\"a\": 1,\n \"b\": [1, 2"), "a.json: line 2, column 11: not valid"));
  CHECK(contains(parse_message(""), "a.json: line 1, column 1"));
  CHECK(contains(parse_message("{} x"), "a.json: line 1"));
  CHECK(contains(parse_message("{\"a\":\n\"\xff\"}"), "line 2"));
  CHECK(contains(parse_message("{\"a\": nan}"), "line 1, column 8"));
}

TEST_CASE("repeated keys, too large numbers and bottomless nesting are refused") {
  CHECK(contains(parse_message("{\"a\": 1,\n\"b\": {\"c\": 1, \"c\": 2}}"),
                 "line 2, column 17: not valid JSON: the key \"c\" occurs twice"));
  CHECK(contains(parse_message("[123456789012345678901234567890]"), "does not fit into 64 bits"));
  CHECK(!parse_message("[1e999]").empty());
  CHECK(contains(parse_message(std::string(100000, '[')), "deeper than 200"));
  CHECK(parse_message(std::string(200, '[') + std::string(200, ']')).empty());
}

TEST_CASE("a wrong type is reported with file, place, expectation and the value found") {
  const Result<Json> json =
      Json::parse(R"({"budget": {"seconds": "ten", "a/b": [true]}, "n": -1, "x": 3.0})", "c.json");
  REQUIRE(json.ok());
  const JsonReader root = json->reader("c.json");
  const JsonReader budget = *root.at("budget");
  CHECK(budget.at("seconds")->real().error().message ==
        "c.json: /budget/seconds: expected a number, found \"ten\"");
  CHECK((*budget.at("a/b")->items())[0].integer().error().message ==
        "c.json: /budget/a~1b/0: expected a whole number, found true");
  CHECK(root.at("budgets").error().message == "c.json: /: the key \"budgets\" is missing");
  CHECK(root.at("n")->unsigned_integer().error().message ==
        "c.json: /n: expected a whole number of at least 0, found -1");
  CHECK(root.at("x")->integer().error().message ==
        "c.json: /x: expected a whole number, found 3.0");
  CHECK(root.at("n")->integer_in(1, 9).error().message ==
        "c.json: /n: expected a whole number from 1 to 9, found -1");
  CHECK(root.text().error().message == "c.json: /: expected text, found an object");
  CHECK(root.text().error().code == ErrorCode::config);
}

TEST_CASE("an unknown key is refused with the nearest spelling") {
  const Result<Json> json = Json::parse(R"({"secnds": 1})", "c.json");
  REQUIRE(json.ok());
  const JsonReader root = json->reader("c.json");
  CHECK(root.only_keys({"attempts", "seconds"}).error().message ==
        "c.json: /: unknown key \"secnds\", did you mean \"seconds\"?");
  CHECK(root.only_keys({"attempts"}).error().message ==
        "c.json: /: unknown key \"secnds\", expected one of \"attempts\"");
  CHECK(root.only_keys({"secnds"}).ok());
}

TEST_CASE("missing and null members take the fallback, wrong ones do not") {
  const Result<Json> json = Json::parse(R"({"a": null, "b": 2, "c": "x"})", "c.json");
  REQUIRE(json.ok());
  const JsonReader root = json->reader("c.json");
  CHECK(*root.integer_or("a", 7) == 7);
  CHECK(*root.integer_or("none", 7) == 7);
  CHECK(*root.integer_or("b", 7) == 2);
  CHECK(!root.integer_or("c", 7).ok());
  CHECK(*root.text_or("c", "") == "x");
}

TEST_CASE("values, members and copies come back as they were written") {
  const Result<Json> json = Json::parse(R"({"b": [1, 2.5, "t", false], "a": {"k": 1}})", "c.json");
  REQUIRE(json.ok());
  const auto members = json->reader("c").members();
  REQUIRE(members.ok());
  REQUIRE(members->size() == 2);
  CHECK((*members)[0].first == "a");
  CHECK((*members)[0].second.copy().dump() == R"({"k":1})");
  const auto items = (*members)[1].second.items();
  REQUIRE(items.ok());
  CHECK(*(*items)[0].value() == Value(std::int64_t{1}));
  CHECK(*(*items)[1].value() == Value(2.5));
  CHECK(*(*items)[2].value() == Value(std::string("t")));
  CHECK(*(*items)[3].value() == Value(false));
  CHECK(json->pretty() ==
        "{\n  \"a\": {\n    \"k\": 1\n  },\n  \"b\": [\n    1,\n    2.5,\n    \"t\",\n    false\n  "
        "]\n}");
}

TEST_CASE("a copied Json is independent of its origin") {
  Json a = Json::object();
  a.set("x", 1);
  Json b = a;
  b.set("x", 2);
  CHECK(a.dump() == R"({"x":1})");
  CHECK(b.dump() == R"({"x":2})");
  const Json moved = std::move(b);
  CHECK(moved.dump() == R"({"x":2})");
}
