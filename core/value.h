// Value: what an axis level, a dim or an expression can be.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace coppice {

// true/false, whole number, real number, or text; spelled in JSON as itself.
using Value = std::variant<bool, std::int64_t, double, std::string>;

// "true", "64", "0.5" (shortest text that reads back the same), or the text itself.
std::string to_text(const Value& value);

// Name to value; ordered, so that iteration has one order everywhere.
using ValueMap = std::map<std::string, Value, std::less<>>;
using DimMap = std::map<std::string, std::int64_t, std::less<>>;

}  // namespace coppice
