// The parsed form of an expression: what the parser builds and the evaluator runs. Private to Expr.
#pragma once

#include "core/expr.h"
#include "core/result.h"
#include "core/value.h"

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::detail {

enum class ExprOp : std::uint8_t {
  literal,
  name,
  or_else,
  and_also,
  negate_truth,
  equal,
  unequal,
  less,
  less_equal,
  greater,
  greater_equal,
  member,  // a in [..]
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  minus,
  choose,  // kids: condition, then, else
  min,
  max,
  abs,
  ceil_div,
  align_up,
  align_down,
  floor,
  ceil,
  log2,
  sqrt,
  to_int,
};

// A value while evaluating; text is borrowed.
struct ExprCell {
  enum class Kind : std::uint8_t { boolean, integer, real, text };
  Kind kind = Kind::integer;
  union {
    std::int64_t integer = 0;  // boolean too: 0 or 1
    double real;
    const std::string* text;
  };
};

struct ExprNode {
  ExprOp op = ExprOp::literal;
  std::uint32_t column = 0;                // in the text, from 1
  std::array<std::uint32_t, 3> kids{};     // nodes; min, max, member: kids[0] and the list
  std::uint32_t list = 0, list_count = 0;  // further kids, in ExprTree::lists
  std::uint32_t slot = 0;                  // name: index into names
  ExprCell literal;
};

struct ExprTree {
  std::string text;
  std::vector<std::string> names;
  std::vector<ExprNode> nodes;
  std::vector<std::uint32_t> lists;
  std::deque<std::string> texts;  // text literals; their addresses stay
  std::uint32_t root = 0;

  ExprTree() = default;
  ExprTree(const ExprTree&) = delete;
  ExprTree& operator=(const ExprTree&) = delete;
};

// Fills an empty tree.
Result<void> parse_expr(std::string_view text, ExprTree& tree);

struct ExprFault {
  enum class Code : std::uint8_t {
    none,
    unassigned,  // needs a slot that is null
    overflow,
    zero_division,
    mixed_types,
    not_a_number,
    not_a_truth,
    not_whole,
    outside_domain,
  };
  Code code = Code::none;
  std::uint32_t node = 0;
};

// False: `fault` says why.
bool run_expr(const ExprTree& tree,
              std::uint32_t node,
              const Value* const* slots,
              ExprCell& out,
              ExprFault& fault);

// -1: can't be judged with the slots that are there; 0: no (or fails); 1: yes. `ranges` (may be
// null) has the bounds of slots that are null.
int judge_expr(const ExprTree& tree,
               std::uint32_t node,
               const Value* const* slots,
               const ExprRange* ranges);

// Bounds of a numeric node over partly known slots; false: no bounds. Never too narrow.
bool bound_expr(const ExprTree& tree,
                std::uint32_t node,
                const Value* const* slots,
                const ExprRange* ranges,
                ExprRange& out);

std::string explain_fault(const ExprTree& tree, const ExprFault& fault);

}  // namespace coppice::detail
