// Dialect: how one family of servers wants to be asked and how it answers; pure text, no network.
#pragma once

#include "llm/provider.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

struct DialectOptions {
  bool stream = false;
  // How the server takes a wish for JSON: "json_schema", "json_object", or "none".
  std::string structured = "json_schema";
  std::string max_tokens_name = "max_tokens";  // or "max_completion_tokens"
  bool stream_usage = true;                    // ask for token counts at a stream's end
};

// Stateless and thread-safe.
class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual std::string_view path() const = 0;  // below the base address
  virtual std::vector<std::string> headers(const std::string& key) const = 0;
  virtual Json body(const Call& call, const DialectOptions& options) const = 0;
  // What a 200's body says; latency and request id are the caller's to fill in.
  virtual Outcome read(std::string_view body) const = 0;
  virtual Outcome read_stream(std::string_view body) const = 0;
};

std::unique_ptr<Dialect> chat_completions();    // OpenAI and all that speak like it
std::unique_ptr<Dialect> anthropic_messages();  // Anthropic

// The failure that an error object describes ({"error": {...}} or {"type": "error", ...}); status 0
// when it came inside a stream.
Failure failure_of(int status, std::string_view body);

// ---- for the dialects ----

// A whole number at a key, or 0: counters are never a reason to lose a reply.
std::int64_t count_at(const JsonReader& json, std::string_view key);
// The text at a key, or nothing when it is absent or not text.
std::string text_at(const JsonReader& json, std::string_view key);
// Members of call.extra, put over the body where they don't touch model, messages or stream.
void add_extra(const Call& call, Json& body);
// One line of printable text, at most 300 bytes, for error messages.
std::string excerpt(std::string_view text);

}  // namespace coppice::llm
