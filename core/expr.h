// Expr: small typed expressions over named values; restrictions, grids, costs and derived features.
#pragma once

#include "core/result.h"
#include "core/value.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

// What a value that is not known yet may be: numbers from low to high; low > high: no number.
struct ExprRange {
  double low = 1.0;
  double high = 0.0;
};

// Grammar (Python's precedence and meaning; nothing else is accepted, nothing is executed):
//   or and not  == != < <= > >= in  + - * / // % **  unary -  ( )  a if c else b
//   literals: 12  0.5  'text' "text"  True False true false  [a, b, c] (only right of `in`)
//   functions: min max abs ceil_div(a,b) align_up(a,b) align_down(a,b) floor ceil log2 sqrt int
//   names: [A-Za-z_][A-Za-z0-9_.]*
// `/` is real division, `//` floors, `%` has the divisor's sign; whole numbers are 64 bits and
// overflow is an error, as are division by zero and comparing text with numbers. `&&`, `||`, `!`
// are accepted too.
class Expr {
 public:
  // The constant 0.
  Expr();
  static Result<Expr> parse(std::string_view text);
  static Expr constant(std::int64_t value);

  const std::string& text() const;                // as written
  const std::vector<std::string>& names() const;  // free names, in order of first appearance

  using Lookup = std::function<const Value*(std::string_view name)>;
  // Errors name the unknown name or the failing operation and the expression.
  Result<Value> evaluate(const Lookup& lookup) const;
  Result<Value> evaluate(const ValueMap& values) const;
  // Values in the order of names(): the fast path for large spaces.
  Result<Value> evaluate_slots(std::span<const Value> slots) const;
  Result<Value> evaluate_slots(std::span<const Value* const> slots) const;  // none may be null
  // A truth over values of which some are not known yet (null): `open` when it depends on them.
  // What fails to evaluate is a `no`. Never allocates.
  enum class Truth { no, yes, open };
  // `ranges` (empty, or one for each slot) bounds the numbers that unknown slots may still take, so
  // that tile * stages <= 64 is judged before all of its names are known.
  Truth judge(std::span<const Value* const> slots, std::span<const ExprRange> ranges = {}) const;

  Result<std::int64_t> integer(const ValueMap& values) const;  // error unless a whole number
  Result<double> real(const ValueMap& values) const;
  Result<bool> truth(const ValueMap& values) const;  // numbers: non-zero is true

  friend bool operator==(const Expr& a, const Expr& b) { return a.text() == b.text(); }

 private:
  struct Tree;
  explicit Expr(std::shared_ptr<const Tree> tree);
  std::shared_ptr<const Tree> tree_;
};

}  // namespace coppice
