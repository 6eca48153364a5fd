// Names in expressions are checked when the operation is read, not when a run first meets them.
#include "experiments/scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace coppice::experiments {
namespace {

// Insertions, deletions, changes and swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      const std::size_t change = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

bool word_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
}
bool word_part(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

}  // namespace

std::string nearest(std::string_view word, const std::set<std::string, std::less<>>& known) {
  std::string best;
  std::size_t best_distance = word.size() / 2 + 1;
  for (const std::string& name : known) {
    const std::size_t distance = edit_distance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

bool is_identifier(std::string_view text) {
  return !text.empty() && word_start(text.front()) && std::ranges::all_of(text, word_part);
}

std::optional<std::string> read_identifier(const JsonReader& json, Findings& findings) {
  std::optional<std::string> text = findings.take(json.text());
  if (text.has_value() && !is_identifier(*text)) {
    findings.add(json.error("a name made of letters, digits and underscores"));
    return std::nullopt;
  }
  return text;
}

std::vector<std::string> read_identifiers(const std::optional<JsonReader>& json,
                                          Findings& findings) {
  std::vector<std::string> out;
  if (!json.has_value()) {
    return out;
  }
  for (const JsonReader& item : findings.take_or(json->items(), {})) {
    const std::optional<std::string> name = read_identifier(item, findings);
    if (!name.has_value()) {
      continue;
    }
    if (std::ranges::find(out, *name) != out.end()) {
      findings.add(item.complain(fmt::format("'{}' is declared twice", *name)));
      continue;
    }
    out.push_back(*name);
  }
  return out;
}

Scope& Scope::allow(std::string_view name) {
  names_.emplace(name);
  return *this;
}
Scope& Scope::allow(const std::vector<std::string>& names) {
  names_.insert(names.begin(), names.end());
  return *this;
}
Scope& Scope::allow(const ValueMap& values) {
  for (const auto& [name, value] : values) {
    names_.insert(name);
  }
  return *this;
}
Scope& Scope::allow_target_facts() {
  target_facts_ = true;
  return *this;
}
Scope Scope::named(std::string what) const {
  Scope out = *this;
  out.what_ = std::move(what);
  return out;
}

bool Scope::knows(std::string_view name) const {
  return names_.find(name) != names_.end() || (target_facts_ && name.starts_with("target."));
}

void Scope::check(const Expr& expression, const std::string& place, Findings& findings) const {
  for (const std::string& name : expression.names()) {
    if (knows(name)) {
      continue;
    }
    const std::string close = nearest(name, names_);
    findings.add(place,
                 fmt::format("unknown name '{}' in '{}', expected {}{}",
                             name,
                             expression.text(),
                             what_,
                             close.empty() ? "" : fmt::format("; nearest is '{}'", close)));
  }
}

std::optional<Expr> Scope::read(const JsonReader& json, Findings& findings) const {
  if (json.is_number()) {
    const std::optional<std::int64_t> number = findings.take(json.integer());
    return number.has_value() ? std::optional(Expr::constant(*number)) : std::nullopt;
  }
  const std::optional<std::string> text = findings.take(json.text());
  if (!text.has_value()) {
    return std::nullopt;
  }
  Result<Expr> expression = Expr::parse(*text);
  if (!expression.ok()) {
    findings.add(json.complain(expression.error().message));
    return std::nullopt;
  }
  check(*expression, json.place(), findings);
  return std::move(expression).value();
}

std::vector<Expr> Scope::read_list(const std::optional<JsonReader>& json,
                                   Findings& findings) const {
  std::vector<Expr> out;
  if (!json.has_value()) {
    return out;
  }
  for (const JsonReader& item : findings.take_or(json->items(), {})) {
    if (std::optional<Expr> expression = read(item, findings); expression.has_value()) {
      out.push_back(std::move(*expression));
    }
  }
  return out;
}

}  // namespace coppice::experiments
