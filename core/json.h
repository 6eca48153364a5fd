// Json: a JSON value for building and canonical writing; JsonReader: a cursor that knows file and
// place.
#pragma once

#include "core/result.h"
#include "core/value.h"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coppice {

class JsonReader;

// A JSON value. Object members are kept sorted by name, so that dump() is canonical: equal values
// give equal bytes. Non-finite numbers are written as the strings "inf", "-inf", "nan". Deep copies
// on copy.
class Json {
 public:
  Json();                          // null
  Json(bool value);                // NOLINT(google-explicit-constructor)
  Json(int value);                 // NOLINT
  Json(std::int64_t value);        // NOLINT
  Json(std::uint64_t value);       // NOLINT
  Json(double value);              // NOLINT
  Json(const char* value);         // NOLINT
  Json(std::string_view value);    // NOLINT
  Json(const std::string& value);  // NOLINT
  explicit Json(const Value& value);
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();

  static Json object();
  static Json array();
  template <class Range, class Convert>
  static Json array_of(const Range& range, Convert convert) {
    Json out = array();
    for (const auto& item : range) {
      out.push(convert(item));
    }
    return out;
  }

  // `name` (a file path, usually) opens each later error message about this document. Refused with
  // file, line and column: torn text, duplicate keys, numbers out of range, depth over 200, invalid
  // UTF-8.
  static Result<Json> parse(std::string_view text, std::string_view name);

  Json& set(std::string_view key, Json value);  // this must be an object (or null: becomes one)
  Json& push(Json value);                       // this must be an array (or null: becomes one)

  bool is_null() const;
  bool empty() const;          // null, {} or []
  std::string dump() const;    // canonical, one line, UTF-8
  std::string pretty() const;  // two-space indentation, for people
  friend bool operator==(const Json& a, const Json& b);

  // A cursor at the root; `name` as in parse. The Json must outlive the cursor.
  JsonReader reader(std::string_view name) const;

 private:
  friend class JsonReader;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads a Json with errors of the form "<name>: /place/in/file: expected a positive number, found
// "ten"". A cheap value: copy it freely; the Json outlives it.
class JsonReader {
 public:
  bool is_null() const;
  bool is_object() const;
  bool is_array() const;
  bool is_string() const;
  bool is_number() const;
  bool is_bool() const;

  Result<std::string> text() const;
  Result<std::int64_t> integer() const;  // a whole number (3.0 is not one)
  Result<std::uint64_t> unsigned_integer() const;
  Result<std::int64_t> integer_in(std::int64_t low, std::int64_t high) const;
  Result<double> real() const;  // any number; also "inf", "-inf", "nan"
  Result<bool> boolean() const;
  Result<Value> value() const;                     // bool, integer, real or text
  Result<std::vector<std::string>> texts() const;  // array of strings

  Result<JsonReader> at(std::string_view key) const;           // error when the key is missing
  std::optional<JsonReader> find(std::string_view key) const;  // nothing when missing or null
  Result<std::vector<JsonReader>> items() const;               // this must be an array
  Result<std::vector<std::pair<std::string, JsonReader>>> members()
      const;  // object, sorted by name
  // Refuses any key that is not listed, naming it and its nearest allowed spelling.
  Result<void> only_keys(std::initializer_list<std::string_view> allowed) const;

  // Shorthands: the member's value, or the fallback when the key is missing.
  Result<std::string> text_or(std::string_view key, std::string_view fallback) const;
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t fallback) const;
  Result<double> real_or(std::string_view key, double fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;

  Json copy() const;          // the value below the cursor
  std::string place() const;  // "<name>: /budget/seconds"
  Error error(
      std::string_view expected) const;  // config error: "<place>: expected X, found <value>"
  Error complain(std::string_view message) const;  // config error: "<place>: <message>"

 private:
  friend class Json;
  struct Place;
  JsonReader(const void* node, std::shared_ptr<const Place> place);
  static JsonReader root(const void* node, std::string_view name);
  JsonReader below(const void* node, std::string step) const;
  const void* node_;
  std::shared_ptr<const Place> place_;
};

}  // namespace coppice
