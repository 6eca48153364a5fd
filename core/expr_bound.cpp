// Interval arithmetic on expressions: bounds of what they can be while some names are unknown.
#include "core/expr_tree.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace coppice::detail {

namespace {

// Whole numbers up to here are exact as real numbers; beyond, no bounds are given.
constexpr double kExact = 9007199254740992.0;

class Bounds {
 public:
  Bounds(const ExprTree& tree, const Value* const* slots, const ExprRange* ranges)
      : tree_(tree), slots_(slots), ranges_(ranges) {}

  bool of(std::uint32_t at, ExprRange& out) {
    return raw(at, out) && out.low <= out.high && out.low >= -kExact && out.high <= kExact;
  }

 private:
  bool raw(std::uint32_t at, ExprRange& out) {
    const ExprNode& node = tree_.nodes[at];
    ExprRange a;
    ExprRange b;
    switch (node.op) {
      case ExprOp::literal:
        return of_cell(node.literal, out);
      case ExprOp::name:
        return of_slot(node.slot, out);
      case ExprOp::minus:
        return of(node.kids[0], a) && set(-a.high, -a.low, out);
      case ExprOp::abs:
        return of(node.kids[0], a) &&
               set(a.low <= 0 && a.high >= 0 ? 0.0 : std::min(std::fabs(a.low), std::fabs(a.high)),
                   std::max(std::fabs(a.low), std::fabs(a.high)),
                   out);
      case ExprOp::min:
      case ExprOp::max:
        return extreme(node, out);
      case ExprOp::add:
        return both(node, a, b) && set(a.low + b.low, a.high + b.high, out);
      case ExprOp::subtract:
        return both(node, a, b) && set(a.low - b.high, a.high - b.low, out);
      case ExprOp::multiply:
        return both(node, a, b) &&
               hull({a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high}, out);
      case ExprOp::divide:
      case ExprOp::floor_divide:
      case ExprOp::ceil_div:
        return both(node, a, b) && quotient(node.op, a, b, out);
      case ExprOp::equal:
      case ExprOp::unequal:
      case ExprOp::less:
      case ExprOp::less_equal:
      case ExprOp::greater:
      case ExprOp::greater_equal:
        return both(node, a, b) && compare(node.op, a, b, out);
      default:
        return false;
    }
  }

  static bool set(double low, double high, ExprRange& out) {
    out = ExprRange{low, high};
    return true;
  }
  static bool hull(std::initializer_list<double> corners, ExprRange& out) {
    return set(std::min(corners), std::max(corners), out);
  }
  bool both(const ExprNode& node, ExprRange& a, ExprRange& b) {
    return of(node.kids[0], a) && of(node.kids[1], b);
  }

  static bool of_cell(const ExprCell& cell, ExprRange& out) {
    if (cell.kind == ExprCell::Kind::text) {
      return false;
    }
    const double number =
        cell.kind == ExprCell::Kind::real ? cell.real : static_cast<double>(cell.integer);
    return set(number, number, out);
  }

  bool of_slot(std::uint32_t slot, ExprRange& out) const {
    if (slots_[slot] == nullptr) {
      out = ranges_[slot];
      return true;
    }
    const Value& value = *slots_[slot];
    if (const auto* truth = std::get_if<bool>(&value)) {
      return set(*truth ? 1.0 : 0.0, *truth ? 1.0 : 0.0, out);
    }
    if (const auto* whole = std::get_if<std::int64_t>(&value)) {
      return set(static_cast<double>(*whole), static_cast<double>(*whole), out);
    }
    const auto* real = std::get_if<double>(&value);
    return real != nullptr && set(*real, *real, out);
  }

  bool extreme(const ExprNode& node, ExprRange& out) {
    for (std::uint32_t i = 0; i < node.list_count; ++i) {
      ExprRange item;
      if (!of(tree_.lists[node.list + i], item)) {
        return false;
      }
      const bool largest = node.op == ExprOp::max;
      out.low = i == 0    ? item.low
                : largest ? std::max(out.low, item.low)
                          : std::min(out.low, item.low);
      out.high = i == 0    ? item.high
                 : largest ? std::max(out.high, item.high)
                           : std::min(out.high, item.high);
    }
    return true;
  }

  static bool quotient(ExprOp op, const ExprRange& a, const ExprRange& b, ExprRange& out) {
    if (b.low <= 0.0 && b.high >= 0.0) {
      return false;
    }
    hull({a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high}, out);
    // A rounded quotient may lie one beside the exact one.
    return op == ExprOp::divide         ? true
           : op == ExprOp::floor_divide ? set(std::floor(out.low) - 1.0, std::floor(out.high), out)
                                        : set(std::ceil(out.low), std::ceil(out.high) + 1.0, out);
  }

  static bool compare(ExprOp op, const ExprRange& a, const ExprRange& b, ExprRange& out) {
    const bool less = a.high < b.low;
    const bool greater = a.low > b.high;
    const bool same = a.low == a.high && b.low == b.high && a.low == b.low;
    bool yes = false;
    bool no = false;
    switch (op) {
      case ExprOp::equal:
        yes = same;
        no = less || greater;
        break;
      case ExprOp::unequal:
        yes = less || greater;
        no = same;
        break;
      case ExprOp::less:
        yes = less;
        no = a.low >= b.high;
        break;
      case ExprOp::less_equal:
        yes = a.high <= b.low;
        no = greater;
        break;
      case ExprOp::greater:
        yes = greater;
        no = a.high <= b.low;
        break;
      default:
        yes = a.low >= b.high;
        no = less;
    }
    return set(yes ? 1.0 : 0.0, no ? 0.0 : 1.0, out);
  }

  const ExprTree& tree_;
  const Value* const* slots_;
  const ExprRange* ranges_;
};

}  // namespace

bool bound_expr(const ExprTree& tree,
                std::uint32_t node,
                const Value* const* slots,
                const ExprRange* ranges,
                ExprRange& out) {
  return Bounds(tree, slots, ranges).of(node, out);
}

}  // namespace coppice::detail
