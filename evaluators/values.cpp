// Drawing values: one hashed 64-bit word an element, no state, so that any range can be drawn
// alone.

#include "evaluators/values.h"

#include "core/check.h"
#include "core/random.h"
#include "evaluators/dtype_bits.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

namespace coppice::evaluators {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

inline std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

template <Fill::Kind kKind>
inline float draw(const FillKey& key, std::uint64_t i) {
  if constexpr (kKind == Fill::Kind::constant) {
    return key.scale + key.offset;
  } else {
    const std::uint64_t x = mix(key.key + i * kGolden);
    if constexpr (kKind == Fill::Kind::normal) {
      const auto u = static_cast<std::int32_t>((x & 0xffff) + ((x >> 16) & 0xffff) +
                                               ((x >> 32) & 0xffff) + (x >> 48));
      const float z = static_cast<float>(u - 131070) * key.scale;
      return z + key.offset;
    } else {
      const float a = static_cast<float>(static_cast<std::int32_t>(x >> 40)) * 0x1p-23F - 1.0F;
      const float b = a * key.scale;
      return b + key.offset;
    }
  }
}

inline std::uint16_t to_bf16(float x) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, 4);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

template <Fill::Kind kKind>
void fill_kind(
    const FillKey& key, DType type, std::uint64_t first, std::uint64_t count, void* out) {
  if (type == DType::f32) {
    auto* to = static_cast<float*>(out);
    for (std::uint64_t i = 0; i < count; ++i) {
      to[i] = draw<kKind>(key, first + i);
    }
  } else if (type == DType::bf16) {
    auto* to = static_cast<std::uint16_t*>(out);
    for (std::uint64_t i = 0; i < count; ++i) {
      to[i] = to_bf16(draw<kKind>(key, first + i));
    }
  } else {
    for (std::uint64_t i = 0; i < count; ++i) {
      store_rounded(type, out, i, static_cast<double>(draw<kKind>(key, first + i)));
    }
  }
}

}  // namespace

FillKey fill_key(const Fill& fill, std::string_view tensor, std::uint64_t seed) {
  FillKey key;
  key.key = mix64(seed ^ hash_text(tensor));
  key.scale = fill.kind == Fill::Kind::normal ? static_cast<float>(fill.scale / 37837.227)
                                              : static_cast<float>(fill.scale);
  key.offset = static_cast<float>(fill.offset);
  return key;
}

float value_at(Fill::Kind kind, const FillKey& key, std::uint64_t i) {
  switch (kind) {
    case Fill::Kind::normal:
      return draw<Fill::Kind::normal>(key, i);
    case Fill::Kind::uniform:
      return draw<Fill::Kind::uniform>(key, i);
    case Fill::Kind::constant:
      return draw<Fill::Kind::constant>(key, i);
  }
  COPPICE_UNREACHABLE();
}

void fill_range(const Fill& fill,
                const FillKey& key,
                DType type,
                std::uint64_t first,
                std::uint64_t count,
                void* out) {
  switch (fill.kind) {
    case Fill::Kind::normal:
      return fill_kind<Fill::Kind::normal>(key, type, first, count, out);
    case Fill::Kind::uniform:
      return fill_kind<Fill::Kind::uniform>(key, type, first, count, out);
    case Fill::Kind::constant:
      return fill_kind<Fill::Kind::constant>(key, type, first, count, out);
  }
  COPPICE_UNREACHABLE();
}

void fill_tensor(const Fill& fill, std::uint64_t seed, const FillTarget& target, int threads) {
  const FillKey key = fill_key(fill, target.tensor, seed);
  constexpr std::uint64_t kWorthAThread = 1 << 17;
  const std::uint64_t parts = std::clamp<std::uint64_t>(
      target.elements / kWorthAThread, 1, static_cast<std::uint64_t>(std::max(threads, 1)));
  const std::uint64_t chunk = (target.elements + parts - 1) / parts;
  const auto part = [&](std::uint64_t p) {
    const std::uint64_t first = std::min(p * chunk, target.elements);
    const std::uint64_t count = std::min(chunk, target.elements - first);
    fill_range(fill,
               key,
               target.type,
               first,
               count,
               static_cast<char*>(target.data) + first * size_of(target.type));
  };
  std::vector<std::jthread> others;
  for (std::uint64_t p = 1; p < parts; ++p) {
    others.emplace_back(part, p);
  }
  part(0);
}

}  // namespace coppice::evaluators
