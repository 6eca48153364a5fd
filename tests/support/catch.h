// The one include of the test framework; Catch2 version 2 (Debian 12) or 3 (later).
#pragma once

#if __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
#else
#include <catch2/catch_all.hpp>

// The tests speak version 2; these are the words that version 3 spells differently.
namespace Catch {
inline auto Contains(const std::string& text,
                     CaseSensitive sensitivity = CaseSensitive::Yes) {  // NOLINT
  return Matchers::ContainsSubstring(text, sensitivity);
}
using Matchers::EndsWith;
using Matchers::Equals;
using Matchers::Matches;
using Matchers::StartsWith;
using Matchers::WithinAbs;
using Matchers::WithinRel;
}  // namespace Catch
using Catch::Approx;
#endif
