// LlmRequest: what an LLM mutator asks for, as data; the shell sends it and the reply returns as an
// event.
#pragma once

#include "core/ids.h"

#include <string>
#include <vector>

namespace coppice {

struct LlmMessage {
  std::string role;  // "system", "user", "assistant"
  std::string text;
};

struct LlmRequest {
  LlmRequestId id;
  std::string profile;  // which configured provider and model
  std::vector<LlmMessage> messages;
  std::string reply_schema;  // JSON schema text, or empty
  std::int64_t max_tokens = 0;
};

}  // namespace coppice
