// The container of `coppice archive pack`.
#include "archive/container.h"

#include "archive/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <memory>
#include <set>

namespace coppice::archive {

namespace {

constexpr std::size_t kChunk = 1U << 17U;
constexpr int kContainerLevel = 9;
constexpr std::size_t kMaxPath = 1000;

struct FreeStream {
  void operator()(ZSTD_CStream* stream) const noexcept { ZSTD_freeCStream(stream); }
  void operator()(ZSTD_DStream* stream) const noexcept { ZSTD_freeDStream(stream); }
};

Error damaged(const std::string& path, std::string_view what) {
  return Error{ErrorCode::corrupt, fmt::format("{}: {}", path, what)};
}

// Compresses what it is given into a file.
class Squeezer {
 public:
  Squeezer(const FileDescriptor& file, const std::string& path)
      : file_(file), path_(path), stream_(ZSTD_createCStream()), out_(kChunk, '\0') {
    COPPICE_CHECK(stream_ != nullptr);
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_compressionLevel, kContainerLevel);
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_checksumFlag, 1);
  }
  Result<void> add(std::string_view bytes, bool last) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    while (true) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const std::size_t left =
          ZSTD_compressStream2(stream_.get(), &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0U) {
        return Error{ErrorCode::io, fmt::format("{}: {}", path_, ZSTD_getErrorName(left))};
      }
      COPPICE_TRY_VOID(write_all(file_, std::string_view(out_.data(), out.pos), path_));
      if (last ? left == 0 : in.pos == in.size) {
        return {};
      }
    }
  }

 private:
  const FileDescriptor& file_;
  const std::string& path_;
  std::unique_ptr<ZSTD_CStream, FreeStream> stream_;
  std::string out_;
};

Result<std::size_t> read_some(const FileDescriptor& file,
                              std::string& buffer,
                              const std::string& path) {
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got >= 0) {
      return static_cast<std::size_t>(got);
    }
    if (errno != EINTR) {
      return system_error(path, "read", errno);
    }
  }
}

// Gives the stream's bytes in pieces of the caller's size.
class Unsqueezer {
 public:
  Unsqueezer(const FileDescriptor& file, const std::string& path)
      : file_(file), path_(path), stream_(ZSTD_createDStream()), buffer_(kChunk, '\0') {
    COPPICE_CHECK(stream_ != nullptr);
  }
  // Fills `out` up to its size; fewer bytes only at the end of the stream.
  Result<std::size_t> take(char* out, std::size_t size) {
    ZSTD_outBuffer to{out, size, 0};
    while (to.pos < size && !ended_) {
      if (in_.pos == in_.size) {
        COPPICE_TRY(const std::size_t got, read_some(file_, buffer_, path_));
        if (got == 0) {
          return damaged(path_, "cut off");
        }
        in_ = {buffer_.data(), got, 0};
      }
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &to, &in_);
      if (ZSTD_isError(left) != 0U) {
        return damaged(path_, fmt::format("damaged content: {}", ZSTD_getErrorName(left)));
      }
      ended_ = left == 0;
    }
    return to.pos;
  }
  // After the last file: the stream must end here, and the file with it.
  Result<void> expect_end() {
    char extra = 0;
    COPPICE_TRY(const std::size_t more, take(&extra, 1));
    if (more != 0 || in_.pos != in_.size) {
      return damaged(path_, "more content than its manifest says");
    }
    COPPICE_TRY(const std::size_t behind, read_some(file_, buffer_, path_));
    return behind == 0 ? Result<void>() : damaged(path_, "bytes behind its end");
  }

 private:
  const FileDescriptor& file_;
  const std::string& path_;
  std::unique_ptr<ZSTD_DStream, FreeStream> stream_;
  std::string buffer_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool ended_ = false;
};

// Mapped, not read: a log may be larger than memory. Only for files that nobody else writes.
Result<Digest> digest_of_file(const std::string& path) {
  COPPICE_TRY(const std::uint64_t size, file_size(path));
  if (size == 0) {
    return sha256("");
  }
  COPPICE_TRY(const FileDescriptor file, FileDescriptor::open(path, O_RDONLY));
  void* bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (bytes == MAP_FAILED) {
    return system_error(path, "read", errno);
  }
  const Digest out = sha256(std::string_view(static_cast<const char*>(bytes), size));
  ::munmap(bytes, size);
  return out;
}

Result<Json> manifest_of(const std::string& folder,
                         const std::vector<std::string>& names,
                         const Json& about) {
  Json files = Json::array();
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    COPPICE_TRY(const std::uint64_t size, file_size(path));
    COPPICE_TRY(const Digest digest, digest_of_file(path));
    files.push(Json::object().set("path", name).set("size", size).set("sha256", digest.hex()));
  }
  return Json::object().set("files", std::move(files)).set("about", about);
}

Result<PackedFile> packed_file(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"path", "size", "sha256"}));
  PackedFile out;
  COPPICE_TRY(const JsonReader path, json.at("path"));
  COPPICE_TRY(out.path, path.text());
  if (!is_safe_relative_path(out.path)) {
    return path.error("a plain relative path");
  }
  COPPICE_TRY(const JsonReader size, json.at("size"));
  COPPICE_TRY(out.size, size.unsigned_integer());
  COPPICE_TRY(const JsonReader digest, json.at("sha256"));
  COPPICE_TRY(const std::string hex, digest.text());
  COPPICE_TRY(out.digest, Digest::from_hex(hex));
  return out;
}

Result<ContainerManifest> parse_manifest(std::string_view text, const std::string& path) {
  COPPICE_TRY(const Json json, Json::parse(text, path));
  const JsonReader reader = json.reader(path);
  ContainerManifest out;
  COPPICE_TRY(const JsonReader about, reader.at("about"));
  out.about = about.copy();
  COPPICE_TRY(const JsonReader files, reader.at("files"));
  COPPICE_TRY(const auto items, files.items());
  if (items.size() > kMaxPackedFiles) {
    return files.error(fmt::format("at most {} files", kMaxPackedFiles));
  }
  std::set<std::string> seen;
  for (const JsonReader& item : items) {
    COPPICE_TRY(PackedFile file, packed_file(item));
    if (!seen.insert(file.path).second) {
      return item.complain("the same path twice: " + file.path);
    }
    out.files.push_back(std::move(file));
  }
  return out;
}

// Cuts a line off the front; nothing when there is none within `limit` bytes.
std::optional<std::string_view> next_line(std::string_view& rest, std::size_t limit) {
  const std::size_t end = rest.substr(0, limit).find('\n');
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

// One file of the content: written, digested, synced.
Result<void> unpack_file(Unsqueezer& content, const PackedFile& file, const std::string& folder) {
  const std::string path = folder + "/" + file.path;
  const auto parent = std::filesystem::path(path).parent_path().string();
  COPPICE_TRY_VOID(make_directories(parent));
  COPPICE_TRY(FileDescriptor out,
              FileDescriptor::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW));
  std::string chunk(kChunk, '\0');
  for (std::uint64_t left = file.size; left > 0;) {
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(left, kChunk));
    COPPICE_TRY(const std::size_t got, content.take(chunk.data(), want));
    if (got < want) {
      return damaged(file.path, "shorter than its manifest says");
    }
    COPPICE_TRY_VOID(write_all(out, std::string_view(chunk.data(), got), path));
    left -= got;
  }
  COPPICE_TRY_VOID(sync_file(out, path));
  COPPICE_TRY(const Digest digest, digest_of_file(path));
  if (digest != file.digest) {
    return damaged(file.path, "its digest is not the one in the manifest");
  }
  return sync_directory(parent);
}

}  // namespace

bool is_safe_relative_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath) {
    return false;
  }
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
  };
  if (!std::ranges::all_of(path, plain)) {
    return false;
  }
  while (true) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (part.empty() || part == "." || part == ".." || part.size() > 200) {
      return false;
    }
    if (end == path.size()) {
      return true;
    }
    path.remove_prefix(end + 1);
  }
}

Result<void> write_container(const std::string& path,
                             const std::string& folder,
                             const std::vector<std::string>& names,
                             const Json& about) {
  COPPICE_TRY(const Json manifest, manifest_of(folder, names, about));
  const std::string text = manifest.dump();
  const std::string beside = path + ".new";
  if (exists(path)) {
    return Error{ErrorCode::config, path + ": expected no file, found one"};
  }
  COPPICE_TRY(FileDescriptor file, FileDescriptor::open(beside, O_WRONLY | O_CREAT | O_TRUNC));
  COPPICE_TRY_VOID(
      write_all(file,
                fmt::format("{}{}\n{}\n{}\n", kPackMagic, text.size(), sha256(text).hex(), text),
                beside));
  Squeezer squeezer(file, beside);
  std::string chunk(kChunk, '\0');
  for (const std::string& name : names) {
    const std::string from = folder + "/" + name;
    COPPICE_TRY(const FileDescriptor in, FileDescriptor::open(from, O_RDONLY));
    while (true) {
      COPPICE_TRY(const std::size_t got, read_some(in, chunk, from));
      if (got == 0) {
        break;
      }
      COPPICE_TRY_VOID(squeezer.add(std::string_view(chunk.data(), got), false));
    }
  }
  COPPICE_TRY_VOID(squeezer.add("", true));
  COPPICE_TRY_VOID(sync_file(file, beside));
  if (::renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    return errno == EEXIST ? Error{ErrorCode::config, path + ": expected no file, found one"}
                           : system_error(path, "create", errno);
  }
  const auto parent = std::filesystem::path(path).parent_path().string();
  return sync_directory(parent.empty() ? "." : parent);
}

Result<ContainerManifest> read_manifest(const std::string& path) {
  COPPICE_TRY(const FileDescriptor file, FileDescriptor::open(path, O_RDONLY));
  constexpr std::size_t kHead = 128;
  const auto fill = [&](std::string& text, std::size_t size) -> Result<void> {
    std::string chunk(kChunk, '\0');
    while (text.size() < size) {
      COPPICE_TRY(const std::size_t got, read_some(file, chunk, path));
      if (got == 0) {
        return {};
      }
      text.append(chunk, 0, got);
    }
    return {};
  };
  std::string text;
  COPPICE_TRY_VOID(fill(text, kHead));
  std::string_view rest = text;
  if (!rest.starts_with(kPackMagic)) {
    const bool newer = rest.starts_with("COPPICE-PACK ");
    return Error{newer ? ErrorCode::environment : ErrorCode::corrupt,
                 path + (newer ? ": written by a newer coppice; update coppice to read it"
                               : ": not a coppice archive")};
  }
  rest.remove_prefix(kPackMagic.size());
  std::uint64_t size = 0;
  const auto length = next_line(rest, 20);
  const auto digest = next_line(rest, 80);
  if (!length || !digest ||
      std::from_chars(length->data(), length->data() + length->size(), size).ptr !=
          length->data() + length->size() ||
      length->empty() || size > kMaxManifest) {
    return damaged(path, "damaged head");
  }
  COPPICE_TRY(const Digest expected, Digest::from_hex(*digest).within(path));
  const std::size_t at = text.size() - rest.size();
  COPPICE_TRY_VOID(fill(text, at + size + 1));
  if (text.size() < at + size + 1 || text[at + size] != '\n') {
    return damaged(path, "cut off in its manifest");
  }
  const std::string_view manifest = std::string_view(text).substr(at, size);
  if (sha256(manifest) != expected) {
    return damaged(path, "its manifest has another digest");
  }
  COPPICE_TRY(ContainerManifest out, parse_manifest(manifest, path));
  out.content_at = at + size + 1;
  return out;
}

Result<ContainerManifest> read_container(const std::string& path,
                                         const std::string& folder,
                                         std::uint64_t limit) {
  COPPICE_TRY(ContainerManifest manifest, read_manifest(path));
  std::uint64_t total = 0;
  for (const PackedFile& file : manifest.files) {
    if (file.size > limit || total > limit - file.size) {
      return damaged(path, fmt::format("its files exceed the limit of {} bytes", limit));
    }
    total += file.size;
  }
  COPPICE_TRY(const auto present, list_directory(folder));
  if (!present.empty()) {
    return Error{ErrorCode::config, folder + ": expected an empty folder, found " + present[0]};
  }
  COPPICE_TRY(const FileDescriptor file, FileDescriptor::open(path, O_RDONLY));
  if (::lseek(file.get(), static_cast<off_t>(manifest.content_at), SEEK_SET) < 0) {
    return system_error(path, "read", errno);
  }
  Unsqueezer content(file, path);
  for (const PackedFile& packed : manifest.files) {
    COPPICE_TRY_VOID(unpack_file(content, packed, folder).within(path));
  }
  COPPICE_TRY_VOID(content.expect_end());
  return manifest;
}

}  // namespace coppice::archive
