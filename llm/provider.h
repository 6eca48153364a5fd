// Provider: one way to ask a language model; what goes in, what comes out, and how it can fail.
#pragma once

#include "core/digest.h"
#include "core/json.h"
#include "core/llm_request.h"
#include "core/units.h"

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace coppice::llm {

// What to ask. Everything that shapes the answer is in here and in identity(); the deadline is not.
struct Call {
  std::string model;
  std::vector<LlmMessage> messages;  // system first; the stable ones before the changing ones
  std::size_t stable = 0;            // this many messages from the front are worth caching
  std::int64_t max_tokens = 4096;    // of the reply, reasoning included
  std::string reply_schema;          // JSON schema text, or empty; a wish: not each provider can
  std::optional<double> temperature;
  std::string reasoning_effort;  // "low", "medium", "high", ..., or empty
  std::string extra;  // JSON object: further parameters, put into the request as they are; or empty
  std::uint64_t sample = 0;                          // tells apart calls with equal texts
  Nanoseconds deadline = std::chrono::seconds(300);  // from the start of one attempt

  // SHA-256 over everything but the deadline: the key of a cassette.
  Digest identity() const;
};

// Tokens as the provider counted them.
struct Usage {
  std::int64_t in = 0;         // prompt, cached ones included
  std::int64_t out = 0;        // reply, reasoning included
  std::int64_t cached = 0;     // of `in`: read from the provider's cache
  std::int64_t written = 0;    // of `in`: put into the provider's cache (priced apart)
  std::int64_t reasoning = 0;  // of `out`
  bool counted = false;        // false: the provider did not say, these are estimates
};

enum class Finish { stop, length, other };

struct Reply {
  std::string text;
  Usage usage;
  Finish finish = Finish::stop;
  Nanoseconds latency{};
  std::string request_id;  // the provider's, for its support
  std::string model;       // that answered, as the provider names it
};

enum class FailureKind {
  auth,          // key missing, wrong or without rights
  rate_limited,  // too many requests: wait
  overloaded,    // the provider's trouble: 5xx, connection refused or cut
  timeout,       // the deadline passed, or the line went silent
  refused,       // the model or its filter declines to answer
  bad_reply,     // not what the protocol says
  bad_request,   // the provider does not accept what we sent
  tls,           // no trusted connection
  budget,        // ours: the limit is reached
  missing,       // cassette: nothing recorded for this request
  cancelled,     // we stopped it
};

struct Failure {
  FailureKind kind = FailureKind::bad_reply;
  std::string message;                       // for a person; never holds a key
  std::optional<Nanoseconds> retry_after{};  // as the provider wished
  std::string request_id{};
  Usage usage{};  // what the attempt cost nevertheless
  Nanoseconds latency{};
};

using Outcome = std::variant<Reply, Failure>;

// May another attempt help?
bool worth_retrying(FailureKind kind);

std::string_view to_text(FailureKind kind);
Result<FailureKind> failure_kind(std::string_view text);
std::string_view to_text(Finish finish);
Result<Finish> finish(std::string_view text);

Json to_json(const Usage& usage);
Result<Usage> usage(const JsonReader& json);
Json to_json(const Call& call);
Json to_json(const Reply& reply);
Result<Reply> reply(const JsonReader& json);

// Texts that must not be seen: API keys, taken from the environment and nowhere else.
class Secrets {
 public:
  void add(std::string value);  // short ones (under 6 characters) can't be told from text: ignored
  std::string scrub(std::string_view text) const;

 private:
  std::vector<std::string> values_;  // longest first
};

// Thread-safe. send() blocks until the reply is there, the deadline has passed or `stop` is set.
// Whatever leaves a provider leaves through send(), which takes its keys out of every text.
class Provider {
 public:
  explicit Provider(Secrets secrets) : secrets_(std::move(secrets)) {}
  virtual ~Provider() = default;
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;

  Outcome send(const Call& call, const std::stop_token& stop = {});

 protected:
  virtual Outcome attempt(const Call& call, const std::stop_token& stop) = 0;

 private:
  Secrets secrets_;
};

// A rough count for limits and budgets before a provider has counted: a token per 3.5 bytes.
std::int64_t estimated_tokens(std::string_view text);
std::int64_t estimated_tokens(const std::vector<LlmMessage>& messages);

}  // namespace coppice::llm
