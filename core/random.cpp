// Random streams: splitmix64 for seeding and mixing, xoshiro256** for the numbers.
#include "core/random.h"

#include "core/check.h"
#include "core/pinned_math.h"

namespace coppice {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;

std::uint64_t rotate_left(std::uint64_t x, int by) {
  return (x << by) | (x >> (64 - by));
}

struct Product {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};

// The 128-bit product of two 64-bit numbers, in standard C++.
Product multiply(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t mask = 0xffffffffU;
  const std::uint64_t low_low = (a & mask) * (b & mask);
  const std::uint64_t high_low = (a >> 32) * (b & mask);
  const std::uint64_t low_high = (a & mask) * (b >> 32);
  const std::uint64_t high_high = (a >> 32) * (b >> 32);
  const std::uint64_t middle = (low_low >> 32) + (high_low & mask) + (low_high & mask);
  return {high_high + (high_low >> 32) + (low_high >> 32) + (middle >> 32),
          (middle << 32) | (low_low & mask)};
}

}  // namespace

std::uint64_t mix64(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

std::uint64_t hash_text(std::string_view text) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return mix64(hash);
}

Rng::Rng(std::uint64_t seed) : state_{} {
  for (std::uint64_t& word : state_) {
    seed += kGolden;
    word = mix64(seed);
  }
}

std::uint64_t Rng::next() {
  const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

// Lemire 2019, "Fast random integer generation in an interval": multiply, and reject the short
// slice that would favour small numbers.
std::uint64_t Rng::below(std::uint64_t bound) {
  COPPICE_CHECK(bound > 0);
  Product product = multiply(next(), bound);
  if (product.low < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (product.low < threshold) {
      product = multiply(next(), bound);
    }
  }
  return product.high;
}

double Rng::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

double Rng::normal() {
  // The middle of one of 2^53 equal cells: never 0 or 1.
  return pinned::normal_quantile((static_cast<double>(next() >> 12) + 0.5) * 0x1.0p-52);
}

Rng stream(std::uint64_t seed, std::string_view purpose, std::uint64_t subject) {
  std::uint64_t address = mix64(seed + kGolden);
  address = mix64(address ^ hash_text(purpose));
  return Rng(mix64(address + kGolden * (subject + 1)));
}

}  // namespace coppice
