// Names of failures, the scrubbing of every outcome, and rough token counts.
#include "llm/provider.h"

#include <algorithm>
#include <array>

namespace coppice::llm {
namespace {

constexpr std::array<std::string_view, 11> kFailureKinds = {"auth",
                                                            "rate_limited",
                                                            "overloaded",
                                                            "timeout",
                                                            "refused",
                                                            "bad_reply",
                                                            "bad_request",
                                                            "tls",
                                                            "budget",
                                                            "missing",
                                                            "cancelled"};
constexpr std::array<std::string_view, 3> kFinishes = {"stop", "length", "other"};
constexpr std::size_t kShortestSecret = 6;
constexpr std::string_view kHidden = "[key]";

}  // namespace

bool worth_retrying(FailureKind kind) {
  switch (kind) {
    case FailureKind::rate_limited:
    case FailureKind::overloaded:
    case FailureKind::timeout:
    case FailureKind::bad_reply:
      return true;
    case FailureKind::auth:
    case FailureKind::refused:
    case FailureKind::bad_request:
    case FailureKind::tls:
    case FailureKind::budget:
    case FailureKind::missing:
    case FailureKind::cancelled:
      return false;
  }
  COPPICE_UNREACHABLE();
}

std::string_view to_text(FailureKind kind) {
  return kFailureKinds[static_cast<std::size_t>(kind)];
}

Result<FailureKind> failure_kind(std::string_view text) {
  const auto found = std::ranges::find(kFailureKinds, text);
  if (found == kFailureKinds.end()) {
    return Error{ErrorCode::config, "no kind of failure is called \"" + std::string(text) + "\""};
  }
  return static_cast<FailureKind>(found - kFailureKinds.begin());
}

std::string_view to_text(Finish finish) {
  return kFinishes[static_cast<std::size_t>(finish)];
}

Result<Finish> finish(std::string_view text) {
  const auto found = std::ranges::find(kFinishes, text);
  if (found == kFinishes.end()) {
    return Error{ErrorCode::config,
                 "expected stop, length or other, found \"" + std::string(text) + "\""};
  }
  return static_cast<Finish>(found - kFinishes.begin());
}

void Secrets::add(std::string value) {
  if (value.size() < kShortestSecret) {
    return;
  }
  values_.push_back(std::move(value));
  std::ranges::sort(values_, [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
}

std::string Secrets::scrub(std::string_view text) const {
  std::string out(text);
  for (const std::string& value : values_) {
    for (std::size_t at = out.find(value); at != std::string::npos; at = out.find(value, at)) {
      out.replace(at, value.size(), kHidden);
      at += kHidden.size();
    }
  }
  return out;
}

Outcome Provider::send(const Call& call, const std::stop_token& stop) {
  Outcome outcome = attempt(call, stop);
  if (Reply* reply = std::get_if<Reply>(&outcome)) {
    for (std::string* text : {&reply->text, &reply->request_id, &reply->model}) {
      *text = secrets_.scrub(*text);
    }
  } else {
    Failure& failure = std::get<Failure>(outcome);
    failure.message = secrets_.scrub(failure.message);
    failure.request_id = secrets_.scrub(failure.request_id);
  }
  return outcome;
}

std::int64_t estimated_tokens(std::string_view text) {
  return static_cast<std::int64_t>((text.size() * 2 + 6) / 7);
}

std::int64_t estimated_tokens(const std::vector<LlmMessage>& messages) {
  std::int64_t sum = 0;
  for (const LlmMessage& message : messages) {
    sum += estimated_tokens(message.text) + 4;  // role and separators
  }
  return sum;
}

}  // namespace coppice::llm
