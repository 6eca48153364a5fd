// What models cost: a table as data, and money as whole billionths of a dollar.
#pragma once

#include "core/json.h"
#include "llm/provider.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

// Sums do not depend on their order.
struct Money {
  std::int64_t nano = 0;  // billionths of a dollar
  friend auto operator<=>(const Money&, const Money&) = default;
  friend Money operator+(Money a, Money b) { return {a.nano + b.nano}; }
  double dollars() const { return static_cast<double>(nano) * 1e-9; }
  static Money of_dollars(double dollars);
};

// Dollars per million tokens.
struct Price {
  double in = 0.0;
  double out = 0.0;
  double cached = 0.0;   // prompt tokens read from the provider's cache
  double written = 0.0;  // prompt tokens put into it
};

Money cost_of(const Price& price, const Usage& usage);

// Immutable; the format of llm/prices.json. Each row names its source and the day it was read.
class PriceTable {
 public:
  static Result<PriceTable> parse(std::string_view text, std::string_view name);
  // llm/prices.json, which the program carries. Short on purpose: only what its maker publishes.
  static const PriceTable& shipped();

  // By the model's name, without a maker's prefix ("openai/") and a date at its end
  // ("-2025-08-07", "-20250929", "-latest"); nothing for an unknown model.
  std::optional<Price> find(std::string_view model) const;
  std::size_t size() const { return rows_.size(); }

 private:
  struct Row {
    std::string model;
    Price price;
    std::string source;
    std::string date;
  };
  static Result<Row> read_row(const JsonReader& item);
  std::vector<Row> rows_;
};

}  // namespace coppice::llm
