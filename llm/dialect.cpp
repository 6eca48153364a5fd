// What the dialects share: lenient counters, and reading errors as servers word them.
#include "llm/dialect.h"

#include <fmt/format.h>

#include <array>

namespace coppice::llm {
namespace {

struct ErrorWord {
  std::string_view word;
  FailureKind kind;
};

// Types and codes of error objects; they say more than the status.
constexpr std::array kErrorWords = {
    ErrorWord{"authentication_error", FailureKind::auth},
    ErrorWord{"permission_error", FailureKind::auth},
    ErrorWord{"invalid_api_key", FailureKind::auth},
    ErrorWord{"insufficient_quota", FailureKind::auth},
    ErrorWord{"billing_error", FailureKind::auth},
    ErrorWord{"rate_limit_error", FailureKind::rate_limited},
    ErrorWord{"rate_limit_exceeded", FailureKind::rate_limited},
    ErrorWord{"overloaded_error", FailureKind::overloaded},
    ErrorWord{"api_error", FailureKind::overloaded},
    ErrorWord{"server_error", FailureKind::overloaded},
    ErrorWord{"timeout_error", FailureKind::timeout},
    ErrorWord{"content_filter", FailureKind::refused},
    ErrorWord{"content_policy_violation", FailureKind::refused},
    ErrorWord{"invalid_request_error", FailureKind::bad_request},
    ErrorWord{"not_found_error", FailureKind::bad_request},
    ErrorWord{"request_too_large", FailureKind::bad_request},
    ErrorWord{"context_length_exceeded", FailureKind::bad_request},
};

FailureKind kind_of_status(int status) {
  switch (status) {
    case 401:
    case 402:
    case 403:
      return FailureKind::auth;
    case 408:
    case 504:
      return FailureKind::timeout;
    case 429:
      return FailureKind::rate_limited;
    case 409:
    case 425:
      return FailureKind::overloaded;
    default:
      return status >= 300 && status < 500 ? FailureKind::bad_request : FailureKind::overloaded;
  }
}

std::optional<FailureKind> kind_of_word(std::string_view word) {
  for (const ErrorWord& known : kErrorWords) {
    if (known.word == word) {
      return known.kind;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string excerpt(std::string_view text) {
  constexpr std::size_t kMost = 300;
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool blank = byte <= 0x20;
    if (blank && (out.empty() || out.back() == ' ')) {
      continue;
    }
    out += blank ? ' ' : byte >= 0x7f ? '?' : c;
    if (out.size() >= kMost) {
      return out + "...";
    }
  }
  return out;
}

Failure failure_of(int status, std::string_view body) {
  Failure out;
  out.kind = kind_of_status(status);
  std::string message;
  if (const auto parsed = Json::parse(body, "error"); parsed.ok()) {
    const JsonReader root = parsed->reader("error");
    const auto inner = root.is_object() ? root.find("error") : std::nullopt;
    const JsonReader object = inner && inner->is_object() ? *inner : root;
    if (inner && inner->is_string()) {
      message = text_at(root, "error");
    }
    if (object.is_object()) {
      message = message.empty() ? text_at(object, "message") : message;
      // The code is the finer word; for a 4xx the general type says no more than the status does.
      for (const char* key : {"type", "code"}) {
        const auto kind = kind_of_word(text_at(object, key));
        const bool general = kind == FailureKind::bad_request && status != 0;
        out.kind = kind && !general ? *kind : out.kind;
      }
    }
  }
  message = excerpt(message.empty() ? body : std::string_view(message));
  out.message = status != 0 ? fmt::format("HTTP {}: {}", status, message) : message;
  return out;
}

std::int64_t count_at(const JsonReader& json, std::string_view key) {
  if (!json.is_object()) {
    return 0;
  }
  const auto member = json.find(key);
  if (!member) {
    return 0;
  }
  constexpr std::int64_t kMost = 1'000'000'000'000;
  const auto value = member->integer_in(0, kMost);
  return value.ok() ? *value : 0;
}

std::string text_at(const JsonReader& json, std::string_view key) {
  const auto member = json.is_object() ? json.find(key) : std::nullopt;
  return member && member->is_string() ? member->text().value() : std::string();
}

void add_extra(const Call& call, Json& body) {
  if (call.extra.empty()) {
    return;
  }
  const auto extra = Json::parse(call.extra, "extra");
  if (!extra.ok() || !extra->reader("extra").is_object()) {
    return;  // a profile's loader has refused it before
  }
  const JsonReader reader = extra->reader("extra");
  const auto members = reader.members().value();
  for (const auto& [key, value] : members) {
    if (key != "model" && key != "messages" && key != "system" && key != "stream") {
      body.set(key, value.copy());
    }
  }
}

}  // namespace coppice::llm
