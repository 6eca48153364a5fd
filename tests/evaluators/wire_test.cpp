// Framing: round trips, limits, torn and hostile bytes, deadlines, descriptors.

#include "evaluators/wire.h"

#include "core/random.h"
#include "tests/support/catch.h"

#include <unistd.h>

#include <thread>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

Message sample() {
  Message m;
  m.json.set("kind", "evaluate").set("n", 3);
  m.attachments = {std::string("\0\1\2", 3), "", std::string(5000, 'x')};
  return m;
}

constexpr Nanoseconds kShort = std::chrono::milliseconds(50);

}  // namespace

TEST_CASE("a frame that arrives byte by byte decodes to the same message") {
  const std::string bytes = encode_frame(sample()) + encode_frame(sample());
  FrameDecoder decoder;
  int messages = 0;
  for (const char c : bytes) {
    REQUIRE(decoder.feed(std::string_view(&c, 1)).ok());
    std::uint32_t descriptors = 0;
    while (auto message = decoder.take(descriptors)) {
      ++messages;
      CHECK(message->json.dump() == sample().json.dump());
      CHECK(message->attachments == sample().attachments);
    }
  }
  CHECK(messages == 2);
}

TEST_CASE("sizes over the limits are refused before anything is allocated") {
  std::string bytes = encode_frame(sample());
  SECTION("json") {
    bytes[7] = '\x7f';
  }
  SECTION("attachment count") {
    bytes[11] = '\x7f';
  }
  SECTION("descriptors") {
    bytes[15] = '\x01';
  }
  SECTION("attachment size") {
    bytes[23] = '\x40';
  }
  SECTION("magic") {
    bytes[0] = 'X';
  }
  FrameDecoder decoder;
  const Result<void> fed = decoder.feed(bytes);
  REQUIRE_FALSE(fed.ok());
  CHECK(fed.error().code == ErrorCode::corrupt);
  CHECK_FALSE(decoder.feed(encode_frame(sample())).ok());
}

TEST_CASE("attachment sizes that overflow when added are refused") {
  Message m;
  m.json.set("k", 1);
  m.attachments = {"a", "b", "c"};
  std::string bytes = encode_frame(m);
  for (std::size_t i = 16; i < 40; ++i) {
    bytes[i] = '\xff';
  }
  CHECK_FALSE(FrameDecoder().feed(bytes).ok());
}

TEST_CASE("random damage never crashes the decoder and never yields a different valid length") {
  const std::string good = encode_frame(sample());
  int survived = 0;
  for (std::uint64_t trial = 0; trial < 20000; ++trial) {
    Rng rng = stream(21, "fuzz", trial);
    std::string bytes = good;
    const std::uint64_t edits = 1 + rng.below(4);
    for (std::uint64_t i = 0; i < edits; ++i) {
      const std::uint64_t at = rng.below(64);
      bytes[at] = static_cast<char>(rng.next());
    }
    bytes.resize(rng.below(bytes.size() + 1));
    FrameDecoder decoder(WireLimits{1 << 16, 16, 1 << 20, 4});
    std::size_t at = 0;
    while (at < bytes.size()) {
      const std::size_t n = std::min<std::size_t>(1 + rng.below(999), bytes.size() - at);
      if (!decoder.feed(std::string_view(bytes).substr(at, n)).ok()) {
        break;
      }
      at += n;
    }
    std::uint32_t descriptors = 0;
    survived += decoder.take(descriptors).has_value() ? 1 : 0;
    CHECK(decoder.wanted() >= 1);
  }
  CHECK(survived < 2000);
}

TEST_CASE("a channel carries messages and descriptors both ways") {
  auto ends = socket_pair();
  REQUIRE(ends.ok());
  Channel a(std::move(ends->first));
  Channel b(std::move(ends->second));
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  Message m = sample();
  m.attachments.push_back(std::string(3 << 20, 'y'));  // larger than any socket buffer
  m.descriptors.emplace_back(pipe_ends[1]);
  Result<void> sent;
  std::thread sender([&] { sent = a.send(m, std::chrono::seconds(5)); });
  Result<Message> got = b.receive(std::chrono::seconds(5));
  sender.join();
  REQUIRE(sent.ok());
  REQUIRE(got.ok());
  CHECK(got->attachments == m.attachments);
  REQUIRE(got->descriptors.size() == 1);
  CHECK(::write(got->descriptors[0].get(), "z", 1) == 1);
  char c = 0;
  CHECK(::read(pipe_ends[0], &c, 1) == 1);
  CHECK(c == 'z');
  ::close(pipe_ends[0]);
}

TEST_CASE("a large message goes through pipes whole, and a reader who stops costs the deadline") {
  int to[2];
  int from[2];
  REQUIRE(::pipe(to) == 0);
  REQUIRE(::pipe(from) == 0);
  Channel a{Fd(from[0]), Fd(to[1])};
  Channel b{Fd(to[0]), Fd(from[1])};
  Message m = sample();
  m.attachments.push_back(std::string(3 << 20, 'y'));
  Result<void> sent;
  std::thread sender([&] { sent = a.send(m, std::chrono::seconds(5)); });
  const Result<Message> got = b.receive(std::chrono::seconds(5));
  sender.join();
  REQUIRE(sent.ok());
  REQUIRE(got.ok());
  CHECK(got->attachments == m.attachments);
  const Result<void> unread = a.send(m, kShort);
  REQUIRE_FALSE(unread.ok());
  CHECK(unread.error().code == ErrorCode::busy);
}

TEST_CASE("a silent peer costs the deadline, a gone peer nothing") {
  auto ends = socket_pair();
  REQUIRE(ends.ok());
  Channel a(std::move(ends->first));
  Channel b(std::move(ends->second));
  const Result<Message> silent = a.receive(kShort);
  REQUIRE_FALSE(silent.ok());
  CHECK(silent.error().code == ErrorCode::busy);
  b.close();
  const Result<Message> gone = a.receive(std::chrono::seconds(60));
  REQUIRE_FALSE(gone.ok());
  CHECK(gone.error().code == ErrorCode::io);
  CHECK_FALSE(a.send(Json::object(), kShort).ok());
}

TEST_CASE("half a message followed by silence is a missed deadline") {
  auto ends = socket_pair();
  REQUIRE(ends.ok());
  const std::string bytes = encode_frame(sample());
  REQUIRE(::write(ends->second.get(), bytes.data(), bytes.size() / 2) > 0);
  Channel a(std::move(ends->first));
  const Result<Message> got = a.receive(kShort);
  REQUIRE_FALSE(got.ok());
  CHECK(got.error().code == ErrorCode::busy);
}
