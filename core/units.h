// Units as types.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace coppice {

using Nanoseconds = std::chrono::nanoseconds;

// Seconds as a real number, for reports and rates only; never in a decision's identity.
inline double to_seconds(Nanoseconds t) noexcept {
  return static_cast<double>(t.count()) * 1e-9;
}
inline double to_microseconds(Nanoseconds t) noexcept {
  return static_cast<double>(t.count()) * 1e-3;
}
inline double seconds_since(std::chrono::steady_clock::time_point begin) noexcept {
  return to_seconds(std::chrono::steady_clock::now() - begin);
}

struct Bytes {
  std::uint64_t count = 0;
  friend auto operator<=>(const Bytes&, const Bytes&) = default;
};

}  // namespace coppice
