// Framed messages between the program, its device agents and their helper processes.
//
// Grammar, version 1 (little-endian):
//   frame      = "CPW1" u32:json_bytes u32:attachments u32:descriptors u64:attachment_bytes*
//                json attachment*
// The JSON is an object. Descriptors travel beside the bytes (SCM_RIGHTS) and only over sockets.
// Every length is checked against the limits before anything is allocated.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "core/units.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

struct WireLimits {
  std::uint64_t json_bytes = 64ULL << 20;
  std::uint32_t attachments = 4096;
  std::uint64_t attachment_bytes = 1ULL << 30;  // all of one message together
  std::uint32_t descriptors = 128;
};

struct Message {
  Json json;
  std::vector<std::string> attachments;
  std::vector<Fd> descriptors;
};

// Bytes of a message's frame, without its descriptors.
std::string encode_frame(const Message& message);

// Incremental decoder of untrusted bytes. After an error it stays failed.
class FrameDecoder {
 public:
  explicit FrameDecoder(WireLimits limits = {}) : limits_(limits) {}
  Result<void> feed(std::string_view bytes);  // errors: corrupt
  // Bytes that the decoder would like next (at least 1); a reader need not take more.
  std::size_t wanted() const;
  // The next complete message (without descriptors), if there is one; `descriptors` says how many
  // belong to it.
  std::optional<Message> take(std::uint32_t& descriptors);

 private:
  Result<void> advance();
  Result<void> read_head();

  WireLimits limits_;
  std::string buffer_;
  bool have_head_ = false;
  bool failed_ = false;
  std::uint32_t json_bytes_ = 0, attachments_ = 0, descriptors_ = 0;
  bool have_sizes_ = false;
  std::vector<std::uint64_t> sizes_;
  std::uint64_t body_bytes_ = 0;
  struct Ready {
    Message message;
    std::uint32_t descriptors;
  };
  std::deque<Ready> ready_;
};

// A two-way channel over one socket or a pair of pipes. Used by one thread at a time.
// Errors: io "closed" when the other side is gone, busy when the deadline passes, corrupt for
// anything that is not a frame.
class Channel {
 public:
  Channel() = default;
  Channel(Fd in, Fd out, WireLimits limits = {});  // two pipes
  explicit Channel(Fd socket, WireLimits limits = {});

  Result<void> send(const Message& message, Nanoseconds timeout);
  Result<void> send(Json json, Nanoseconds timeout);
  Result<Message> receive(Nanoseconds timeout);
  bool open() const { return static_cast<bool>(in_); }
  void close();
  int poll_fd() const { return in_.get(); }

 private:
  Result<void> read_some(Nanoseconds left);

  Fd in_, out_;  // a socket is in_ alone
  WireLimits limits_;
  FrameDecoder decoder_;
  std::string scratch_;  // what one read brought
  std::deque<Fd> received_;
};

// A connected pair of sockets, close-on-exec.
Result<std::pair<Fd, Fd>> socket_pair();

}  // namespace coppice::evaluators
