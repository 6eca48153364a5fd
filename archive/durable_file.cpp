// Files that must be there after a crash.
#include "archive/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace coppice::archive {

namespace {

// generic_category() instead of strerror(): safe to call from any thread.
std::string reason(int error_number) {
  return std::generic_category().message(error_number);
}

std::string parent_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace

Error system_error(std::string_view path, std::string_view verb, int error_number) {
  const ErrorCode code = error_number == ENOENT        ? ErrorCode::missing
                         : error_number == EWOULDBLOCK ? ErrorCode::busy
                                                       : ErrorCode::io;
  std::string hint;
  if (error_number == EROFS || error_number == EACCES || error_number == EPERM) {
    hint = " (the archive is read-only here)";
  } else if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG) {
    hint = " (free space, then go on)";
  }
  return Error{
      code,
      std::string(path) + ": cannot " + std::string(verb) + ": " + reason(error_number) + hint};
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) {
      ::close(fd_);
    }
    fd_ = other.release();
  }
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

int FileDescriptor::release() noexcept {
  return std::exchange(fd_, -1);
}

Result<FileDescriptor> FileDescriptor::open(const std::string& path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    return system_error(path, "open", errno);
  }
  return FileDescriptor(fd);
}

Result<void> write_all(const FileDescriptor& file, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::write(file.get(), bytes.data(), bytes.size());
    if (wrote < 0) {
      if (errno == EINTR) {
        continue;
      }
      return system_error(path, "write", errno);
    }
    if (wrote == 0) {
      return system_error(path, "write", ENOSPC);
    }
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

Result<void> sync_file(const FileDescriptor& file, std::string_view path) {
  // Not retried: after a failed fsync the kernel may have dropped the pages and report success.
  if (::fsync(file.get()) != 0) {
    return system_error(path, "sync", errno);
  }
  return {};
}

Result<void> sync_directory(const std::string& path) {
  COPPICE_TRY(FileDescriptor directory, FileDescriptor::open(path, O_RDONLY | O_DIRECTORY));
  return sync_file(directory, path);
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

Result<std::uint64_t> file_size(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return system_error(path, "read", errno);
  }
  return static_cast<std::uint64_t>(status.st_size);
}

Result<std::string> read_file(const std::string& path, std::uint64_t limit) {
  COPPICE_TRY(FileDescriptor file, FileDescriptor::open(path, O_RDONLY));
  std::string out;
  std::string chunk(1U << 16U, '\0');
  while (true) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      return system_error(path, "read", errno);
    }
    if (got == 0) {
      return out;
    }
    out.append(chunk, 0, static_cast<std::size_t>(got));
    if (out.size() > limit) {
      return Error{ErrorCode::corrupt,
                   path + ": expected at most " + std::to_string(limit) + " bytes, found more"};
    }
  }
}

Result<void> replace_file(const std::string& path, std::string_view bytes) {
  const std::string beside = path + ".new";
  {
    COPPICE_TRY(FileDescriptor file, FileDescriptor::open(beside, O_WRONLY | O_CREAT | O_TRUNC));
    COPPICE_TRY_VOID(write_all(file, bytes, beside));
    COPPICE_TRY_VOID(sync_file(file, beside));
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    return system_error(path, "replace", errno);
  }
  return sync_directory(parent_of(path));
}

Result<void> make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return system_error(path, "create", error.value());
  }
  return {};
}

Result<void> remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) {
    return system_error(path, "remove", error.value());
  }
  return {};
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator it(path, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) {
    return system_error(path, "list", error.value());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace coppice::archive
