// Reads the price table, and finds a model in it under the names that providers give it.
#include "llm/prices.h"

#include "core/check.h"
#include "core/codec.h"

#include <algorithm>
#include <cmath>

namespace coppice::llm {

std::string_view shipped_prices();  // llm/prices.json, embedded by llm/CMakeLists.txt

namespace {

constexpr double kMostDollars = 1e9;
constexpr double kMostPrice = 1e5;  // dollars per million tokens

std::string_view without_maker(std::string_view model) {
  const std::size_t slash = model.rfind('/');
  return slash == std::string_view::npos ? model : model.substr(slash + 1);
}

bool is_date_suffix(std::string_view text) {
  return text == "-latest" || (text.size() >= 5 && text.front() == '-' &&
                               text.find_first_not_of("0123456789-") == std::string_view::npos);
}

Result<void> check_price(const JsonReader& at, double value) {
  if (!(value >= 0.0) || value > kMostPrice) {
    return at.error("dollars per million tokens, from 0 to 100000");
  }
  return {};
}

}  // namespace

Money Money::of_dollars(double dollars) {
  return {static_cast<std::int64_t>(std::round(std::clamp(dollars, 0.0, kMostDollars) * 1e9))};
}

Money cost_of(const Price& price, const Usage& usage) {
  // A dollar per million tokens is a thousand billionths per token.
  const auto part = [](double dollars, std::int64_t tokens) {
    const double nano = dollars * 1000.0 * static_cast<double>(std::max<std::int64_t>(tokens, 0));
    return static_cast<std::int64_t>(std::round(std::min(nano, kMostDollars * 1e9 / 4)));
  };
  const std::int64_t fresh = usage.in - usage.cached - usage.written;
  return {part(price.in, fresh) + part(price.cached, usage.cached) +
          part(price.written, usage.written) + part(price.out, usage.out)};
}

Result<PriceTable::Row> PriceTable::read_row(const JsonReader& item) {
  Row row;
  Fields parts(item, {"model", "in", "out", "cached", "written", "source", "date"});
  parts.need("model", row.model).need("in", row.price.in).need("out", row.price.out);
  parts.need("source", row.source).need("date", row.date);
  row.price.cached = row.price.in;
  row.price.written = row.price.in;
  parts.maybe("cached", row.price.cached).maybe("written", row.price.written);
  COPPICE_TRY(row, parts.done(std::move(row)));
  for (const double value : {row.price.in, row.price.out, row.price.cached, row.price.written}) {
    COPPICE_TRY_VOID(check_price(item, value));
  }
  if (row.date.size() != 10 || row.date[4] != '-' || row.date[7] != '-') {
    return item.complain("expected a date as 2026-01-31, found " + row.date);
  }
  return row;
}

Result<PriceTable> PriceTable::parse(std::string_view text, std::string_view name) {
  COPPICE_TRY(const Json json, Json::parse(text, name));
  const JsonReader root = json.reader(name);
  PriceTable out;
  int schema = 0;
  std::string note;
  std::vector<Json> rows;
  Fields fields(root, {"schema", "note", "models"});
  fields.need("schema", schema).maybe("note", note).need("models", rows);
  COPPICE_TRY(schema, fields.done(schema));
  if (schema != 1) {
    return root.complain("expected schema 1, found " + std::to_string(schema));
  }
  COPPICE_TRY(const JsonReader models, root.at("models"));
  COPPICE_TRY(const std::vector<JsonReader> items, models.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(Row row, read_row(item));
    if (std::ranges::any_of(out.rows_, [&](const Row& r) { return r.model == row.model; })) {
      return item.complain("the model " + row.model + " stands there twice");
    }
    out.rows_.push_back(std::move(row));
  }
  return out;
}

const PriceTable& PriceTable::shipped() {
  static const PriceTable table = [] {
    auto parsed = parse(shipped_prices(), "llm/prices.json");
    COPPICE_CHECK(parsed.ok());  // a file of ours; tests read it
    return std::move(parsed).value();
  }();
  return table;
}

std::optional<Price> PriceTable::find(std::string_view model) const {
  const std::string_view name = without_maker(model);
  for (const Row& row : rows_) {
    const bool dated = name.starts_with(row.model) && is_date_suffix(name.substr(row.model.size()));
    if (name == row.model || dated) {
      return row.price;
    }
  }
  return std::nullopt;
}

}  // namespace coppice::llm
