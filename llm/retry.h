// Retry: when a failed call is tried again, and how long to wait before; pure arithmetic.
#pragma once

#include "llm/provider.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace coppice::llm {

struct RetryPolicy {
  int attempts = 4;                                  // in all; 1: never again
  Nanoseconds first = std::chrono::seconds(1);       // doubled with each attempt
  Nanoseconds most = std::chrono::seconds(60);       // of our own back-off
  Nanoseconds patience = std::chrono::seconds(600);  // longest Retry-After that we honour
  std::uint64_t seed = 1;
};

// How long to wait after the given attempt (counted from 1) failed; nothing: give up. Our own
// back-off has full jitter in its upper half, from stream(seed, "llm_retry", subject + attempt);
// the provider's wish is a floor under it. A timeout or a broken reply is tried again only once:
// each such attempt may have been paid for.
std::optional<Nanoseconds> retry_delay(const RetryPolicy& policy,
                                       const Failure& failure,
                                       int attempt,
                                       std::uint64_t subject);

// Retry-After: seconds, or an HTTP-date (RFC 9110, all three forms) relative to `now` (seconds
// since 1970). A date in the past is no wait. Nothing for what is neither.
std::optional<Nanoseconds> retry_after(std::string_view text, std::int64_t now);

// Seconds since 1970 of an HTTP-date.
std::optional<std::int64_t> http_date(std::string_view text);

}  // namespace coppice::llm
