// Framing and its decoder, and the channel that moves frames over descriptors with deadlines.

#include "evaluators/wire.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace coppice::evaluators {
namespace {

constexpr std::string_view kMagic = "CPW1";
constexpr std::size_t kHead = 16;

void put32(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) {
    out.push_back(static_cast<char>((value >> shift) & 0xff));
  }
}
void put64(std::string& out, std::uint64_t value) {
  put32(out, static_cast<std::uint32_t>(value));
  put32(out, static_cast<std::uint32_t>(value >> 32));
}
std::uint32_t get32(std::string_view bytes, std::size_t at) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    out |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return out;
}
std::uint64_t get64(std::string_view bytes, std::size_t at) {
  return get32(bytes, at) | (static_cast<std::uint64_t>(get32(bytes, at + 4)) << 32);
}

Error corrupt(std::string message) {
  return {ErrorCode::corrupt, "message: " + std::move(message)};
}

Nanoseconds now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return Nanoseconds(static_cast<std::int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec);
}

// Waits for `events`; errors: busy when the time is up.
Result<void> wait_for(int fd, short events, Nanoseconds deadline) {
  while (true) {
    const Nanoseconds left = deadline - now();
    if (left.count() <= 0) {
      return Error{ErrorCode::busy, "no answer in time"};
    }
    pollfd item{fd, events, 0};
    const auto ms = std::min<std::int64_t>(left.count() / 1000000 + 1, 1000);
    const int n = ::poll(&item, 1, static_cast<int>(ms));
    if (n > 0) {
      return {};
    }
    if (n < 0 && errno != EINTR) {
      return Error{ErrorCode::io, fmt::format("poll: {}", std::strerror(errno))};
    }
  }
}

// A write of more than PIPE_BUF bytes to a pipe would wait for the reader, past any deadline.
void never_block(int fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) == 0 && S_ISFIFO(facts.st_mode)) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
}

ssize_t send_with_descriptors(int fd, std::string_view bytes, const std::vector<Fd>& descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr head{};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(sizeof(int) * descriptors.size()));
  if (!descriptors.empty()) {
    head.msg_control = control.data();
    head.msg_controllen = control.size();
    cmsghdr* item = CMSG_FIRSTHDR(&head);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    for (std::size_t i = 0; i < descriptors.size(); ++i) {
      const int raw = descriptors[i].get();
      std::memcpy(CMSG_DATA(item) + i * sizeof(int), &raw, sizeof(int));
    }
  }
  return ::sendmsg(fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void collect_descriptors(msghdr& head, std::deque<Fd>& into) {
  for (cmsghdr* item = CMSG_FIRSTHDR(&head); item != nullptr; item = CMSG_NXTHDR(&head, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int raw = -1;
      std::memcpy(&raw, CMSG_DATA(item) + i * sizeof(int), sizeof(int));
      into.emplace_back(raw);
    }
  }
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Fd::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void Fd::reset() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

std::string encode_frame(const Message& message) {
  const std::string json = message.json.dump();
  std::string out(kMagic);
  put32(out, static_cast<std::uint32_t>(json.size()));
  put32(out, static_cast<std::uint32_t>(message.attachments.size()));
  put32(out, static_cast<std::uint32_t>(message.descriptors.size()));
  for (const std::string& attachment : message.attachments) {
    put64(out, attachment.size());
  }
  out += json;
  for (const std::string& attachment : message.attachments) {
    out += attachment;
  }
  return out;
}

Result<void> FrameDecoder::feed(std::string_view bytes) {
  if (failed_) {
    return corrupt("earlier bytes were not a frame");
  }
  buffer_.append(bytes);
  while (true) {
    const std::size_t before = ready_.size();
    if (Result<void> step = advance(); !step.ok()) {
      failed_ = true;
      buffer_.clear();
      return step;
    }
    if (ready_.size() == before) {
      return {};
    }
  }
}

std::size_t FrameDecoder::wanted() const {
  const std::size_t need = !have_head_    ? kHead
                           : !have_sizes_ ? 8ULL * attachments_
                                          : static_cast<std::size_t>(body_bytes_);
  return std::max<std::size_t>(1, need > buffer_.size() ? need - buffer_.size() : 1);
}

Result<void> FrameDecoder::read_head() {
  const std::size_t check = std::min(buffer_.size(), kMagic.size());
  if (std::string_view(buffer_).substr(0, check) != kMagic.substr(0, check)) {
    return corrupt("does not start with CPW1");
  }
  if (buffer_.size() < kHead) {
    return {};
  }
  json_bytes_ = get32(buffer_, 4);
  attachments_ = get32(buffer_, 8);
  descriptors_ = get32(buffer_, 12);
  if (json_bytes_ > limits_.json_bytes || attachments_ > limits_.attachments ||
      descriptors_ > limits_.descriptors) {
    return corrupt(fmt::format("{} bytes of JSON, {} attachments, {} descriptors: over the limits",
                               json_bytes_,
                               attachments_,
                               descriptors_));
  }
  buffer_.erase(0, kHead);
  have_head_ = true;
  return {};
}

Result<void> FrameDecoder::advance() {
  if (!have_head_) {
    COPPICE_TRY_VOID(read_head());
    if (!have_head_) {
      return {};
    }
  }
  if (!have_sizes_) {
    if (buffer_.size() < 8ULL * attachments_) {
      return {};
    }
    sizes_.clear();
    std::uint64_t total = 0;
    for (std::uint32_t i = 0; i < attachments_; ++i) {
      const std::uint64_t size = get64(buffer_, 8ULL * i);
      if (size > limits_.attachment_bytes || total + size > limits_.attachment_bytes) {
        return corrupt(fmt::format("attachments over {} bytes", limits_.attachment_bytes));
      }
      total += size;
      sizes_.push_back(size);
    }
    buffer_.erase(0, 8ULL * attachments_);
    body_bytes_ = json_bytes_ + total;
    have_sizes_ = true;
  }
  if (buffer_.size() < body_bytes_) {
    return {};
  }
  COPPICE_TRY(Json json, Json::parse(std::string_view(buffer_).substr(0, json_bytes_), "message"));
  if (!json.reader("message").is_object()) {
    return corrupt("not an object");
  }
  Ready ready;
  ready.message.json = std::move(json);
  ready.descriptors = descriptors_;
  std::size_t at = json_bytes_;
  for (const std::uint64_t size : sizes_) {
    ready.message.attachments.push_back(buffer_.substr(at, size));
    at += size;
  }
  buffer_.erase(0, at);
  have_head_ = have_sizes_ = false;
  ready_.push_back(std::move(ready));
  return {};
}

std::optional<Message> FrameDecoder::take(std::uint32_t& descriptors) {
  if (ready_.empty()) {
    return std::nullopt;
  }
  Ready ready = std::move(ready_.front());
  ready_.pop_front();
  descriptors = ready.descriptors;
  return std::move(ready.message);
}

Channel::Channel(Fd in, Fd out, WireLimits limits)
    : in_(std::move(in)), out_(std::move(out)), limits_(limits), decoder_(limits) {
  never_block(out_.get());
}

Channel::Channel(Fd socket, WireLimits limits)
    : in_(std::move(socket)), limits_(limits), decoder_(limits) {}

void Channel::close() {
  in_.reset();
  out_.reset();
  received_.clear();
  decoder_ = FrameDecoder(limits_);
}

Result<void> Channel::send(Json json, Nanoseconds timeout) {
  Message message;
  message.json = std::move(json);
  return send(message, timeout);
}

Result<void> Channel::send(const Message& message, Nanoseconds timeout) {
  if (!in_) {
    return Error{ErrorCode::io, "closed"};
  }
  const Nanoseconds deadline = now() + timeout;
  const std::string frame = encode_frame(message);
  const int fd = out_ ? out_.get() : in_.get();
  std::size_t sent = 0;
  while (sent < frame.size()) {
    COPPICE_TRY_VOID(wait_for(fd, POLLOUT, deadline));
    const std::string_view rest = std::string_view(frame).substr(sent);
    static const std::vector<Fd> kNone;
    const ssize_t n =
        out_ ? ::write(fd, rest.data(), rest.size())
             : send_with_descriptors(fd, rest, sent == 0 ? message.descriptors : kNone);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno != EINTR && errno != EAGAIN) {
      return Error{ErrorCode::io, fmt::format("closed: {}", std::strerror(errno))};
    }
  }
  return {};
}

Result<void> Channel::read_some(Nanoseconds deadline) {
  COPPICE_TRY_VOID(wait_for(in_.get(), POLLIN, deadline));
  const std::size_t most = std::clamp<std::size_t>(decoder_.wanted(), 1, 1 << 20);
  scratch_.resize(std::max(scratch_.size(), most));
  ssize_t n = 0;
  if (out_) {
    n = ::read(in_.get(), scratch_.data(), most);
  } else {
    iovec part{scratch_.data(), most};
    std::vector<char> control(CMSG_SPACE(sizeof(int) * 128));
    msghdr head{};
    head.msg_iov = &part;
    head.msg_iovlen = 1;
    head.msg_control = control.data();
    head.msg_controllen = control.size();
    n = ::recvmsg(in_.get(), &head, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n >= 0) {
      collect_descriptors(head, received_);
    }
  }
  if (n == 0) {
    return Error{ErrorCode::io, "closed"};
  }
  if (n < 0) {
    return errno == EINTR || errno == EAGAIN
               ? Result<void>()
               : Error{ErrorCode::io, fmt::format("closed: {}", std::strerror(errno))};
  }
  return decoder_.feed(std::string_view(scratch_).substr(0, static_cast<std::size_t>(n)));
}

Result<Message> Channel::receive(Nanoseconds timeout) {
  const Nanoseconds deadline = now() + timeout;
  while (true) {
    std::uint32_t descriptors = 0;
    if (std::optional<Message> message = decoder_.take(descriptors)) {
      if (received_.size() < descriptors) {
        return corrupt("descriptors are missing");
      }
      for (std::uint32_t i = 0; i < descriptors; ++i) {
        message->descriptors.push_back(std::move(received_.front()));
        received_.pop_front();
      }
      return std::move(*message);
    }
    if (!in_) {
      return Error{ErrorCode::io, "closed"};
    }
    COPPICE_TRY_VOID(read_some(deadline));
  }
}

Result<std::pair<Fd, Fd>> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Error{ErrorCode::environment, fmt::format("socketpair: {}", std::strerror(errno))};
  }
  return std::pair<Fd, Fd>(Fd(ends[0]), Fd(ends[1]));
}

}  // namespace coppice::evaluators
