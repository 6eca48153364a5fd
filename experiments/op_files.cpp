// Walks the folder; sizes are bounded so that a wrong path is an error and not a full memory.
#include "experiments/op_files.h"

#include "core/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace coppice::experiments {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kLargestFile = 4u << 20;
constexpr std::uintmax_t kLargestFolder = 64u << 20;
constexpr std::size_t kMostFiles = 5000;

bool ignored(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string extension = path.extension().string();
  return name.starts_with('.') || name.ends_with('~') || name == "__pycache__" ||
         extension == ".o" || extension == ".so" || extension == ".pyc";
}

Error failure(const fs::path& path, const std::string& what) {
  return Error{ErrorCode::io, path.string() + ": " + what};
}

Result<std::string> read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return failure(path, "cannot be read: " + std::generic_category().message(errno));
  }
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) {
    return failure(path, "cannot be read: " + std::generic_category().message(errno));
  }
  return std::move(text).str();
}

Result<void> add_file(const fs::path& root,
                      const fs::directory_entry& entry,
                      FileMap& files,
                      std::uintmax_t& total) {
  std::error_code error;
  const std::uintmax_t size = entry.file_size(error);
  if (error) {
    return failure(entry.path(), error.message());
  }
  total += size;
  if (size > kLargestFile || total > kLargestFolder || files.size() >= kMostFiles) {
    return Error{
        ErrorCode::config,
        fmt::format("{}: too large for an operation: files up to 4 MiB, 64 MiB and {} files in all",
                    entry.path().string(),
                    kMostFiles)};
  }
  COPPICE_TRY(std::string text, read_text(entry.path()));
  files.emplace(entry.path().lexically_relative(root).generic_string(), std::move(text));
  return {};
}

}  // namespace

Result<FileMap> read_op_files(const std::string& folder) {
  const fs::path root(folder);
  std::error_code error;
  const fs::file_status status = fs::status(root, error);
  if (status.type() == fs::file_type::not_found) {
    return Error{ErrorCode::missing, folder + ": no such folder"};
  }
  if (status.type() != fs::file_type::directory) {
    return Error{ErrorCode::config, folder + ": expected an operation's folder"};
  }
  FileMap files;
  std::uintmax_t total = 0;
  fs::recursive_directory_iterator it(root, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code status_error;
    if (ignored(it->path())) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file(status_error)) {
      COPPICE_TRY_VOID(add_file(root, *it, files, total));
    }
  }
  if (error) {
    return failure(root, error.message());
  }
  return files;
}

Digest digest_of(const FileMap& files) {
  Json list = Json::object();
  for (const auto& [path, text] : files) {
    list.set(path, sha256(text).hex());
  }
  return sha256(list.dump());
}

}  // namespace coppice::experiments
