// A test that cannot run here says so, and CTest counts it as skipped instead of passed.
#pragma once

#include <cstdio>

// Inside a TEST_CASE: COPPICE_SKIP("no GPU here"); ends the case.
#define COPPICE_SKIP(reason)              \
  do {                                    \
    std::printf("skipped: %s\n", reason); \
    std::fflush(stdout);                  \
    return;                               \
  } while (false)
