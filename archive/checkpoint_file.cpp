// CheckpointFile: {count, head} of the log in a second place.
#include "archive/checkpoint_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace coppice::archive {

namespace {

constexpr std::uint64_t kMaxFile = 1ULL << 30U;

std::string check_of(std::string_view body) {
  static constexpr std::string_view kTag("coppice-checkpoint-1\0", 21);
  return sha256(std::string(kTag) + std::string(body)).hex().substr(0, 16);
}

// Cuts the next space-separated word off the front.
std::string_view next_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

template <class T>
bool read_number(std::string_view word, T& out) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  return error == std::errc() && end == word.data() + word.size() && !word.empty();
}

std::optional<Checkpoint> parse_line(std::string_view line) {
  Checkpoint out;
  std::string_view rest = line;
  std::int64_t when = 0;
  const bool has_count = read_number(next_word(rest), out.count);
  const auto head = Digest::from_hex(next_word(rest));
  const bool has_when = read_number(next_word(rest), when);
  if (!has_count || !head.ok() || !has_when || rest.size() != 16) {
    return std::nullopt;
  }
  out.head = head.value();
  out.when = Nanoseconds(when);
  // Exactly the bytes that we would write: no second spelling of the same checkpoint.
  if (checkpoint_line(out) != std::string(line) + "\n") {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::string checkpoint_line(const Checkpoint& checkpoint) {
  const std::string body = std::to_string(checkpoint.count) + " " + checkpoint.head.hex() + " " +
                           std::to_string(checkpoint.when.count());
  return body + " " + check_of(body) + "\n";
}

Result<void> CheckpointFile::create(const std::string& path) {
  return replace_file(path, kCheckpointHeader);
}

Result<CheckpointFile> CheckpointFile::open(const std::string& path) {
  COPPICE_TRY(const std::string text, read_file(path, kMaxFile));
  COPPICE_TRY(FileDescriptor file, FileDescriptor::open(path, O_WRONLY | O_APPEND));
  const std::size_t whole = text.rfind('\n') + 1;  // npos + 1 == 0
  if (whole < text.size() && ::ftruncate(file.get(), static_cast<off_t>(whole)) != 0) {
    return system_error(path, "shorten", errno);
  }
  return CheckpointFile(std::move(file), path);
}

Result<void> CheckpointFile::append(const Checkpoint& checkpoint, bool sync) {
  COPPICE_TRY_VOID(write_all(file_, checkpoint_line(checkpoint), path_));
  return sync ? sync_file(file_, path_) : Result<void>();
}

Result<std::vector<Checkpoint>> parse_checkpoints(std::string_view text, std::string_view name) {
  if (!text.starts_with(kCheckpointHeader)) {
    return Error{ErrorCode::corrupt,
                 std::string(name) + ":1: expected \"coppice-checkpoints 1\", found " +
                     (text.empty() ? "nothing" : "something else")};
  }
  text.remove_prefix(kCheckpointHeader.size());
  std::vector<Checkpoint> out;
  for (std::size_t line = 2; text.find('\n') != std::string_view::npos; ++line) {
    const std::size_t end = text.find('\n');
    const auto checkpoint = parse_line(text.substr(0, end));
    if (!checkpoint || (!out.empty() && checkpoint->count < out.back().count)) {
      return Error{ErrorCode::corrupt,
                   std::string(name) + ":" + std::to_string(line) +
                       (checkpoint ? ": count falls" : ": damaged checkpoint")};
    }
    out.push_back(*checkpoint);
    text.remove_prefix(end + 1);
  }
  return out;
}

Result<std::vector<Checkpoint>> read_checkpoints(const std::string& path) {
  COPPICE_TRY(const std::string text, read_file(path, kMaxFile));
  return parse_checkpoints(text, path);
}

}  // namespace coppice::archive
