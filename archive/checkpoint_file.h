// CheckpointFile: {count, head} of the log in a second place, so that a shortened, swapped or
// recomputed tail shows.
#pragma once

#include "archive/durable_file.h"
#include "core/digest.h"
#include "core/result.h"
#include "core/units.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::archive {

struct Checkpoint {
  std::uint64_t count = 0;  // committed events at that moment
  Digest head;              // chain of the last of them; zero when count is 0
  Nanoseconds when{};       // wall clock, for people
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// Grammar, version 1: the line "coppice-checkpoints 1", then one line a checkpoint:
//   <count> SP <head, 64 hex> SP <nanoseconds since the epoch> SP <check, 16 hex> LF
// check = first 8 bytes of SHA-256 over the line before the second-last SP, with a domain tag.
// Counts never fall. Bytes after the last LF are a torn write and mean nothing.
class CheckpointFile {
 public:
  static Result<void> create(const std::string& path);  // header only, durable
  // For appending; cuts off a torn tail.
  static Result<CheckpointFile> open(const std::string& path);

  // Durable only with `sync` (survives a killed process either way).
  Result<void> append(const Checkpoint& checkpoint, bool sync);
  Result<void> sync() { return sync_file(file_, path_); }

 private:
  CheckpointFile(FileDescriptor file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}
  FileDescriptor file_;
  std::string path_;
};

// All checkpoints in order. Errors: corrupt with the line's number; missing.
Result<std::vector<Checkpoint>> read_checkpoints(const std::string& path);
Result<std::vector<Checkpoint>> parse_checkpoints(std::string_view text, std::string_view name);
std::string checkpoint_line(const Checkpoint& checkpoint);
inline constexpr std::string_view kCheckpointHeader = "coppice-checkpoints 1\n";

}  // namespace coppice::archive
