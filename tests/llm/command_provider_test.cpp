// A command as a provider: what it is told, what it may answer, and every way it can misbehave.
#include "llm/command_provider.h"

#include "llm/run_command.h"
#include "tests/llm/outcomes.h"
#include "tests/support/text.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

namespace coppice::llm {
namespace {

constexpr const char* kSecret = "hush-0123456789";

std::unique_ptr<Provider> shell(const std::string& script, std::size_t max_bytes = 1 << 20) {
  CommandOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.secret_env = {"HUSH"};
  options.max_bytes = max_bytes;
  auto provider = command_provider(options, [](const std::string& name) {
    return name == "HUSH" ? std::optional<std::string>(kSecret) : std::nullopt;
  });
  REQUIRE(provider.ok());
  return std::move(provider).value();
}

Outcome answer_of(const std::string& script) {
  return shell(script)->send(small_call());
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

TEST_CASE("a command reads the request on stdin and its JSON on stdout is the reply") {
  // The request comes back inside the reply: what the command was told.
  const Outcome outcome = answer_of(
      R"sh(read line; printf '{"text": "%s", "usage": {"in": 12, "out": 3, "cached": 90}, )sh"
      R"sh("model": "m-2"}' "$(printf %s "$line" | sed 's/"/\\"/g')")sh");
  const Reply& reply = reply_of(outcome);
  CHECK(contains(reply.text, R"("v":1)"));
  CHECK(contains(reply.text, R"({"role":"user","text":"Make it faster."})"));
  CHECK(contains(reply.text, R"("max_tokens":64)"));
  CHECK(reply.usage.in == 12);
  CHECK(reply.usage.cached == 12);  // never more than the prompt
  CHECK(reply.usage.counted);
  CHECK(reply.model == "m-2");
  CHECK(reply.latency.count() > 0);
}

TEST_CASE("a command that does not count tokens gets an estimate, and it says so") {
  const Outcome outcome = answer_of(R"(echo '{"text": "abcdefg", "finish": "length"}')");
  const Reply& reply = reply_of(outcome);
  CHECK_FALSE(reply.usage.counted);
  CHECK(reply.usage.in > 0);
  CHECK(reply.usage.out == 2);
  CHECK(reply.finish == Finish::length);
}

TEST_CASE("a command that does not read its request may answer all the same") {
  Call call = small_call();
  call.messages[1].text = std::string(1 << 20, 'x');  // far more than a socket holds
  const Outcome outcome = shell(R"(echo '{"text": "t"}')")->send(call);
  CHECK(reply_of(outcome).text == "t");
}

TEST_CASE("garbage from a command is a bad reply with a reason") {
  for (const char* script : {"echo hello",
                             "echo '{\"text\": 3}'",
                             "echo '[]'",
                             "true",
                             "echo '{\"text\": \"a\"} {\"text\": \"b\"}'",
                             "printf '\\377\\376{'"}) {
    CAPTURE(script);
    const Outcome outcome = answer_of(script);
    CHECK(failure_in(outcome).kind == FailureKind::bad_reply);
    CHECK_FALSE(failure_in(outcome).message.empty());
  }
}

TEST_CASE("a command explains its own failure, by JSON or by stderr and exit status") {
  const Outcome told = answer_of(R"(echo '{"error": "no credit", "kind": "auth"}'; exit 1)");
  CHECK(failure_in(told).kind == FailureKind::auth);
  CHECK(failure_in(told).message == "no credit");
  const Outcome unknown = answer_of(R"(echo '{"error": "odd", "kind": "sunspots"}')");
  CHECK(failure_in(unknown).kind == FailureKind::overloaded);
  const Outcome status = answer_of("echo 'cannot open file' >&2; exit 7");
  CHECK(failure_in(status).kind == FailureKind::overloaded);
  CHECK(contains(failure_in(status).message, "status 7: cannot open file"));
  const Outcome half = answer_of("printf '{\"text\": \"ha'; kill -9 $$");
  CHECK(failure_in(half).kind == FailureKind::overloaded);
  CHECK(contains(failure_in(half).message, "signal 9"));
}

TEST_CASE("a command that is not there is our mistake, not the provider's") {
  CommandOptions options;
  options.argv = {"/nonexistent/answerer"};
  auto provider = command_provider(options, process_environment);
  REQUIRE(provider.ok());
  const Outcome outcome = provider.value()->send(small_call());
  CHECK(failure_in(outcome).kind == FailureKind::bad_request);
  CHECK(contains(failure_in(outcome).message, "/nonexistent/answerer"));
  CHECK_FALSE(command_provider(CommandOptions(), process_environment).ok());
}

TEST_CASE("a command that floods stdout is cut off at the limit") {
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = shell("yes", 100000)->send(small_call());
  CHECK(failure_in(outcome).kind == FailureKind::bad_reply);
  CHECK(contains(failure_in(outcome).message, "100000"));
  CHECK(seconds_since(begin) < 4.0);
}

TEST_CASE("of a flood on stderr only the end is kept") {
  const auto run = run_command({"/bin/sh", "-c", "yes | head -c 3000000 >&2; echo end >&2; exit 3"},
                               "",
                               CommandLimits(),
                               {});
  REQUIRE(run.ok());
  CHECK(run->errors.size() <= 2048);
  CHECK(contains(run->errors, "end"));
  CHECK(run->status == 3);
}

TEST_CASE("a secret that a command repeats is seen nowhere") {
  const Outcome told = answer_of(std::string("echo '{\"text\": \"my key is ") + kSecret + "\"}'");
  CHECK_FALSE(contains(reply_of(told).text, kSecret));
  const Outcome failed = answer_of(std::string("echo 'key ") + kSecret + " is bad' >&2; exit 1");
  CHECK_FALSE(contains(failure_in(failed).message, kSecret));
}

TEST_CASE("a command that hangs is a timeout at its deadline, also when it ignores signals",
          "[slow]") {
  for (const char* script : {"sleep 60", "trap '' TERM INT HUP; while :; do sleep 1; done"}) {
    CAPTURE(script);
    Call call = small_call();
    call.deadline = std::chrono::milliseconds(300);
    const auto begin = std::chrono::steady_clock::now();
    const Outcome outcome = shell(script)->send(call);
    CHECK(failure_in(outcome).kind == FailureKind::timeout);
    CHECK(seconds_since(begin) < 2.0);
  }
}

TEST_CASE("nothing that a command started is left behind") {
  // The grandchild keeps stdout open and would outlive its parent; its id is the reply.
  const Outcome outcome = answer_of(R"sh(sleep 300 & echo "{\"text\": \"$!\"}")sh");
  const pid_t grandchild = std::stoi(reply_of(outcome).text);
  bool gone = false;
  for (int i = 0; i < 1000000 && !gone; ++i) {  // killed already; the kernel may need a moment
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    const std::string line(std::istreambuf_iterator<char>(stat), {});
    gone = line.empty() || contains(line, ") Z ") || contains(line, ") X ");
    std::this_thread::yield();
  }
  CHECK(gone);
}

TEST_CASE("a stop request ends a command that thinks", "[slow]") {
  std::stop_source stop;
  std::jthread stopper([&stop] { stop.request_stop(); });
  Call call = small_call();
  call.deadline = std::chrono::seconds(60);
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = shell("sleep 60")->send(call, stop.get_token());
  CHECK(failure_in(outcome).kind == FailureKind::cancelled);
  CHECK(seconds_since(begin) < 5.0);
}

}  // namespace coppice::llm
