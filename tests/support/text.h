// Small questions about texts that tests ask.
#pragma once

#include <string_view>

namespace coppice {

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace coppice
