// Expressions: Python's meaning, exact whole numbers, and refusals that show the place.
#include "core/expr.h"

#include "tests/support/catch.h"
#include "tests/support/cpu_time.h"
#include "tests/support/text.h"

using namespace coppice;

namespace {

const ValueMap kValues = {{"a", std::int64_t{7}},
                          {"b", std::int64_t{-2}},
                          {"zero", std::int64_t{0}},
                          {"big", std::int64_t{INT64_MAX}},
                          {"x", 2.5},
                          {"mode", std::string("bf16")},
                          {"flag", true},
                          {"target.lanes", std::int64_t{32}}};

Value eval(const char* text) {
  const Result<Expr> expr = Expr::parse(text);
  INFO(text);
  REQUIRE(expr.ok());
  const Result<Value> value = expr->evaluate(kValues);
  INFO((value.ok() ? "" : value.error().message));
  REQUIRE(value.ok());
  return *value;
}

std::string failure(const char* text) {
  const Result<Expr> expr = Expr::parse(text);
  if (!expr.ok()) {
    return expr.error().message;
  }
  const Result<Value> value = expr->evaluate(kValues);
  return value.ok() ? "" : value.error().message;
}

Value whole(std::int64_t number) {
  return number;
}

}  // namespace

TEST_CASE("arithmetic has Python's precedence and meaning") {
  CHECK(eval("1 + 2 * 3") == whole(7));
  CHECK(eval("(1 + 2) * 3") == whole(9));
  CHECK(eval("-2 ** 2") == whole(-4));
  CHECK(eval("2 ** 3 ** 2") == whole(512));
  CHECK(eval("2 ** -1") == Value(0.5));
  CHECK(eval("2.0 ** 3") == Value(8.0));
  CHECK(eval("a // b") == whole(-4));
  CHECK(eval("a % b") == whole(-1));
  CHECK(eval("-a // 2") == whole(-4));
  CHECK(eval("-a % 3") == whole(2));
  CHECK(eval("a / 2") == Value(3.5));
  CHECK(eval("6 / 2") == Value(3.0));
  CHECK(eval("x // 1") == Value(2.0));
  CHECK(eval("-x % 1.0") == Value(0.5));
  CHECK(eval("a - 3 - 2") == whole(2));
  CHECK(eval("flag + 1") == whole(2));
}

TEST_CASE("truth and comparison have Python's meaning") {
  CHECK(eval("1 < 2 < 3") == Value(true));
  CHECK(eval("3 > 2 > 2") == Value(false));
  CHECK(eval("not a == 7 or b == -2") == Value(true));
  CHECK(eval("zero != 0 and 1 // zero == 1") == Value(false));
  CHECK(eval("flag == 1") == Value(true));
  CHECK(eval("7 == 7.0") == Value(true));
  CHECK(eval("mode == 'bf16' && !(mode == \"f32\")") == Value(true));
  CHECK(eval("mode in ['f32', 'bf16']") == Value(true));
  CHECK(eval("a not in [1, 2, 3]") == Value(true));
  CHECK(eval("a in []") == Value(false));
  CHECK(eval("zero or a") == whole(7));
  CHECK(eval("1 if a > 3 else 2 if a > 1 else 3") == whole(1));
  CHECK(eval("true or 1 // zero") == Value(true));
}

TEST_CASE("functions work on whole and real numbers") {
  CHECK(eval("min(a, b, x)") == whole(-2));
  CHECK(eval("max(a, x)") == whole(7));
  CHECK(eval("abs(b)") == whole(2));
  CHECK(eval("ceil_div(a, 2)") == whole(4));
  CHECK(eval("ceil_div(-a, 2)") == whole(-3));
  CHECK(eval("align_up(a, 4)") == whole(8));
  CHECK(eval("align_down(a, 4)") == whole(4));
  CHECK(eval("floor(-x)") == whole(-3));
  CHECK(eval("ceil(x)") == whole(3));
  CHECK(eval("int(-x)") == whole(-2));
  CHECK(eval("log2(4096)") == Value(12.0));
  CHECK(eval("log2(0.125)") == Value(-3.0));
  CHECK(eval("sqrt(6.25)") == Value(2.5));
  CHECK(eval("target.lanes * 2") == whole(64));
}

TEST_CASE(
    "what can't be computed is an error that names the expression, the place and the reason") {
  CHECK(failure("1 + a // zero") == "expression \"1 + a // zero\": column 7: division by zero");
  CHECK(contains(failure("big + 1"), "column 5: overflow"));
  CHECK(contains(failure("-big - 2"), "overflow"));
  CHECK(contains(failure("big * 2"), "overflow"));
  CHECK(contains(failure("2 ** 64"), "overflow"));
  CHECK(contains(failure("(-big - 1) // -1"), "overflow"));
  CHECK(contains(failure("mode == 3"), "text compared with a number"));
  CHECK(contains(failure("mode + 1"), "found text"));
  CHECK(contains(failure("not mode"), "found text"));
  CHECK(contains(failure("log2(zero)"), "outside"));
  CHECK(contains(failure("a % 0.0"), "division by zero"));
  CHECK(contains(failure("nowhere + 1"), "unknown name \"nowhere\""));
}

TEST_CASE("text that is no expression is refused with its column") {
  CHECK(failure("a +") == "expression \"a +\": column 4: expected a value, found the end");
  CHECK(contains(failure("a b"), "column 3: expected an operator or the end, found \"b\""));
  CHECK(contains(failure("open('x')"), "unknown function \"open\""));
  CHECK(contains(failure("a in 3"), "expected \"[\""));
  CHECK(contains(failure("[1, 2]"), "expected a value"));
  CHECK(contains(failure("min()"), "takes 1 or more arguments, not 0"));
  CHECK(contains(failure("ceil_div(1)"), "takes 2 arguments, not 1"));
  CHECK(contains(failure("'abc"), "closing quote"));
  CHECK(contains(failure("99999999999999999999"), "out of range"));
  CHECK(contains(failure("1.2.3"), "expected"));
  CHECK(contains(failure("a = 3"), "column 3"));
  CHECK(contains(failure("lambda: 1"), "column 7"));
  CHECK(contains(failure(""), "expected a value, found the end"));
}

TEST_CASE("hostile nesting and length end in an error, not in a crash") {
  CHECK(contains(failure((std::string(5000, '(') + "1").c_str()), "nested deeper"));
  CHECK(contains(failure((std::string(5000, '-') + "1").c_str()), "nested deeper"));
  CHECK(contains(failure((std::string(5000, '!') + "1").c_str()), "nested deeper"));
  std::string chain = "2";
  for (int i = 0; i < 3000; ++i) {
    chain += "**2";
  }
  CHECK(contains(failure(chain.c_str()), "nested deeper"));
  std::string sum = "1";
  while (sum.size() < 9990) {
    sum += "+1";
  }
  CHECK(failure(sum.c_str()).empty());
  CHECK(contains(failure(std::string(20000, '1').c_str()), "at most 10000"));
}

TEST_CASE("typed answers refuse the wrong type") {
  CHECK(*Expr::parse("a * 2")->integer(kValues) == 14);
  CHECK(Expr::parse("a / 2")->integer(kValues).error().message ==
        "expression \"a / 2\": expected a whole number, found 3.5");
  CHECK(*Expr::parse("a")->real(kValues) == 7.0);
  CHECK(!Expr::parse("mode")->real(kValues).ok());
  CHECK(*Expr::parse("x")->truth(kValues));
  CHECK(!Expr::parse("mode")->truth(kValues).ok());
  CHECK(*Expr().integer({}) == 0);
  CHECK(Expr::constant(-5).text() == "-5");
}

TEST_CASE("names are listed once, in the order of their first appearance") {
  const Result<Expr> expr = Expr::parse("b + a * b if c.d else a");
  REQUIRE(expr.ok());
  CHECK(expr->names() == std::vector<std::string>{"b", "a", "c.d"});
}

TEST_CASE("slots give the same answer as names") {
  const Result<Expr> expr = Expr::parse("a % b == 0 and mode == 'x'");
  REQUIRE(expr.ok());
  const std::vector<Value> slots = {whole(6), whole(3), std::string("x")};
  CHECK(*expr->evaluate_slots(slots) == Value(true));
}

TEST_CASE("a truth over partly known values is open only while it depends on the rest") {
  using Truth = Expr::Truth;
  const Value no = whole(0);
  const Value yes = whole(1);
  const auto judge = [](const char* text, std::vector<const Value*> slots) {
    return Expr::parse(text)->judge(slots);
  };
  CHECK(judge("a == 1 and b == 1", {nullptr, &no}) == Truth::no);
  CHECK(judge("a == 1 and b == 1", {nullptr, &yes}) == Truth::open);
  CHECK(judge("a == 1 or b == 1", {nullptr, &yes}) == Truth::yes);
  CHECK(judge("not (a == 1 or b == 1)", {nullptr, &yes}) == Truth::no);
  CHECK(judge("a + b > 0", {nullptr, &yes}) == Truth::open);
  CHECK(judge("1 // b == 1", {&no}) == Truth::no);
  CHECK(judge("not (1 // b == 1)", {&no}) == Truth::no);
  CHECK(judge("a == 1 or 1 // b == 1", {nullptr, &no}) == Truth::open);
}

TEST_CASE("a restriction is judged in microseconds") {
  const Result<Expr> expr = Expr::parse("MWG % (MDIMC * VWM) == 0 and NWG % (NDIMC * VWN) == 0");
  REQUIRE(expr.ok());
  const std::vector<Value> slots = {
      whole(128), whole(16), whole(4), whole(128), whole(8), whole(2)};
  constexpr int kRounds = 20000;
  int holds = 0;
  const double start = cpu_seconds();
  for (int i = 0; i < kRounds; ++i) {
    holds += std::get<bool>(*expr->evaluate_slots(slots)) ? 1 : 0;
  }
  const double spent = cpu_seconds() - start;
  CHECK(holds == kRounds);
  // Generous, for debug builds and sanitizers; about 100 ns in a release build.
  CHECK(spent / kRounds < 20e-6);
}

TEST_CASE("bounds of unknown values let a truth be judged early, and never wrongly") {
  using Truth = Expr::Truth;
  const std::vector<ExprRange> ranges = {{1, 8}, {2, 4}};
  const Value big = whole(40);
  const auto judge = [&](const char* text, std::vector<const Value*> slots) {
    const Expr expr = *Expr::parse(text);
    return expr.judge(slots, std::span(ranges).first(slots.size()));
  };
  CHECK(judge("a * b <= 64", {&big, nullptr}) == Truth::no);
  CHECK(judge("a * b <= 64", {nullptr, nullptr}) == Truth::yes);
  CHECK(judge("a * b <= 20", {nullptr, nullptr}) == Truth::open);
  CHECK(judge("a + b == 13", {nullptr, nullptr}) == Truth::no);
  CHECK(judge("not (a - b < 10)", {nullptr, nullptr}) == Truth::no);
  CHECK(judge("a // b > 4", {nullptr, nullptr}) == Truth::no);
  CHECK(judge("max(a, b) < 2", {nullptr, nullptr}) == Truth::no);
  CHECK(judge("a / (b - 2) > 100", {nullptr, nullptr}) == Truth::open);
  CHECK(judge("a % b == 9", {nullptr, nullptr}) == Truth::open);
  CHECK(judge("a == 'x'", {nullptr}) == Truth::open);
}
