// The values that the judge draws: a pure function of seed, tensor name and element index, the same
// bits on every CPU and GPU.
//
// Grammar, version 1. All integers are 64-bit and wrap; all float operations are f32, each rounded
// apart (never contracted):
//   key = mix64(seed ^ hash_text(tensor name));  x = mix64(key + i * 0x9e3779b97f4a7c15)
//   normal:   u = sum of the four 16-bit fields of x;
//             z = f32(i32(u) - 131070) * f32(scale / 37837.227);  value = z + f32(offset)
//   uniform:  v = x >> 40;  a = f32(v) * 2^-23 - 1;  value = a * f32(scale) + f32(offset)
//   constant: value = f32(scale) + f32(offset)
// then rounded to the tensor's type (nearest even; see dtype_bits.h).
#pragma once

#include "core/op.h"

#include <cstdint>
#include <string_view>

namespace coppice::evaluators {

// What a device needs to know to draw the same numbers.
struct FillKey {
  std::uint64_t key = 0;
  float scale = 0.0F;  // normal: already divided by 37837.227
  float offset = 0.0F;
};
FillKey fill_key(const Fill& fill, std::string_view tensor, std::uint64_t seed);

// Element i before rounding to the tensor's type.
float value_at(Fill::Kind kind, const FillKey& key, std::uint64_t i);

// Elements [first, first + count) of the tensor into `out` (element `first` at out[0]).
void fill_range(const Fill& fill,
                const FillKey& key,
                DType type,
                std::uint64_t first,
                std::uint64_t count,
                void* out);

// A whole tensor, on up to `threads` threads.
struct FillTarget {
  std::string_view tensor;
  DType type = DType::f32;
  std::uint64_t elements = 0;
  void* data = nullptr;
};
void fill_tensor(const Fill& fill, std::uint64_t seed, const FillTarget& target, int threads);

}  // namespace coppice::evaluators
