// How much longer than elsewhere a deadline inside a test must be under a sanitizer.
#pragma once

namespace coppice::tests {

#if defined(__SANITIZE_THREAD__)
inline constexpr int kPatience = 15;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr int kPatience = 10;
#else
inline constexpr int kPatience = 1;
#endif

}  // namespace coppice::tests
