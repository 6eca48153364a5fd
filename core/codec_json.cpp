// Reads of single JSON values into typed fields.
#include "core/codec.h"

namespace coppice {
namespace {

template <class T>
Result<void> take(Result<T> value, T& out) {
  if (!value.ok()) {
    return value.error();
  }
  out = std::move(value).value();
  return {};
}

}  // namespace

Json to_json(const ValueMap& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) {
    json.set(name, Json(value));
  }
  return json;
}

Json to_json(const Expr& expression) {
  return Json(expression.text());
}

Result<void> read(const JsonReader& json, std::string& out) {
  return take(json.text(), out);
}
Result<void> read(const JsonReader& json, bool& out) {
  return take(json.boolean(), out);
}
Result<void> read(const JsonReader& json, std::int64_t& out) {
  return take(json.integer(), out);
}
Result<void> read(const JsonReader& json, std::uint64_t& out) {
  return take(json.unsigned_integer(), out);
}
Result<void> read(const JsonReader& json, double& out) {
  return take(json.real(), out);
}

Result<void> read(const JsonReader& json, int& out) {
  COPPICE_TRY(const std::int64_t value, json.integer_in(INT32_MIN, INT32_MAX));
  out = static_cast<int>(value);
  return {};
}

Result<void> read(const JsonReader& json, Nanoseconds& out) {
  COPPICE_TRY(const std::int64_t count, json.integer());
  out = Nanoseconds(count);
  return {};
}

Result<void> read(const JsonReader& json, Digest& out) {
  COPPICE_TRY(const std::string text, json.text());
  auto digest = Digest::from_hex(text);
  if (!digest.ok()) {
    return json.error("a digest of 64 hexadecimal characters");
  }
  out = *digest;
  return {};
}

Result<void> read(const JsonReader& json, Expr& out) {
  if (!json.is_string() && !json.is_number()) {
    return json.error("an expression (a number or text)");
  }
  COPPICE_TRY(const Value value, json.value());
  auto parsed = Expr::parse(to_text(value));
  if (!parsed.ok()) {
    return json.complain(parsed.error().message);
  }
  out = std::move(parsed).value();
  return {};
}

Result<void> read(const JsonReader& json, ValueMap& out) {
  COPPICE_TRY(const auto members, json.members());
  out.clear();
  for (const auto& [key, member] : members) {
    COPPICE_TRY(Value value, member.value());
    out.insert_or_assign(key, std::move(value));
  }
  return {};
}

Result<void> read(const JsonReader& json, Json& out) {
  out = json.copy();
  return {};
}

Fields::Fields(const JsonReader& json, std::initializer_list<std::string_view> allowed)
    : json_(json) {
  keep(json_.only_keys(allowed));
}

void Fields::keep(Result<void> result) {
  if (!result.ok() && !error_) {
    error_ = result.error();
  }
}

}  // namespace coppice
