// Files that must be there after a crash: descriptors, whole-file reads, and fsync of file and
// folder.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::archive {

// "<path>: cannot <verb>: <system's reason>", with the ErrorCode that fits errno.
Error system_error(std::string_view path, std::string_view verb, int error_number);

// Owns a file descriptor; closed on exec and on destruction.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  // `flags` as open(2); O_CLOEXEC is added.
  static Result<FileDescriptor> open(const std::string& path, int flags, unsigned mode = 0644);
  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }
  int release() noexcept;

 private:
  int fd_ = -1;
};

// Writes everything, or says why not; `path` is for the message.
Result<void> write_all(const FileDescriptor& file, std::string_view bytes, std::string_view path);
Result<void> sync_file(const FileDescriptor& file, std::string_view path);
// Makes the names in a folder durable (after create, rename, remove).
Result<void> sync_directory(const std::string& path);

bool exists(const std::string& path);  // false also for a dangling link
Result<std::uint64_t> file_size(const std::string& path);
Result<std::string> read_file(const std::string& path, std::uint64_t limit);
// Old content or new content, never a mix: written beside, synced, renamed, folder synced.
Result<void> replace_file(const std::string& path, std::string_view bytes);
Result<void> make_directories(const std::string& path);
// Removes a folder with all that is in it; a path that is not there is fine.
Result<void> remove_tree(const std::string& path);
// Names in a folder, sorted; without "." and "..".
Result<std::vector<std::string>> list_directory(const std::string& path);

}  // namespace coppice::archive
