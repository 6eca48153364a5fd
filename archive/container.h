// The container of `coppice archive pack`: files in one file, with digests, for strangers to send
// us.
#pragma once

#include "core/digest.h"
#include "core/json.h"
#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::archive {

struct PackedFile {
  std::string path;  // relative, "/" between parts
  std::uint64_t size = 0;
  Digest digest;
};

// Grammar, version 1:
//   "COPPICE-PACK 1" LF
//   length of the manifest, decimal LF
//   SHA-256 of the manifest, 64 hex LF
//   the manifest: JSON {"files":[{"path","size","sha256"}],"about":{..}} LF
//   one zstd stream: the files' bytes, one after the other, in the manifest's order
// Nothing follows. A reader trusts no byte: paths are relative, without "." and ".." and empty
// parts; at most kMaxPackedFiles files; nothing beyond the declared sizes is ever written.
inline constexpr std::string_view kPackMagic = "COPPICE-PACK 1\n";
inline constexpr std::size_t kMaxPackedFiles = 10'000;
inline constexpr std::uint64_t kMaxManifest = 16ULL << 20U;

// Writes the named files of `folder` (relative paths) and `about` into a new file; refuses to
// overwrite. The file appears under its name only when it is whole and synced.
Result<void> write_container(const std::string& path,
                             const std::string& folder,
                             const std::vector<std::string>& names,
                             const Json& about);

struct ContainerManifest {
  std::vector<PackedFile> files;
  Json about;
  std::uint64_t content_at = 0;  // where the zstd stream begins
};

Result<ContainerManifest> read_manifest(const std::string& path);
// Writes all files below `folder`, which must be empty, and checks each digest. On an error, what
// was written so far is the caller's to remove. `limit`: bytes in all.
Result<ContainerManifest> read_container(const std::string& path,
                                         const std::string& folder,
                                         std::uint64_t limit);

bool is_safe_relative_path(std::string_view path);

}  // namespace coppice::archive
