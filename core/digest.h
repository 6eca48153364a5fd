// SHA-256 digests: the identity of every text and artifact that a run keeps.
#pragma once

#include "core/result.h"

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace coppice {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};

  friend auto operator<=>(const Digest&, const Digest&) = default;
  std::string hex() const;  // 64 lower-case characters
  static Result<Digest> from_hex(std::string_view text);
};

// SHA-256 (FIPS 180-4) of the bytes.
Digest sha256(std::string_view bytes);

}  // namespace coppice
