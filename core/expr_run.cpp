// Evaluation of expressions: exact whole numbers, Python's meaning of // and %, no exceptions.
#include "core/check.h"
#include "core/expr_tree.h"
#include "core/pinned_math.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace coppice::detail {
namespace {

using Cell = ExprCell;
using Code = ExprFault::Code;

bool numeric(const Cell& cell) {
  return cell.kind != Cell::Kind::text;
}
bool whole(const Cell& cell) {
  return cell.kind == Cell::Kind::integer || cell.kind == Cell::Kind::boolean;
}
double as_real(const Cell& cell) {
  return whole(cell) ? static_cast<double>(cell.integer) : cell.real;
}

Cell load(const Value& value) {
  Cell cell;
  switch (value.index()) {
    case 0:
      cell.kind = Cell::Kind::boolean;
      cell.integer = *std::get_if<bool>(&value) ? 1 : 0;
      break;
    case 1:
      cell.integer = *std::get_if<std::int64_t>(&value);
      break;
    case 2:
      cell.kind = Cell::Kind::real;
      cell.real = *std::get_if<double>(&value);
      break;
    default:
      cell.kind = Cell::Kind::text;
      cell.text = std::get_if<std::string>(&value);
  }
  return cell;
}

// One evaluation; faults stop it.
class Run {
 public:
  Run(const ExprTree& tree,
      const Value* const* slots,
      ExprFault& fault,
      const ExprRange* ranges = nullptr)
      : tree_(tree), slots_(slots), fault_(fault), ranges_(ranges) {}

  bool value(std::uint32_t at, Cell& out) {
    const ExprNode& node = tree_.nodes[at];
    bool holds = false;
    switch (node.op) {
      case ExprOp::literal:
        out = node.literal;
        return true;
      case ExprOp::name:
        if (slots_[node.slot] == nullptr) {
          return fail(Code::unassigned, at);
        }
        out = load(*slots_[node.slot]);
        return true;
      case ExprOp::or_else:
      case ExprOp::and_also:
        if (!value(node.kids[0], out) || !truth(node.kids[0], out, holds)) {
          return false;
        }
        return holds == (node.op == ExprOp::or_else) || value(node.kids[1], out);
      case ExprOp::choose:
        return value(node.kids[0], out) && truth(node.kids[0], out, holds) &&
               value(node.kids[holds ? 1 : 2], out);
      case ExprOp::negate_truth:
        if (!value(node.kids[0], out) || !truth(node.kids[0], out, holds)) {
          return false;
        }
        out = boolean(!holds);
        return true;
      case ExprOp::member:
        return membership(at, out);
      case ExprOp::min:
      case ExprOp::max:
        return extreme(at, out);
      case ExprOp::minus:
      case ExprOp::abs:
      case ExprOp::floor:
      case ExprOp::ceil:
      case ExprOp::log2:
      case ExprOp::sqrt:
      case ExprOp::to_int:
        return value(node.kids[0], out) && unary(at, out, out);
      default:
        return operators(at, out);
    }
  }

  // Chains lean to the left: sixteen steps take one call, so that the longest text fits each stack.
  bool operators(std::uint32_t at, Cell& out) {
    const auto chains = [this](std::uint32_t node) {
      return tree_.nodes[node].op >= ExprOp::add && tree_.nodes[node].op <= ExprOp::modulo;
    };
    std::array<std::uint32_t, 16> steps{at};
    std::size_t count = 1;
    std::uint32_t left = tree_.nodes[at].kids[0];
    for (; count < steps.size() && chains(left); left = tree_.nodes[left].kids[0]) {
      steps[count++] = left;
    }
    bool good = value(left, out);
    while (good && count-- > 0) {
      Cell right;
      good =
          value(tree_.nodes[steps[count]].kids[1], right) && binary(steps[count], out, right, out);
    }
    return good;
  }

  bool truth(std::uint32_t at, const Cell& cell, bool& holds) {
    if (cell.kind == Cell::Kind::text) {
      return fail(Code::not_a_truth, at);
    }
    holds = whole(cell) ? cell.integer != 0 : cell.real != 0.0;
    return true;
  }

  // Three-valued: an unknown side does not hide a side that decides. 0 no, 1 yes, -1 open.
  int judge(std::uint32_t at) {
    const ExprNode& node = tree_.nodes[at];
    if (node.op == ExprOp::and_also || node.op == ExprOp::or_else) {
      const int decides = node.op == ExprOp::or_else ? 1 : 0;
      const int left = judge(node.kids[0]);
      if (left == decides || fault_.code != Code::none) {
        return left;
      }
      const int right = judge(node.kids[1]);
      if (left == -1 && fault_.code != Code::none) {
        fault_ = {};  // the left side may yet decide
        return -1;
      }
      if (right == decides || fault_.code != Code::none) {
        return right;
      }
      return left == -1 || right == -1 ? -1 : right;
    }
    if (node.op == ExprOp::negate_truth) {
      const int inner = judge(node.kids[0]);
      return inner == -1 || fault_.code != Code::none ? inner : 1 - inner;
    }
    Cell cell;
    bool holds = false;
    if (value(at, cell) && truth(at, cell, holds)) {
      return holds ? 1 : 0;
    }
    if (fault_.code == Code::unassigned) {
      fault_ = {};
      ExprRange range;
      if (ranges_ == nullptr || !bound_expr(tree_, at, slots_, ranges_, range)) {
        return -1;
      }
      const bool only_zero = range.low == 0.0 && range.high == 0.0;
      return only_zero ? 0 : range.low > 0.0 || range.high < 0.0 ? 1 : -1;
    }
    return 0;
  }

 private:
  bool fail(Code code, std::uint32_t at) {
    fault_ = ExprFault{code, at};
    return false;
  }
  static Cell boolean(bool value) {
    Cell cell;
    cell.kind = Cell::Kind::boolean;
    cell.integer = value ? 1 : 0;
    return cell;
  }
  bool set(std::int64_t value, Cell& out) {
    out.kind = Cell::Kind::integer;
    out.integer = value;
    return true;
  }
  bool set_real(double value, std::uint32_t at, Cell& out) {
    if (!std::isfinite(value)) {
      return fail(Code::overflow, at);
    }
    out.kind = Cell::Kind::real;
    out.real = value;
    return true;
  }
  // A real number that is meant to be whole from here on.
  bool set_whole(double value, std::uint32_t at, Cell& out) {
    if (!(value >= -9.2e18 && value <= 9.2e18)) {
      return fail(Code::overflow, at);
    }
    return set(static_cast<std::int64_t>(value), out);
  }

  // -1, 0, 1; false when the two can't be compared.
  bool compare(std::uint32_t at, const Cell& a, const Cell& b, int& order) {
    if (numeric(a) != numeric(b)) {
      return fail(Code::mixed_types, at);
    }
    if (!numeric(a)) {
      const int c = a.text->compare(*b.text);
      order = (c > 0) - (c < 0);
    } else if (whole(a) && whole(b)) {
      order = (a.integer > b.integer) - (a.integer < b.integer);
    } else {
      const double x = as_real(a);
      const double y = as_real(b);
      order = (x > y) - (x < y);
    }
    return true;
  }

  bool membership(std::uint32_t at, Cell& out) {
    const ExprNode& node = tree_.nodes[at];
    Cell item;
    if (!value(node.kids[0], item)) {
      return false;
    }
    for (std::uint32_t i = 0; i < node.list_count; ++i) {
      Cell other;
      int order = 0;
      if (!value(tree_.lists[node.list + i], other) || !compare(at, item, other, order)) {
        return false;
      }
      if (order == 0) {
        out = boolean(true);
        return true;
      }
    }
    out = boolean(false);
    return true;
  }

  bool extreme(std::uint32_t at, Cell& out) {
    const ExprNode& node = tree_.nodes[at];
    for (std::uint32_t i = 0; i < node.list_count; ++i) {
      Cell other;
      int order = 0;
      if (!value(tree_.lists[node.list + i], other)) {
        return false;
      }
      if (!numeric(other)) {
        return fail(Code::not_a_number, at);
      }
      if (i > 0 && !compare(at, other, out, order)) {
        return false;
      }
      if (i == 0 || order == (node.op == ExprOp::max ? 1 : -1)) {
        out = other;
      }
    }
    return true;
  }

  bool unary(std::uint32_t at, const Cell a, Cell& out) {
    if (!numeric(a)) {
      return fail(Code::not_a_number, at);
    }
    const double x = as_real(a);
    switch (tree_.nodes[at].op) {
      case ExprOp::minus:
      case ExprOp::abs: {
        const bool flip = tree_.nodes[at].op == ExprOp::minus || x < 0;
        if (!whole(a)) {
          return set_real(flip ? -a.real : a.real, at, out);
        }
        if (a.integer == std::numeric_limits<std::int64_t>::min()) {
          return fail(Code::overflow, at);
        }
        return set(flip ? -a.integer : a.integer, out);
      }
      case ExprOp::floor:
        return whole(a) ? set(a.integer, out) : set_whole(std::floor(x), at, out);
      case ExprOp::ceil:
        return whole(a) ? set(a.integer, out) : set_whole(std::ceil(x), at, out);
      case ExprOp::to_int:
        return whole(a) ? set(a.integer, out) : set_whole(std::trunc(x), at, out);
      case ExprOp::sqrt:
        return x < 0 ? fail(Code::outside_domain, at) : set_real(std::sqrt(x), at, out);
      case ExprOp::log2: {
        if (!(x > 0)) {
          return fail(Code::outside_domain, at);
        }
        int exponent = 0;
        const double fraction = 2.0 * std::frexp(x, &exponent);  // exact for powers of two
        constexpr double kLog2 = 0.69314718055994530942;
        return set_real(exponent - 1 + pinned::log(fraction) / kLog2, at, out);
      }
      default:
        COPPICE_UNREACHABLE();
    }
  }

  bool binary(std::uint32_t at, const Cell a, const Cell b, Cell& out) {
    const ExprOp op = tree_.nodes[at].op;
    if (op >= ExprOp::equal && op <= ExprOp::greater_equal) {
      int order = 0;
      if (!compare(at, a, b, order)) {
        return false;
      }
      out = boolean(op == ExprOp::equal        ? order == 0
                    : op == ExprOp::unequal    ? order != 0
                    : op == ExprOp::less       ? order < 0
                    : op == ExprOp::less_equal ? order <= 0
                    : op == ExprOp::greater    ? order > 0
                                               : order >= 0);
      return true;
    }
    if (!numeric(a) || !numeric(b)) {
      return fail(Code::not_a_number, at);
    }
    if (op == ExprOp::divide) {
      const double divisor = as_real(b);
      return divisor == 0.0 ? fail(Code::zero_division, at)
                            : set_real(as_real(a) / divisor, at, out);
    }
    if (whole(a) && whole(b)) {
      return integers(at, a.integer, b.integer, out);
    }
    return reals(at, as_real(a), as_real(b), out);
  }

  bool integers(std::uint32_t at, std::int64_t a, std::int64_t b, Cell& out) {
    std::int64_t c = 0;
    switch (tree_.nodes[at].op) {
      case ExprOp::add:
        return __builtin_add_overflow(a, b, &c) ? fail(Code::overflow, at) : set(c, out);
      case ExprOp::subtract:
        return __builtin_sub_overflow(a, b, &c) ? fail(Code::overflow, at) : set(c, out);
      case ExprOp::multiply:
        return __builtin_mul_overflow(a, b, &c) ? fail(Code::overflow, at) : set(c, out);
      case ExprOp::power:
        return integer_power(at, a, b, out);
      default:
        break;
    }
    if (b == 0) {
      return fail(Code::zero_division, at);
    }
    if (b == -1) {
      // Keeps the one quotient that does not fit away from the division below.
      return tree_.nodes[at].op == ExprOp::modulo ? set(0, out)
             : __builtin_sub_overflow(0, a, &c)   ? fail(Code::overflow, at)
             : tree_.nodes[at].op == ExprOp::align_up || tree_.nodes[at].op == ExprOp::align_down
                 ? set(a, out)
                 : set(c, out);
    }
    const std::int64_t rest = a % b;
    const std::int64_t down = a / b - (rest != 0 && (rest < 0) != (b < 0) ? 1 : 0);
    const std::int64_t up = down + (rest != 0 ? 1 : 0);
    switch (tree_.nodes[at].op) {
      case ExprOp::floor_divide:
        return set(down, out);
      case ExprOp::modulo:
        return set(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest, out);
      case ExprOp::ceil_div:
        return set(up, out);
      case ExprOp::align_up:
        return __builtin_mul_overflow(up, b, &c) ? fail(Code::overflow, at) : set(c, out);
      case ExprOp::align_down:
        return __builtin_mul_overflow(down, b, &c) ? fail(Code::overflow, at) : set(c, out);
      default:
        COPPICE_UNREACHABLE();
    }
  }

  bool integer_power(std::uint32_t at, std::int64_t base, std::int64_t exponent, Cell& out) {
    if (exponent < 0) {
      return base == 0 ? fail(Code::zero_division, at)
                       : reals(at, static_cast<double>(base), static_cast<double>(exponent), out);
    }
    std::int64_t result = 1;
    while (exponent > 0) {
      if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) {
        return fail(Code::overflow, at);
      }
      exponent >>= 1;
      if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) {
        return fail(Code::overflow, at);
      }
    }
    return set(result, out);
  }

  bool reals(std::uint32_t at, double a, double b, Cell& out) {
    switch (tree_.nodes[at].op) {
      case ExprOp::add:
        return set_real(a + b, at, out);
      case ExprOp::subtract:
        return set_real(a - b, at, out);
      case ExprOp::multiply:
        return set_real(a * b, at, out);
      case ExprOp::power:
        return real_power(at, a, b, out);
      case ExprOp::floor_divide:
      case ExprOp::modulo: {
        if (b == 0.0) {
          return fail(Code::zero_division, at);
        }
        double rest = std::fmod(a, b);  // exact
        if (rest != 0.0 && (rest < 0) != (b < 0)) {
          rest += b;
        }
        return set_real(
            tree_.nodes[at].op == ExprOp::modulo ? rest : std::round((a - rest) / b), at, out);
      }
      case ExprOp::ceil_div:
      case ExprOp::align_up:
      case ExprOp::align_down:
        return fail(Code::not_whole, at);
      default:
        COPPICE_UNREACHABLE();
    }
  }

  bool real_power(std::uint32_t at, double base, double exponent, Cell& out) {
    if (base == 0.0) {
      return exponent < 0 ? fail(Code::zero_division, at)
                          : set_real(exponent == 0.0 ? 1.0 : 0.0, at, out);
    }
    if (base < 0 && exponent != std::floor(exponent)) {
      return fail(Code::outside_domain, at);
    }
    constexpr double kMultiplied =
        64.0;  // small whole exponents by multiplication: 2.0 ** 3 is 8.0
    if (exponent == std::floor(exponent) && std::fabs(exponent) <= kMultiplied) {
      double product = 1.0;
      for (int i = 0; i < static_cast<int>(std::fabs(exponent)); ++i) {
        product *= base;
      }
      return set_real(exponent < 0 ? 1.0 / product : product, at, out);
    }
    const double size = pinned::pow(std::fabs(base), exponent);
    const bool odd = std::fabs(std::fmod(exponent, 2.0)) == 1.0;
    return set_real(base < 0 && odd ? -size : size, at, out);
  }

  const ExprTree& tree_;
  const Value* const* slots_;
  ExprFault& fault_;
  const ExprRange* ranges_;
};

std::string_view words(Code code) {
  switch (code) {
    case Code::none:
      return "no fault";
    case Code::unassigned:
      return "value not known";
    case Code::overflow:
      return "overflow";
    case Code::zero_division:
      return "division by zero";
    case Code::mixed_types:
      return "text compared with a number";
    case Code::not_a_number:
      return "expected numbers, found text";
    case Code::not_a_truth:
      return "expected true, false or a number, found text";
    case Code::not_whole:
      return "expected whole numbers, found a real number";
    case Code::outside_domain:
      return "argument outside of what the function is defined for";
  }
  COPPICE_UNREACHABLE();
}

}  // namespace

bool run_expr(const ExprTree& tree,
              std::uint32_t node,
              const Value* const* slots,
              ExprCell& out,
              ExprFault& fault) {
  return Run(tree, slots, fault).value(node, out);
}

int judge_expr(const ExprTree& tree,
               std::uint32_t node,
               const Value* const* slots,
               const ExprRange* ranges) {
  ExprFault fault;
  return Run(tree, slots, fault, ranges).judge(node);
}

std::string explain_fault(const ExprTree& tree, const ExprFault& fault) {
  return "expression \"" + tree.text + "\": column " +
         std::to_string(tree.nodes[fault.node].column) + ": " + std::string(words(fault.code));
}

}  // namespace coppice::detail
