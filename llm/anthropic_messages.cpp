// The dialect of Anthropic's messages: system text apart, the stable prefix marked for caching.
#include "llm/dialect.h"
#include "llm/sse.h"

#include <algorithm>

namespace coppice::llm {
namespace {

Failure broken_message(std::string message, FailureKind kind = FailureKind::bad_reply) {
  return Failure{.kind = kind, .message = std::move(message)};
}

Json message_block(const std::string& text, bool cached) {
  Json block = Json::object().set("type", "text").set("text", text);
  if (cached) {
    block.set("cache_control", Json::object().set("type", "ephemeral"));
  }
  return block;
}

// Tokens for thinking: a share of the limit, and never less than the least that is accepted.
std::int64_t thinking_tokens(const std::string& effort, std::int64_t max_tokens) {
  constexpr std::int64_t kLeast = 1024;
  const std::int64_t quarters = effort == "low" ? 1 : effort == "medium" ? 2 : 3;
  const std::int64_t wanted = std::max(kLeast, max_tokens / 4 * quarters);
  return wanted < max_tokens ? wanted : 0;
}

void read_message_usage(const JsonReader& holder, Usage& usage) {
  const auto counts = holder.is_object() ? holder.find("usage") : std::nullopt;
  if (!counts || !counts->is_object()) {
    return;
  }
  const std::int64_t cached = count_at(*counts, "cache_read_input_tokens");
  const std::int64_t written = count_at(*counts, "cache_creation_input_tokens");
  const std::int64_t fresh = count_at(*counts, "input_tokens");
  // A stream says the input at its start and repeats, or leaves out, those counts at its end.
  if (fresh + cached + written > 0) {
    usage.in = fresh + cached + written;
    usage.cached = cached;
    usage.written = written;
  }
  usage.out = std::max(usage.out, count_at(*counts, "output_tokens"));
  usage.counted = usage.in > 0 || usage.out > 0;
}

struct MessageState {
  Reply reply;
  std::string stop_reason;

  Outcome done() {
    if (stop_reason == "refusal") {
      Failure failure =
          broken_message(reply.text.empty() ? "the model declined to answer" : excerpt(reply.text),
                         FailureKind::refused);
      failure.usage = reply.usage;
      return failure;
    }
    reply.finish = stop_reason == "max_tokens"                                   ? Finish::length
                   : stop_reason == "end_turn" || stop_reason == "stop_sequence" ? Finish::stop
                                                                                 : Finish::other;
    if (reply.text.empty() && reply.finish != Finish::length) {
      Failure failure = broken_message("the reply has no text");
      failure.usage = reply.usage;
      return failure;
    }
    return std::move(reply);
  }
};

class AnthropicMessages final : public Dialect {
 public:
  std::string_view path() const override { return "/messages"; }

  std::vector<std::string> headers(const std::string& key) const override {
    std::vector<std::string> out = {"anthropic-version: 2023-06-01"};
    if (!key.empty()) {
      out.push_back("x-api-key: " + key);
    }
    return out;
  }

  Json body(const Call& call, const DialectOptions& options) const override {
    Json json = Json::object();
    json.set("model", call.model).set("max_tokens", call.max_tokens);
    Json system = Json::array();
    Json messages = Json::array();
    for (std::size_t i = 0; i < call.messages.size(); ++i) {
      const LlmMessage& message = call.messages[i];
      Json block = message_block(message.text, i + 1 == call.stable);
      if (message.role == "system") {
        system.push(std::move(block));
      } else {
        messages.push(Json::object()
                          .set("role", message.role)
                          .set("content", Json::array().push(std::move(block))));
      }
    }
    if (!system.empty()) {
      json.set("system", std::move(system));
    }
    json.set("messages", std::move(messages));
    const std::int64_t thinking =
        call.reasoning_effort.empty() ? 0 : thinking_tokens(call.reasoning_effort, call.max_tokens);
    if (thinking > 0) {
      json.set("thinking", Json::object().set("type", "enabled").set("budget_tokens", thinking));
    } else if (call.temperature) {  // thinking and temperature exclude each other
      json.set("temperature", *call.temperature);
    }
    if (options.stream) {
      json.set("stream", true);
    }
    add_extra(call, json);
    return json;
  }

  Outcome read(std::string_view body) const override {
    const auto parsed = Json::parse(body, "reply");
    if (!parsed.ok()) {
      return broken_message(excerpt(parsed.error().message));
    }
    const JsonReader root = parsed->reader("reply");
    if (!root.is_object()) {
      return broken_message("the reply is not an object");
    }
    if (text_at(root, "type") == "error" || root.find("error")) {
      return failure_of(0, body);
    }
    MessageState state;
    read_message_usage(root, state.reply.usage);
    const auto content = root.find("content");
    if (!content || !content->is_array()) {
      return broken_message("the reply has no content");
    }
    const std::vector<JsonReader> blocks = content->items().value();
    for (const JsonReader& block : blocks) {
      if (text_at(block, "type") == "text") {
        state.reply.text += text_at(block, "text");
      }
    }
    state.reply.model = text_at(root, "model");
    state.reply.request_id = text_at(root, "id");
    state.stop_reason = text_at(root, "stop_reason");
    return state.done();
  }

  Outcome read_stream(std::string_view body) const override {
    MessageState state;
    for (const SseEvent& event : sse_events(body)) {
      const auto parsed = Json::parse(event.data, "stream");
      if (!parsed.ok()) {
        return with_usage(broken_message(excerpt(parsed.error().message)), state);
      }
      const JsonReader root = parsed->reader("stream");
      const std::string type = text_at(root, "type");
      if (type == "error") {
        return with_usage(failure_of(0, event.data), state);
      }
      if (type == "message_stop") {
        return state.done();
      }
      take(root, type, state);
    }
    return with_usage(
        broken_message("the stream ended before the reply was complete", FailureKind::overloaded),
        state);
  }

 private:
  static Outcome with_usage(Failure failure, const MessageState& state) {
    failure.usage = state.reply.usage;
    return failure;
  }

  static void take(const JsonReader& root, const std::string& type, MessageState& state) {
    if (type == "message_start") {
      if (const auto message = root.find("message"); message && message->is_object()) {
        read_message_usage(*message, state.reply.usage);
        state.reply.model = text_at(*message, "model");
        state.reply.request_id = text_at(*message, "id");
      }
      return;
    }
    const auto delta = root.is_object() ? root.find("delta") : std::nullopt;
    if (type == "content_block_delta" && delta && text_at(*delta, "type") == "text_delta") {
      state.reply.text += text_at(*delta, "text");
    }
    if (type == "message_delta") {
      if (const std::string reason = delta ? text_at(*delta, "stop_reason") : ""; !reason.empty()) {
        state.stop_reason = reason;
      }
      read_message_usage(root, state.reply.usage);
    }
  }
};

}  // namespace

std::unique_ptr<Dialect> anthropic_messages() {
  return std::make_unique<AnthropicMessages>();
}

}  // namespace coppice::llm
