// Scope: which names an expression of an operation may use, and reading expressions against it.
#pragma once

#include "core/expr.h"
#include "core/json.h"
#include "experiments/findings.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::experiments {

class Scope {
 public:
  // `what`: for messages, "dims and constants".
  explicit Scope(std::string what) : what_(std::move(what)) {}

  Scope& allow(std::string_view name);
  Scope& allow(const std::vector<std::string>& names);
  Scope& allow(const ValueMap& values);
  Scope& allow_target_facts();          // any name that starts with "target."
  Scope named(std::string what) const;  // the same names under another description

  bool knows(std::string_view name) const;
  // Reports each unknown name with its nearest known spelling.
  void check(const Expr& expression, const std::string& place, Findings& findings) const;
  // A text with an expression, or a whole number.
  std::optional<Expr> read(const JsonReader& json, Findings& findings) const;
  std::vector<Expr> read_list(const std::optional<JsonReader>& json, Findings& findings) const;

 private:
  std::string what_;
  std::set<std::string, std::less<>> names_;
  bool target_facts_ = false;
};

// The member of `known` that is closest to `word`; empty when none is close.
std::string nearest(std::string_view word, const std::set<std::string, std::less<>>& known);

// [A-Za-z_][A-Za-z0-9_]*
bool is_identifier(std::string_view text);
// Reads a text that must be an identifier.
std::optional<std::string> read_identifier(const JsonReader& json, Findings& findings);
// The same for a list of distinct ones.
std::vector<std::string> read_identifiers(const std::optional<JsonReader>& json,
                                          Findings& findings);

}  // namespace coppice::experiments
