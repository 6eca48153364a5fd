// Reads an operation's folder into memory and gives it its identity.
#pragma once

#include "core/digest.h"
#include "core/result.h"

#include <map>
#include <string>

namespace coppice::experiments {

using FileMap = std::map<std::string, std::string, std::less<>>;

// All regular files below `folder`, by relative path. Left out: hidden names, editor backups
// ("x~"), build products (.o, .so) and Python caches. Errors: missing, not a folder, unreadable,
// files that are too large to be an operation.
Result<FileMap> read_op_files(const std::string& folder);

// The headers that sources may include, as this program was built with: "include/coppice_cpu.h", …
const FileMap& built_in_headers();

// SHA-256 of the canonical JSON {relative path: digest of its text}.
Digest digest_of(const FileMap& files);

}  // namespace coppice::experiments
