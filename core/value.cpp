// Values as text.
#include "core/value.h"

#include "core/check.h"

#include <charconv>
#include <cmath>

namespace coppice {

namespace {

std::string real_text(double number) {
  if (std::isnan(number)) {
    return "nan";
  }
  if (std::isinf(number)) {
    return number > 0 ? "inf" : "-inf";
  }
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  std::string text(buffer, end);
  // A real number stays one when it is read back.
  if (text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

}  // namespace

std::string to_text(const Value& value) {
  switch (value.index()) {
    case 0:
      return std::get<bool>(value) ? "true" : "false";
    case 1:
      return std::to_string(std::get<std::int64_t>(value));
    case 2:
      return real_text(std::get<double>(value));
    case 3:
      return std::get<std::string>(value);
  }
  COPPICE_UNREACHABLE();
}

}  // namespace coppice
