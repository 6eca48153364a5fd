// Texts made small: zstd with limits on what comes out.
#pragma once

#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace coppice::archive {

// One zstd frame that knows its content size.
std::string compress(std::string_view bytes);
// The content; corrupt unless it has exactly `size` bytes. Nothing larger is ever allocated.
Result<std::string> decompress(std::string_view frame, std::uint64_t size);

}  // namespace coppice::archive
