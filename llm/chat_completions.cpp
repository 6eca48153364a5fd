// The dialect of OpenAI's chat completions, which vLLM, SGLang, llama.cpp, Ollama and others speak.
#include "llm/dialect.h"
#include "llm/sse.h"

#include <fmt/format.h>

namespace coppice::llm {
namespace {

Failure broken_chat(std::string message, FailureKind kind = FailureKind::bad_reply) {
  return Failure{.kind = kind, .message = std::move(message)};
}

Json chat_response_format(const Call& call, const std::string& structured) {
  if (structured == "json_object") {
    return Json::object().set("type", "json_object");
  }
  auto schema = Json::parse(call.reply_schema, "schema");
  return Json::object()
      .set("type", "json_schema")
      .set("json_schema",
           Json::object()
               .set("name", "reply")
               .set("strict", true)
               .set("schema", schema.ok() ? std::move(schema).value() : Json::object()));
}

void read_chat_usage(const JsonReader& root, Usage& usage) {
  const auto counts = root.find("usage");
  if (!counts || !counts->is_object()) {
    return;
  }
  usage.in = count_at(*counts, "prompt_tokens");
  usage.out = count_at(*counts, "completion_tokens");
  if (const auto details = counts->find("prompt_tokens_details")) {
    usage.cached = count_at(*details, "cached_tokens");
  } else {
    usage.cached = count_at(*counts, "prompt_cache_hit_tokens");
  }
  if (const auto details = counts->find("completion_tokens_details")) {
    usage.reasoning = count_at(*details, "reasoning_tokens");
  }
  usage.cached = std::min(usage.cached, usage.in);
  usage.counted = usage.in > 0 || usage.out > 0;
}

// A message's or delta's content: text, or an array of parts of which the text counts.
std::string chat_content(const JsonReader& message) {
  const auto content = message.is_object() ? message.find("content") : std::nullopt;
  if (!content) {
    return {};
  }
  if (content->is_string()) {
    return content->text().value();
  }
  std::string out;
  if (content->is_array()) {
    const std::vector<JsonReader> parts = content->items().value();
    for (const JsonReader& part : parts) {
      out += text_at(part, "text");
    }
  }
  return out;
}

// What has been said so far, from a whole reply or from a stream's pieces.
struct ChatState {
  Reply reply;
  std::string refusal;
  std::string finish;

  void add(const JsonReader& choice, std::string_view key) {
    if (const auto message = choice.find(key); message && message->is_object()) {
      reply.text += chat_content(*message);
      refusal += text_at(*message, "refusal");
    }
    if (const std::string reason = text_at(choice, "finish_reason"); !reason.empty()) {
      finish = reason;
    }
  }

  Outcome done() {
    if (!refusal.empty() || finish == "content_filter") {
      Failure failure = broken_chat(
          refusal.empty() ? "stopped by the provider's content filter" : excerpt(refusal),
          FailureKind::refused);
      failure.usage = reply.usage;
      return failure;
    }
    reply.finish = finish == "length"                   ? Finish::length
                   : finish == "stop" || finish.empty() ? Finish::stop
                                                        : Finish::other;
    if (reply.text.empty() && reply.finish != Finish::length) {
      Failure failure = broken_chat("the reply has no text");
      failure.usage = reply.usage;
      return failure;
    }
    return std::move(reply);
  }
};

// The first choice of a document, or why there is none.
std::variant<JsonReader, Failure> first_choice(const JsonReader& root) {
  const auto choices = root.find("choices");
  if (!choices || !choices->is_array()) {
    return broken_chat("the reply has no choices");
  }
  const std::vector<JsonReader> items = choices->items().value();
  if (items.empty()) {
    return broken_chat("choices is empty");
  }
  if (!items.front().is_object()) {
    return broken_chat("choices[0] is not an object");
  }
  return items.front();
}

class ChatCompletions final : public Dialect {
 public:
  std::string_view path() const override { return "/chat/completions"; }

  std::vector<std::string> headers(const std::string& key) const override {
    return key.empty() ? std::vector<std::string>()
                       : std::vector<std::string>{"Authorization: Bearer " + key};
  }

  Json body(const Call& call, const DialectOptions& options) const override {
    Json json = Json::object();
    json.set("model", call.model).set(options.max_tokens_name, call.max_tokens);
    json.set("messages", Json::array_of(call.messages, [](const LlmMessage& message) {
               return Json::object().set("role", message.role).set("content", message.text);
             }));
    if (call.temperature) {
      json.set("temperature", *call.temperature);
    }
    if (!call.reasoning_effort.empty()) {
      json.set("reasoning_effort", call.reasoning_effort);
    }
    if (!call.reply_schema.empty() && options.structured != "none") {
      json.set("response_format", chat_response_format(call, options.structured));
    }
    if (options.stream) {
      json.set("stream", true);
      if (options.stream_usage) {
        json.set("stream_options", Json::object().set("include_usage", true));
      }
    }
    add_extra(call, json);
    return json;
  }

  Outcome read(std::string_view body) const override {
    const auto parsed = Json::parse(body, "reply");
    if (!parsed.ok()) {
      return broken_chat(excerpt(parsed.error().message));
    }
    const JsonReader root = parsed->reader("reply");
    if (!root.is_object()) {
      return broken_chat("the reply is not an object");
    }
    if (root.find("error")) {
      return failure_of(0, body);
    }
    auto choice = first_choice(root);
    ChatState state;
    read_chat_usage(root, state.reply.usage);
    if (Failure* failure = std::get_if<Failure>(&choice)) {
      failure->usage = state.reply.usage;
      return std::move(*failure);
    }
    state.reply.model = text_at(root, "model");
    state.reply.request_id = text_at(root, "id");
    state.add(std::get<JsonReader>(choice), "message");
    return state.done();
  }

  Outcome read_stream(std::string_view body) const override {
    ChatState state;
    bool done = false;
    for (const SseEvent& event : sse_events(body)) {
      if (event.data == "[DONE]") {
        done = true;
        break;
      }
      const auto parsed = Json::parse(event.data, "stream");
      if (!parsed.ok()) {
        return with_usage(broken_chat(excerpt(parsed.error().message)), state);
      }
      const JsonReader root = parsed->reader("stream");
      if (!root.is_object()) {
        return with_usage(broken_chat("a piece of the stream is not an object"), state);
      }
      if (root.find("error")) {
        return with_usage(failure_of(0, event.data), state);
      }
      read_chat_usage(root, state.reply.usage);
      state.reply.model = state.reply.model.empty() ? text_at(root, "model") : state.reply.model;
      state.reply.request_id =
          state.reply.request_id.empty() ? text_at(root, "id") : state.reply.request_id;
      const auto choice = first_choice(root);
      if (const JsonReader* first = std::get_if<JsonReader>(&choice)) {
        state.add(*first, "delta");
      }
    }
    if (!done && state.finish.empty()) {
      return with_usage(
          broken_chat("the stream ended before the reply was complete", FailureKind::overloaded),
          state);
    }
    return state.done();
  }

 private:
  static Outcome with_usage(Failure failure, const ChatState& state) {
    failure.usage = state.reply.usage;
    return failure;
  }
};

}  // namespace

std::unique_ptr<Dialect> chat_completions() {
  return std::make_unique<ChatCompletions>();
}

}  // namespace coppice::llm
