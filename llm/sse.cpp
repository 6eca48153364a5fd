// Splits an event stream into events (HTML Living Standard, "Server-sent events", line by line).
#include "llm/sse.h"

namespace coppice::llm {
namespace {

// The next line without its end ("\n", "\r\n" or "\r"), taken off the front.
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = rest.find_first_of("\r\n");
  const std::string_view line = rest.substr(0, end);
  if (end == std::string_view::npos) {
    rest = {};
    return line;
  }
  const bool pair = rest[end] == '\r' && end + 1 < rest.size() && rest[end + 1] == '\n';
  rest.remove_prefix(end + (pair ? 2 : 1));
  return line;
}

}  // namespace

std::vector<SseEvent> sse_events(std::string_view body) {
  std::vector<SseEvent> out;
  SseEvent event;
  bool has_data = false;
  const auto finish = [&] {
    if (has_data) {
      out.push_back(std::move(event));
    }
    event = SseEvent();
    has_data = false;
  };
  if (body.starts_with("\xEF\xBB\xBF")) {
    body.remove_prefix(3);
  }
  while (!body.empty()) {
    const std::string_view line = take_line(body);
    if (line.empty()) {
      finish();
      continue;
    }
    const std::size_t colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) {
      value.remove_prefix(1);
    }
    if (field == "data") {
      event.data += has_data ? "\n" : "";
      event.data += value;
      has_data = true;
    } else if (field == "event") {
      event.name = value;
    }
  }
  finish();
  return out;
}

}  // namespace coppice::llm
