// The Anthropic dialect as text: what is asked, and what each kind of answer means.
#include "llm/dialect.h"
#include "tests/llm/outcomes.h"
#include "tests/support/text.h"

namespace coppice::llm {
namespace {

std::string asked(const Call& call, DialectOptions options = {}) {
  return anthropic_messages()->body(call, options).dump();
}

Outcome read(const std::string& body) {
  return anthropic_messages()->read(body);
}

std::string stream_of(std::initializer_list<const char*> events) {
  std::string out;
  for (const char* event : events) {
    out += std::string("event: x\ndata: ") + event + "\n\n";
  }
  return out;
}

constexpr const char* kStart =
    R"({"type":"message_start","message":{"id":"msg_1","model":"m-1","usage":{"input_tokens":3,)"
    R"("cache_read_input_tokens":40,"cache_creation_input_tokens":7,"output_tokens":1}}})";

}  // namespace

TEST_CASE("the key goes into its own header, with the version of the protocol") {
  const auto headers = anthropic_messages()->headers("k-123456");
  CHECK(headers ==
        std::vector<std::string>{"anthropic-version: 2023-06-01", "x-api-key: k-123456"});
  CHECK(anthropic_messages()->headers("").size() == 1);
  CHECK(anthropic_messages()->path() == "/messages");
}

TEST_CASE("system text goes apart and the end of the stable prefix is marked for the cache") {
  const std::string body = asked(small_call());
  CHECK(contains(
      body,
      R"("system":[{"cache_control":{"type":"ephemeral"},"text":"You write kernels.","type":"text"}])"));
  CHECK(contains(
      body,
      R"("messages":[{"content":[{"text":"Make it faster.","type":"text"}],"role":"user"}])"));
  CHECK(contains(body, R"("max_tokens":64)"));
  CHECK_FALSE(contains(body, "stream"));
  Call call = small_call();
  call.stable = 0;
  CHECK_FALSE(contains(asked(call), "cache_control"));
}

TEST_CASE("thinking gets a share of the tokens, never all of them, and excludes a temperature") {
  Call call = small_call();
  call.temperature = 0.5;
  CHECK(contains(asked(call), R"("temperature":0.5)"));
  call.reasoning_effort = "high";
  CHECK_FALSE(contains(asked(call), "thinking"));  // 64 tokens have no room for 1024
  call.max_tokens = 8000;
  CHECK(contains(asked(call), R"("thinking":{"budget_tokens":6000,"type":"enabled"})"));
  CHECK_FALSE(contains(asked(call), "temperature"));
  call.reasoning_effort = "low";
  CHECK(contains(asked(call), R"("budget_tokens":2000)"));
}

TEST_CASE("further parameters are added, but none that would change what was asked") {
  Call call = small_call();
  call.extra = R"({"top_k": 5, "model": "other", "messages": [], "stream": true})";
  const std::string body = asked(call);
  CHECK(contains(body, R"("top_k":5)"));
  CHECK(contains(body, R"("model":"m")"));
  CHECK_FALSE(contains(body, "other"));
  CHECK_FALSE(contains(body, R"("stream")"));
}

TEST_CASE("an answer's text blocks are joined, thinking is left out, cached tokens are counted") {
  const Outcome outcome = read(
      R"({"id":"msg_1","type":"message","model":"m-1","stop_reason":"end_turn","content":[)"
      R"({"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}],)"
      R"("usage":{"input_tokens":3,"cache_read_input_tokens":40,"cache_creation_input_tokens":7,)"
      R"("output_tokens":9}})");
  const Reply& reply = reply_of(outcome);
  CHECK(reply.text == "ab");
  CHECK(reply.usage.in == 50);
  CHECK(reply.usage.cached == 40);
  CHECK(reply.usage.written == 7);
  CHECK(reply.usage.out == 9);
  CHECK(reply.usage.counted);
  CHECK(reply.model == "m-1");
  CHECK(reply.request_id == "msg_1");
  CHECK(reply.finish == Finish::stop);
}

TEST_CASE("each way to end says what it is") {
  const auto ended = [](const std::string& reason, const std::string& text) {
    return read(R"({"type":"message","stop_reason":")" + reason +
                R"(","content":[{"type":"text","text":")" + text + R"("}]})");
  };
  CHECK(reply_of(ended("max_tokens", "half")).finish == Finish::length);
  CHECK(reply_of(ended("max_tokens", "")).finish == Finish::length);
  CHECK(reply_of(ended("stop_sequence", "x")).finish == Finish::stop);
  CHECK(reply_of(ended("tool_use", "x")).finish == Finish::other);
  CHECK(failure_in(ended("refusal", "I will not.")).kind == FailureKind::refused);
  CHECK(contains(failure_in(ended("refusal", "I will not.")).message, "I will not."));
  CHECK(failure_in(ended("end_turn", "")).kind == FailureKind::bad_reply);
}

TEST_CASE("bodies that are no message are bad replies; errors keep their kind") {
  for (const char* body : {"", "[]", "{", "{}", R"({"content":{}})", R"({"content":"text"})"}) {
    CAPTURE(body);
    CHECK(failure_in(read(body)).kind == FailureKind::bad_reply);
  }
  CHECK(failure_in(read(R"({"type":"error","error":{"type":"overloaded_error","message":"busy"}})"))
            .kind == FailureKind::overloaded);
  CHECK(failure_in(
            read(R"({"type":"error","error":{"type":"rate_limit_error","message":"slow down"}})"))
            .kind == FailureKind::rate_limited);
}

TEST_CASE("a stream is put together; tokens come from its beginning and its end") {
  const Outcome outcome = anthropic_messages()->read_stream(stream_of(
      {kStart,
       R"({"type":"content_block_start","content_block":{"type":"text","text":""}})",
       R"({"type":"ping"})",
       R"({"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"hm"}})",
       R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"he"}})",
       R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"llo"}})",
       R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":12}})",
       R"({"type":"message_stop"})"}));
  const Reply& reply = reply_of(outcome);
  CHECK(reply.text == "hello");
  CHECK(reply.usage.in == 50);
  CHECK(reply.usage.out == 12);
  CHECK(reply.request_id == "msg_1");
}

TEST_CASE(
    "a stream that breaks off, fails or holds garbage is a failure that keeps what was paid") {
  const auto streamed = [](std::initializer_list<const char*> events) {
    return anthropic_messages()->read_stream(stream_of(events));
  };
  const Outcome cut = streamed({kStart});
  CHECK(failure_in(cut).kind == FailureKind::overloaded);
  CHECK(failure_in(cut).usage.in == 50);
  const Outcome failed =
      streamed({kStart, R"({"type":"error","error":{"type":"overloaded_error","message":"b"}})"});
  CHECK(failure_in(failed).kind == FailureKind::overloaded);
  CHECK(failure_in(failed).usage.in == 50);
  CHECK(failure_in(streamed({kStart, "{"})).kind == FailureKind::bad_reply);
  CHECK(failure_in(anthropic_messages()->read_stream("")).kind == FailureKind::overloaded);
}

}  // namespace coppice::llm
