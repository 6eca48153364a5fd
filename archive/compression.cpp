// Texts made small.
#include "archive/compression.h"

#include <zstd.h>

#include <memory>

namespace coppice::archive {

namespace {
constexpr int kBlobLevel = 3;
}  // namespace

std::string compress(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  // One context a thread: creating it costs more than compressing a kernel's source.
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                                  &ZSTD_freeCCtx);
  COPPICE_CHECK(context != nullptr);
  const std::size_t size = ZSTD_compressCCtx(
      context.get(), out.data(), out.size(), bytes.data(), bytes.size(), kBlobLevel);
  COPPICE_CHECK(ZSTD_isError(size) == 0U);
  out.resize(size);
  return out;
}

Result<std::string> decompress(std::string_view frame, std::uint64_t size) {
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size) {
    return Error{ErrorCode::corrupt,
                 "compressed text: expected " + std::to_string(size) + " bytes, frame says other"};
  }
  std::string out(size, '\0');
  const std::size_t got = ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(got) != 0U || got != size) {
    return Error{ErrorCode::corrupt,
                 std::string("compressed text: ") +
                     (ZSTD_isError(got) != 0U ? ZSTD_getErrorName(got) : "too short")};
  }
  return out;
}

}  // namespace coppice::archive
