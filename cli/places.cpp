// Looks files up in the few folders where they may be.
#include "cli/places.h"

#include "experiments/op_loader.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace coppice::cli {
namespace {

namespace fs = std::filesystem;

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) {
    out += (out.empty() ? "" : ", ") + item;
  }
  return out;
}

}  // namespace

Places Places::standard() {
  Places places;
  places.roots.push_back(".");
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    places.roots.push_back((self.parent_path() / ".." / "share" / "coppice").lexically_normal());
    // A build folder inside the source tree: build/<preset>/coppice.
    for (fs::path up = self.parent_path(); up.has_relative_path(); up = up.parent_path()) {
      if (is_folder(up / "experiments" / "ops") && is_folder(up / "configs")) {
        places.roots.push_back(up);
        break;
      }
    }
  }
#ifdef COPPICE_SOURCE_ROOT
  places.roots.emplace_back(COPPICE_SOURCE_ROOT);
#endif
  return places;
}

std::vector<std::string> Places::op_folders() const {
  std::vector<std::string> folders;
  for (const std::string& root : roots) {
    const std::string folder = root + "/experiments/ops";
    if (is_folder(folder)) {
      folders.push_back(folder);
    }
  }
  return folders;
}

Result<std::string> Places::find_config(const std::string& name_or_path) const {
  if (is_file(name_or_path)) {
    return name_or_path;
  }
  for (const std::string& root : roots) {
    for (const std::string& path : {root + "/" + name_or_path,
                                    root + "/configs/" + name_or_path,
                                    root + "/configs/" + name_or_path + ".json"}) {
      if (is_file(path)) {
        return path;
      }
    }
  }
  return Error{
      ErrorCode::missing,
      name_or_path + ": no such configuration (looked in configs/ of " + joined(roots) + ")"};
}

Result<std::string> Places::find_op(const std::string& name_or_path) const {
  return experiments::find_op(name_or_path, op_folders());
}

Result<std::string> Places::find_target(const std::string& name) const {
  for (const std::string& root : roots) {
    const std::string path = root + "/configs/targets/" + name + ".json";
    if (is_file(path)) {
      return path;
    }
  }
  return Error{ErrorCode::missing,
               "target " + name + ": no configs/targets/" + name + ".json in " + joined(roots)};
}

std::vector<std::string> Places::op_names() const {
  std::set<std::string> names;
  for (const std::string& folder : op_folders()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (is_file(entry.path() / "op.json")) {
        names.insert(entry.path().filename());
      }
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace coppice::cli
