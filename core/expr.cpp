// Expr's face: parsing, evaluation by name or by slot, and typed answers.
#include "core/expr.h"

#include "core/expr_tree.h"

#include <algorithm>
#include <array>

namespace coppice {

struct Expr::Tree {
  detail::ExprTree tree;
};

namespace {

using detail::ExprCell;

Value to_value(const ExprCell& cell) {
  switch (cell.kind) {
    case ExprCell::Kind::boolean:
      return cell.integer != 0;
    case ExprCell::Kind::integer:
      return cell.integer;
    case ExprCell::Kind::real:
      return cell.real;
    case ExprCell::Kind::text:
      return *cell.text;
  }
  COPPICE_UNREACHABLE();
}

Result<Value> run(const detail::ExprTree& tree, const Value* const* slots) {
  ExprCell cell;
  detail::ExprFault fault;
  if (!detail::run_expr(tree, tree.root, slots, cell, fault)) {
    return Error{ErrorCode::config, explain_fault(tree, fault)};
  }
  return to_value(cell);
}

Error unexpected(const Expr& expr, std::string_view expected, const Value& found) {
  return Error{ErrorCode::config,
               "expression \"" + expr.text() + "\": expected " + std::string(expected) +
                   ", found " + to_text(found)};
}

}  // namespace

Expr::Expr() : Expr(constant(0)) {}

Expr::Expr(std::shared_ptr<const Tree> tree) : tree_(std::move(tree)) {}

Result<Expr> Expr::parse(std::string_view text) {
  auto tree = std::make_shared<Tree>();
  COPPICE_TRY_VOID(detail::parse_expr(text, tree->tree));
  return Expr(std::move(tree));
}

Expr Expr::constant(std::int64_t value) {
  auto tree = std::make_shared<Tree>();
  tree->tree.text = std::to_string(value);
  detail::ExprNode node;
  node.column = 1;
  node.literal.integer = value;
  tree->tree.nodes.push_back(node);
  return Expr(std::move(tree));
}

const std::string& Expr::text() const {
  return tree_->tree.text;
}

const std::vector<std::string>& Expr::names() const {
  return tree_->tree.names;
}

Result<Value> Expr::evaluate(const Lookup& lookup) const {
  std::vector<const Value*> slots;
  for (const std::string& name : names()) {
    slots.push_back(lookup(name));
    if (slots.back() == nullptr) {
      return Error{ErrorCode::config,
                   "expression \"" + text() + "\": unknown name \"" + name + "\""};
    }
  }
  return run(tree_->tree, slots.data());
}

Result<Value> Expr::evaluate(const ValueMap& values) const {
  return evaluate([&](std::string_view name) {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : &found->second;
  });
}

Result<Value> Expr::evaluate_slots(std::span<const Value> slots) const {
  COPPICE_CHECK(slots.size() == names().size());
  std::array<const Value*, 16> few;
  std::vector<const Value*> many;
  const Value** pointers = few.data();
  if (slots.size() > few.size()) {
    many.resize(slots.size());
    pointers = many.data();
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    pointers[i] = &slots[i];
  }
  return run(tree_->tree, pointers);
}

Result<Value> Expr::evaluate_slots(std::span<const Value* const> slots) const {
  COPPICE_CHECK(slots.size() == names().size());
  return run(tree_->tree, slots.data());
}

Expr::Truth Expr::judge(std::span<const Value* const> slots,
                        std::span<const ExprRange> ranges) const {
  COPPICE_CHECK(slots.size() == names().size());
  COPPICE_CHECK(ranges.empty() || ranges.size() == slots.size());
  const int truth = detail::judge_expr(
      tree_->tree, tree_->tree.root, slots.data(), ranges.empty() ? nullptr : ranges.data());
  return truth < 0 ? Truth::open : truth > 0 ? Truth::yes : Truth::no;
}

Result<std::int64_t> Expr::integer(const ValueMap& values) const {
  COPPICE_TRY(const Value value, evaluate(values));
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return *number;
  }
  return unexpected(*this, "a whole number", value);
}

Result<double> Expr::real(const ValueMap& values) const {
  COPPICE_TRY(const Value value, evaluate(values));
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*number);
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return *number;
  }
  return unexpected(*this, "a number", value);
}

Result<bool> Expr::truth(const ValueMap& values) const {
  COPPICE_TRY(const Value value, evaluate(values));
  if (const auto* flag = std::get_if<bool>(&value)) {
    return *flag;
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return *number != 0;
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return *number != 0.0;
  }
  return unexpected(*this, "true or false", value);
}

}  // namespace coppice
