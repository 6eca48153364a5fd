// Shared pieces of the JSON codecs: reading members into fields, and enums by the names of their
// enumerators.
#pragma once

#include "core/digest.h"
#include "core/expr.h"
#include "core/ids.h"
#include "core/json.h"
#include "core/units.h"
#include "core/value.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

Json to_json(const ValueMap& values);
Json to_json(const Expr& expression);  // its text

// A named constant in each codec's table; tables are in the order of the enumerators.
template <class Enum, std::size_t N>
Result<Enum> enum_named(std::string_view what,
                        const std::string_view (&names)[N],
                        std::string_view text) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) {
      return static_cast<Enum>(i);
    }
  }
  std::string all;
  for (const std::string_view name : names) {
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  return Error{
      ErrorCode::config,
      std::string(what) + ": expected one of " + all + ", found \"" + std::string(text) + "\""};
}

// Reads of single values; each error names the place.
Result<void> read(const JsonReader& json, std::string& out);
Result<void> read(const JsonReader& json, bool& out);
Result<void> read(const JsonReader& json, int& out);
Result<void> read(const JsonReader& json, std::int64_t& out);
Result<void> read(const JsonReader& json, std::uint64_t& out);
Result<void> read(const JsonReader& json, double& out);
Result<void> read(const JsonReader& json, Nanoseconds& out);  // whole nanoseconds
Result<void> read(const JsonReader& json, Digest& out);       // 64 hexadecimal characters
Result<void> read(const JsonReader& json, Expr& out);         // a number or an expression's text
Result<void> read(const JsonReader& json, ValueMap& out);
Result<void> read(const JsonReader& json, Json& out);
template <class Tag>
Result<void> read(const JsonReader& json, Id<Tag>& out) {
  return read(json, out.value);
}
template <class T>
Result<void> read(const JsonReader& json, std::optional<T>& out) {
  T value{};
  COPPICE_TRY_VOID(read(json, value));
  out = std::move(value);
  return {};
}
template <class T>
Result<void> read(const JsonReader& json, std::vector<T>& out) {
  COPPICE_TRY(const std::vector<JsonReader> items, json.items());
  out.clear();
  for (const JsonReader& item : items) {
    T value{};
    COPPICE_TRY_VOID(read(item, value));
    out.push_back(std::move(value));
  }
  return {};
}
template <class T>
Result<void> read(const JsonReader& json, std::map<std::string, T, std::less<>>& out) {
  COPPICE_TRY(const auto members, json.members());
  out.clear();
  for (const auto& [key, member] : members) {
    T value{};
    COPPICE_TRY_VOID(read(member, value));
    out.insert_or_assign(key, std::move(value));
  }
  return {};
}

// Fills fields from an object's members and remembers the first error:
//   Fields fields(json);
//   fields.need("gate", verdict.gate).maybe("message", verdict.message);
//   return fields.done(std::move(verdict));
class Fields {
 public:
  // Also refuses any key that is not listed.
  Fields(const JsonReader& json, std::initializer_list<std::string_view> allowed);

  template <class T>
  Fields& need(std::string_view key, T& out) {
    if (!error_) {
      auto member = json_.at(key);
      keep(member.ok() ? read(*member, out) : Result<void>(member.error()));
    }
    return *this;
  }
  // Leaves the field alone when the key is missing or null.
  template <class T>
  Fields& maybe(std::string_view key, T& out) {
    if (!error_) {
      if (auto member = json_.find(key)) {
        keep(read(*member, out));
      }
    }
    return *this;
  }
  // An enum by its text, through the function that parses it.
  template <class Enum>
  Fields& need_enum(std::string_view key, Enum& out, Result<Enum> (*parse)(std::string_view)) {
    std::string text;
    need(key, text);
    if (!error_) {
      auto value = parse(text);
      if (value.ok()) {
        out = *value;
      } else {
        keep(json_.at(key)->complain(value.error().message));
      }
    }
    return *this;
  }
  template <class T>
  Result<T> done(T value) {
    if (error_) {
      return *error_;
    }
    return value;
  }

 private:
  void keep(Result<void> result);
  JsonReader json_;
  std::optional<Error> error_;
};

// Members that are there only when they say something, so that equal values have one spelling.
inline void set_if(Json& json, std::string_view key, bool present, Json value) {
  if (present) {
    json.set(key, std::move(value));
  }
}

}  // namespace coppice
