// Always-on invariants: a failed check means that we are wrong, never that the user or a candidate
// is.
#pragma once

namespace coppice::detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;
}  // namespace coppice::detail

#define COPPICE_CHECK(expression)                                       \
  do {                                                                  \
    if (!(expression)) {                                                \
      ::coppice::detail::check_failed(#expression, __FILE__, __LINE__); \
    }                                                                   \
  } while (false)

// After a switch in which each case returns.
#define COPPICE_UNREACHABLE() ::coppice::detail::check_failed("unreachable", __FILE__, __LINE__)
