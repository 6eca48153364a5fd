// Reads a whole file, unpacking it when it is gzip.
#pragma once

#include "core/result.h"

#include <string>

namespace coppice::evaluators {

// Refused: a file that unpacks to more than `most` bytes, or whose gzip stream is damaged.
Result<std::string> read_maybe_gzip(const std::string& path, std::size_t most = 2U << 30U);

}  // namespace coppice::evaluators
