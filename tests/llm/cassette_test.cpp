// The cassette: what is recorded comes back, what is not is a miss, and damage is found.
#include "llm/cassette.h"

#include "tests/llm/outcomes.h"
#include "tests/support/text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

namespace coppice::llm {
namespace {

class TempFile {
 public:
  TempFile() {
    static int count = 0;
    path_ = (std::filesystem::temp_directory_path() /
             fmt::format("coppice_cassette_{}_{}", ::getpid(), ++count))
                .string();
    std::filesystem::remove(path_);
  }
  ~TempFile() { std::filesystem::remove(path_); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  const std::string& path() const { return path_; }
  std::string text() const {
    std::ifstream file(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void write(const std::string& text) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text;
  }

 private:
  std::string path_;
};

// Answers with a counter, so that a second answer differs from the first.
class Counting final : public Provider {
 public:
  explicit Counting(int* asked) : Provider(Secrets()), asked_(asked) {}

 protected:
  Outcome attempt(const Call& call, const std::stop_token&) override {
    const std::lock_guard lock(mutex_);
    ++*asked_;
    if (call.model == "shy") {
      return Failure{.kind = FailureKind::refused, .message = "no thanks"};
    }
    if (call.model == "down") {
      return Failure{.kind = FailureKind::overloaded, .message = "busy"};
    }
    Reply reply;
    reply.text = fmt::format("answer {}", *asked_);
    reply.usage = {.in = 7, .out = 2, .counted = true};
    reply.latency = std::chrono::milliseconds(1500);
    return reply;
  }

 private:
  std::mutex mutex_;
  int* asked_;
};

std::shared_ptr<Cassette> opened(const std::string& path, bool create) {
  auto cassette = Cassette::open(path, create);
  if (!cassette.ok()) {
    FAIL(cassette.error().message);
  }
  return std::shared_ptr<Cassette>(std::move(cassette).value());
}

Call call_to(const std::string& model, std::uint64_t sample = 0) {
  Call call = small_call();
  call.model = model;
  call.sample = sample;
  return call;
}

}  // namespace

TEST_CASE(
    "a recorded answer comes back whole, without asking again, in this process and the next") {
  const TempFile file;
  int asked = 0;
  {
    auto provider =
        cassette_provider(opened(file.path(), true), std::make_unique<Counting>(&asked));
    CHECK(reply_of(provider->send(call_to("m"))).text == "answer 1");
    CHECK(reply_of(provider->send(call_to("m"))).text == "answer 1");
    CHECK(reply_of(provider->send(call_to("m", 1))).text == "answer 2");
    CHECK(asked == 2);
  }
  auto replay = cassette_provider(opened(file.path(), false), nullptr);
  const Outcome outcome = replay->send(call_to("m", 1));
  CHECK(reply_of(outcome).text == "answer 2");
  CHECK(reply_of(outcome).usage.in == 7);
  CHECK(reply_of(outcome).usage.counted);
  CHECK(reply_of(outcome).latency == std::chrono::milliseconds(1500));
}

TEST_CASE("a call that was not recorded is a miss that names the call and the file") {
  const TempFile file;
  file.write("");
  const Call call = call_to("m");
  const Outcome outcome = cassette_provider(opened(file.path(), false), nullptr)->send(call);
  CHECK(failure_in(outcome).kind == FailureKind::missing);
  CHECK(contains(failure_in(outcome).message, call.identity().hex()));
  CHECK(contains(failure_in(outcome).message, file.path()));
  CHECK_FALSE(worth_retrying(FailureKind::missing));
}

TEST_CASE("what shapes the answer is in a call's identity, its deadline is not") {
  const Call call = call_to("m");
  Call other = call;
  other.deadline = std::chrono::seconds(1);
  CHECK(other.identity() == call.identity());
  const auto differs = [&call](auto change) {
    Call changed = call;
    change(changed);
    return changed.identity() != call.identity();
  };
  CHECK(differs([](Call& c) { c.model = "n"; }));
  CHECK(differs([](Call& c) { c.messages[0].text += "."; }));
  CHECK(differs([](Call& c) { c.messages[0].role = "user"; }));
  CHECK(differs([](Call& c) { c.max_tokens = 65; }));
  CHECK(differs([](Call& c) { c.reply_schema = "{}"; }));
  CHECK(differs([](Call& c) { c.temperature = 0.0; }));
  CHECK(differs([](Call& c) { c.reasoning_effort = "low"; }));
  CHECK(differs([](Call& c) { c.extra = "{}"; }));
  CHECK(differs([](Call& c) { c.sample = 1; }));
}

TEST_CASE("a refusal is recorded as an answer, other failures are not") {
  const TempFile file;
  int asked = 0;
  auto provider = cassette_provider(opened(file.path(), true), std::make_unique<Counting>(&asked));
  for (int i = 0; i < 2; ++i) {
    CHECK(failure_in(provider->send(call_to("shy"))).kind == FailureKind::refused);
    CHECK(failure_in(provider->send(call_to("down"))).kind == FailureKind::overloaded);
  }
  CHECK(asked == 3);  // shy once, down twice
  CHECK(opened(file.path(), false)->size() == 1);
}

TEST_CASE("a torn last line is dropped, and cut off before more is recorded") {
  const TempFile file;
  int asked = 0;
  cassette_provider(opened(file.path(), true), std::make_unique<Counting>(&asked))
      ->send(call_to("m"));
  const std::string whole = file.text();
  for (const std::size_t torn : {std::size_t{1}, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(torn);
    file.write(whole + whole.substr(0, torn));
    CHECK(opened(file.path(), false)->size() == 1);
    CHECK(file.text().size() == whole.size() + torn);  // a reader leaves it alone
    CHECK(opened(file.path(), true)->size() == 1);
    CHECK(file.text() == whole);
  }
}

TEST_CASE("damage inside a cassette is named with its line") {
  const TempFile file;
  int asked = 0;
  {
    auto provider =
        cassette_provider(opened(file.path(), true), std::make_unique<Counting>(&asked));
    provider->send(call_to("m"));
    provider->send(call_to("m", 1));
  }
  const std::string whole = file.text();
  const std::size_t second = whole.find('\n') + 1;
  const auto complaint = [&file](const std::string& text) {
    file.write(text);
    const auto cassette = Cassette::open(file.path(), false);
    return cassette.ok() ? std::string() : cassette.error().message;
  };
  CHECK(contains(complaint(whole.substr(0, second) + "{\"v\": 1}\n"), file.path() + ":2"));
  CHECK(contains(complaint("rubbish\n" + whole), file.path() + ":1"));
  std::string newer = whole;
  newer.replace(newer.find("\"v\":1"), 5, "\"v\":2");
  CHECK(contains(complaint(newer), "version 1, found 2"));
  // The same call twice: harmless when the answers are equal, a contradiction when not.
  CHECK(complaint(whole + whole).empty());
  std::string other = whole.substr(0, second);
  other.replace(other.find("answer 1"), 8, "answer 9");
  CHECK(contains(complaint(whole + other), "another reply"));
  CHECK_FALSE(Cassette::open("/nonexistent/cassette", false).ok());
}

TEST_CASE("a cassette that can't be written loses no answer silently") {
  const TempFile file;
  int asked = 0;
  auto cassette = opened(file.path(), true);
  std::filesystem::remove(file.path());
  std::filesystem::create_directory(file.path());
  const Outcome outcome =
      cassette_provider(cassette, std::make_unique<Counting>(&asked))->send(call_to("m"));
  CHECK(failure_in(outcome).kind == FailureKind::bad_request);
  CHECK(contains(failure_in(outcome).message, file.path()));
}

TEST_CASE("two that ask the same at once get the same answer") {
  const TempFile file;
  int asked = 0;
  auto provider = cassette_provider(opened(file.path(), true), std::make_unique<Counting>(&asked));
  std::vector<std::string> answers(8);
  {
    std::vector<std::jthread> threads;
    for (std::string& answer : answers) {
      threads.emplace_back([&answer, &provider] {
        const Outcome outcome = provider->send(call_to("m"));
        answer = std::get<Reply>(outcome).text;
      });
    }
  }
  for (const std::string& answer : answers) {
    CHECK(answer == answers[0]);
  }
  CHECK(opened(file.path(), false)->size() == 1);
}

}  // namespace coppice::llm
