// The judge's own device code (values, comparison, guards, digests) as CUDA source, and the records
// that it shares with the host.
#pragma once

#include <cstdint>

namespace coppice::evaluators::cuda {

// What one output of one slot came to. Zeroed by the host, except `first_bad` (all ones).
struct DeviceComparison {
  double diff2 = 0.0, ref2 = 0.0;  // over finite elements
  double worst_row = 0.0;          // largest row nRMSE
  double worst_ratio = 0.0;        // largest |difference| / limit
  std::uint64_t finite = 0, non_finite = 0, unwritten = 0, beyond = 0;
  std::uint64_t first_bad = ~0ull;  // flat index of the first unwritten or non-finite element
};

struct DeviceTolerance {
  double relative = 0.0, scaled = 0.0;
  double absolute = -1.0;  // negative: not given
};

// A range that must hold nothing but the poison byte.
struct GuardRange {
  std::uint64_t address = 0, bytes = 0;
};

// Entries: coppice_draw, coppice_sums, coppice_compare, coppice_guards, coppice_digest,
// coppice_canary, coppice_stream (a plain read for the practical floor).
extern const char* const kTrustedSource;

}  // namespace coppice::evaluators::cuda
