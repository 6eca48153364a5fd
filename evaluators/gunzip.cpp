// Unpacking through zlib, which passes plain files through unchanged.
#include "evaluators/gunzip.h"

#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace coppice::evaluators {

Result<std::string> read_maybe_gzip(const std::string& path, std::size_t most) {
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };
  errno = 0;
  const std::unique_ptr<gzFile_s, Close> file(gzopen(path.c_str(), "rb"));
  if (!file) {
    const bool absent = errno == ENOENT;
    return Error{absent ? ErrorCode::missing : ErrorCode::io,
                 path + ": can't be opened: " + std::strerror(errno)};
  }
  std::string out;
  std::string chunk(1U << 18U, '\0');
  while (true) {
    const int got = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    if (got < 0) {
      int code = 0;
      const char* why = gzerror(file.get(), &code);
      return Error{ErrorCode::corrupt, path + ": can't be unpacked: " + why};
    }
    if (got == 0) {
      break;
    }
    out.append(chunk, 0, static_cast<std::size_t>(got));
    if (out.size() > most) {
      return Error{ErrorCode::config,
                   path + ": expected at most " + std::to_string(most) + " bytes, found more"};
    }
  }
  int code = Z_OK;
  gzerror(file.get(), &code);
  if (code != Z_OK && code != Z_STREAM_END) {
    return Error{ErrorCode::corrupt, path + ": the gzip stream ends too early"};
  }
  return out;
}

}  // namespace coppice::evaluators
