// Results: values, errors, context and exit statuses.
#include "core/result.h"

#include "core/value.h"
#include "tests/support/catch.h"

#include <type_traits>
#include <vector>

using namespace coppice;

namespace {

Result<int> half(int number) {
  if (number % 2 != 0) {
    return Error{ErrorCode::usage, "expected an even number, found " + std::to_string(number)};
  }
  return number / 2;
}

Result<int> quarter(int number) {
  COPPICE_TRY(const int once, half(number));
  COPPICE_TRY(const int twice, half(once));
  return twice;
}

Result<void> check_both(int a, int b) {
  COPPICE_TRY_VOID(half(a));
  COPPICE_TRY_VOID(half(b));
  return {};
}

}  // namespace

TEST_CASE("an error leaves the function at the first step that fails") {
  REQUIRE(quarter(8).ok());
  CHECK(*quarter(8) == 2);
  REQUIRE(!quarter(6).ok());
  CHECK(quarter(6).error().message == "expected an even number, found 3");
  CHECK(check_both(2, 4).ok());
  CHECK(!check_both(2, 5).ok());
}

TEST_CASE("context is put in front of an error and leaves a value alone") {
  CHECK(quarter(6).within("quarter of 6").error().message ==
        "quarter of 6: expected an even number, found 3");
  CHECK(*quarter(8).within("quarter of 8") == 2);
}

TEST_CASE("each kind of error has the exit status of the command line's contract") {
  CHECK(exit_status(ErrorCode::usage) == 2);
  CHECK(exit_status(ErrorCode::config) == 2);
  CHECK(exit_status(ErrorCode::missing) == 2);
  CHECK(exit_status(ErrorCode::environment) == 3);
  CHECK(exit_status(ErrorCode::io) == 3);
  CHECK(exit_status(ErrorCode::busy) == 3);
  CHECK(exit_status(ErrorCode::corrupt) == 3);
  CHECK(exit_status(ErrorCode::interrupted) == 130);
}

TEST_CASE("a value's text reads back as the same value") {
  CHECK(to_text(Value(true)) == "true");
  CHECK(to_text(Value(std::int64_t{-64})) == "-64");
  CHECK(to_text(Value(0.1)) == "0.1");
  CHECK(to_text(Value(2.0)) == "2.0");
  CHECK(to_text(Value(1e300)) == "1e+300");
  CHECK(to_text(Value(std::string("bf16"))) == "bf16");
}

TEST_CASE("a loop over the value of a result that nobody keeps sees the value") {
  const auto numbers = []() -> Result<std::vector<int>> {
    return std::vector<int>{1, 2, 3};
  };
  static_assert(std::is_same_v<decltype(numbers().value()), std::vector<int>>);
  int sum = 0;
  for (const int number : numbers().value()) {
    sum += number;
  }
  CHECK(sum == 6);
}
