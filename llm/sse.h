// Server-sent events, as streaming replies use them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

struct SseEvent {
  std::string name;  // empty: "message"
  std::string data;  // its lines joined by '\n'
};

// All complete events of a body; an event without its closing empty line counts when it has data
// (some servers leave the line out at the end). Comments, ids and unknown fields are skipped.
std::vector<SseEvent> sse_events(std::string_view body);

}  // namespace coppice::llm
