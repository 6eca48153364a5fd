// Random numbers with an address: the same (seed, purpose, subject) gives the same numbers
// anywhere.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace coppice {

// xoshiro256** (Blackman, Vigna 2018), seeded through splitmix64. A value; not thread-safe.
class Rng {
 public:
  explicit Rng(std::uint64_t seed);
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound), without bias; bound > 0
  double uniform();                          // [0, 1), 53 bits
  double normal();                           // standard normal, by the pinned quantile function

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[below(i)]);
    }
  }

 private:
  std::uint64_t state_[4];
};

// The stream at an address. `purpose` is a fixed word ("axis_step"); `subject` an id or a counter.
Rng stream(std::uint64_t seed, std::string_view purpose, std::uint64_t subject);

// splitmix64's finaliser: a good 64-bit mix.
std::uint64_t mix64(std::uint64_t x) noexcept;
// FNV-1a over the bytes, then mix64; stable across machines.
std::uint64_t hash_text(std::string_view text) noexcept;

}  // namespace coppice
