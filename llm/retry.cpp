// Back-off with seeded jitter, and the two forms of Retry-After.
#include "llm/retry.h"

#include "core/random.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <vector>

namespace coppice::llm {
namespace {

constexpr std::int64_t kMostSeconds = 1'000'000'000;

std::optional<int> whole_number(std::string_view text) {
  int value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end.ec != std::errc() || end.ptr != text.data() + text.size() || value < 0) {
    return std::nullopt;
  }
  return value;
}

std::optional<int> month_number(std::string_view name) {
  constexpr std::array<std::string_view, 12> kMonths = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto found = std::ranges::find(kMonths, name);
  return found == kMonths.end() ? std::nullopt
                                : std::optional<int>(static_cast<int>(found - kMonths.begin()) + 1);
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" -,"), text.size());
    if (end > 0) {
      out.push_back(text.substr(0, end));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::optional<std::int64_t> seconds_of_day(std::string_view text) {
  if (text.size() != 8 || text[2] != ':' || text[5] != ':') {
    return std::nullopt;
  }
  const auto hour = whole_number(text.substr(0, 2));
  const auto minute = whole_number(text.substr(3, 2));
  const auto second = whole_number(text.substr(6, 2));
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  return std::int64_t{*hour} * 3600 + *minute * 60 + *second;
}

}  // namespace

std::optional<Nanoseconds> retry_delay(const RetryPolicy& policy,
                                       const Failure& failure,
                                       int attempt,
                                       std::uint64_t subject) {
  const bool paid = failure.kind == FailureKind::timeout || failure.kind == FailureKind::bad_reply;
  const int attempts = paid ? std::min(policy.attempts, 2) : policy.attempts;
  if (!worth_retrying(failure.kind) || attempt >= attempts) {
    return std::nullopt;
  }
  if (failure.retry_after && *failure.retry_after > policy.patience) {
    return std::nullopt;
  }
  std::int64_t wait = std::min(policy.first, policy.most).count();
  for (int i = 1; i < attempt && wait < policy.most.count(); ++i) {
    wait = std::min(wait * 2, policy.most.count());
  }
  Rng rng = stream(policy.seed, "llm_retry", mix64(subject) + static_cast<std::uint64_t>(attempt));
  const auto half = static_cast<std::uint64_t>(wait / 2);
  const Nanoseconds ours(wait - static_cast<std::int64_t>(rng.below(half + 1)));
  return std::max(ours, failure.retry_after.value_or(Nanoseconds(0)));
}

std::optional<std::int64_t> http_date(std::string_view text) {
  // "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"
  const std::vector<std::string_view> words = words_of(text);
  std::array<std::string_view, 4> parts;  // day, month, year, time
  if (words.size() == 6 && words[5] == "GMT") {
    parts = {words[1], words[2], words[3], words[4]};
  } else if (words.size() == 5) {
    parts = {words[2], words[1], words[4], words[3]};
  } else {
    return std::nullopt;
  }
  const auto day = whole_number(parts[0]);
  const auto month = month_number(parts[1]);
  auto year = whole_number(parts[2]);
  const auto time = seconds_of_day(parts[3]);
  if (!day || !month || !year || !time) {
    return std::nullopt;
  }
  if (parts[2].size() == 2) {
    *year += *year < 70 ? 2000 : 1900;
  }
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *year < 1970 || *year > 9999) {
    return std::nullopt;
  }
  return std::int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86400 + *time;
}

std::optional<Nanoseconds> retry_after(std::string_view text, std::int64_t now) {
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) {
    std::int64_t seconds = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), seconds);
    return std::chrono::seconds(end.ec == std::errc() ? std::min(seconds, kMostSeconds)
                                                      : kMostSeconds);
  }
  const auto date = http_date(text);
  if (!date) {
    return std::nullopt;
  }
  return std::chrono::seconds(std::clamp<std::int64_t>(*date - now, 0, kMostSeconds));
}

}  // namespace coppice::llm
