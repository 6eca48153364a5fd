// Reads and writes whole files.
#include "cli/text_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace coppice::cli {
namespace {

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

ErrorCode code_of(int number) {
  return number == ENOENT || number == ENOTDIR ? ErrorCode::missing : ErrorCode::io;
}

Error system_error(const std::string& path, const char* action) {
  const int number = errno;
  return Error{code_of(number), path + ": " + action + ": " + std::strerror(number)};
}

}  // namespace

Result<std::string> read_text_file(const std::string& path) {
  const File file(std::fopen(path.c_str(), "rb"));
  struct stat status {};
  if (!file || ::fstat(::fileno(file.get()), &status) != 0) {
    return system_error(path, "can't read");
  }
  if (S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::config, path + ": expected a file, found a folder"};
  }
  std::string text;
  char buffer[65536];
  std::size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
    text.append(buffer, got);
  }
  if (std::ferror(file.get()) != 0) {
    return system_error(path, "can't read");
  }
  return text;
}

Result<void> write_text_file(const std::string& path, std::string_view text) {
  const std::string beside = path + ".part" + std::to_string(::getpid());
  {
    File file(std::fopen(beside.c_str(), "wb"));
    if (!file) {
      return system_error(path, "can't write");
    }
    const bool written = std::fwrite(text.data(), 1, text.size(), file.get()) == text.size();
    std::FILE* raw = file.release();
    if (std::fclose(raw) != 0 || !written) {
      const Error error = system_error(path, "can't write");
      ::unlink(beside.c_str());
      return error;
    }
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return system_error(path, "can't write");
  }
  return {};
}

}  // namespace coppice::cli
