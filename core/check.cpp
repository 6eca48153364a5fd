// Ends the program when one of our own invariants is broken, naming the place.
#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace coppice::detail {

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "coppice: internal check failed: %s (%s:%d)\n", expression, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace coppice::detail
