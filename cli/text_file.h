// Whole text files: read one, or write one so that a reader never sees half of it.
#pragma once

#include "core/result.h"

#include <string>
#include <string_view>

namespace coppice::cli {

// Errors name the path and what the system said; `missing` when there is no such file.
Result<std::string> read_text_file(const std::string& path);
// Writes beside the path and renames. The folder must exist.
Result<void> write_text_file(const std::string& path, std::string_view text);

}  // namespace coppice::cli
