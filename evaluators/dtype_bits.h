// Element types as bits: exact widening to double and rounding to nearest even, for every DType.
#pragma once

#include "core/op.h"

#include <cstdint>

namespace coppice::evaluators {

// Element i of an array of `type`, exactly.
double widen(DType type, const void* data, std::uint64_t i);

// Stores x rounded once to `type` (nearest, ties to even). e4m3 (the "fn" kind) and the integers
// saturate; the other floating types overflow to infinity.
void store_rounded(DType type, void* data, std::uint64_t i, double x);

bool is_floating(DType type);

}  // namespace coppice::evaluators
