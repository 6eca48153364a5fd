// Finds runs below the archive's folder.
#include "cli/archive_folder.h"

#include "core/event.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace coppice::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLogFile = "log.sqlite";

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / kLogFile, ignored);
}

std::uint64_t seed_of(const std::string& folder) {
  const auto log = archive::ExperimentLog::open(folder, archive::ExperimentLog::Mode::read);
  if (!log.ok()) {
    return 0;
  }
  const auto row = log->row(EventSeq{1});
  if (!row.ok()) {
    return 0;
  }
  const auto event = decode(row->bytes);
  const auto* started = event.ok() ? std::get_if<RunStarted>(&*event) : nullptr;
  return started == nullptr ? 0 : started->seed;
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < 6; ++i) {
    out += (out.empty() ? "" : ", ") + names[i];
  }
  return names.size() > 6 ? out + ", ..." : out;
}

}  // namespace

std::string run_name(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

Result<ArchiveFolder> ArchiveFolder::of(const Arguments& arguments) {
  ArchiveFolder folder(arguments.text("--archive", "runs"));
  COPPICE_TRY(folder.seed_, arguments.unsigned_integer("--seed"));
  return folder;
}

Result<std::vector<std::string>> ArchiveFolder::names() const {
  struct Found {
    fs::file_time_type made;
    std::string name;
  };
  std::vector<Found> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    std::error_code ignored;
    if (!is_run(entry.path())) {
      continue;
    }
    const std::string name = entry.path().filename();
    if (!seed_ || seed_of(entry.path()) == *seed_) {
      found.push_back({fs::last_write_time(entry.path() / kLogFile, ignored), name});
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return Error{ErrorCode::io, path_ + ": can't list: " + error.message()};
  }
  std::ranges::sort(found, [](const Found& a, const Found& b) {
    return a.made != b.made ? a.made < b.made : a.name < b.name;
  });
  std::vector<std::string> names;
  for (const Found& item : found) {
    names.push_back(item.name);
  }
  return names;
}

Result<std::string> ArchiveFolder::find(const std::string& wanted) const {
  if (wanted.find('/') != wanted.npos && is_run(wanted)) {
    return wanted;
  }
  COPPICE_TRY(const std::vector<std::string> all, names());
  if (all.empty()) {
    const std::string which = seed_ ? " with seed " + std::to_string(*seed_) : "";
    return Error{ErrorCode::missing, path_ + ": there are no runs" + which};
  }
  if (wanted.empty() || wanted == "last") {
    return path_ + "/" + all.back();
  }
  if (std::ranges::find(all, wanted) != all.end()) {
    return path_ + "/" + wanted;
  }
  std::vector<std::string> begin_so;
  std::ranges::copy_if(all, std::back_inserter(begin_so), [&](const std::string& name) {
    return name.rfind(wanted, 0) == 0;
  });
  if (begin_so.size() == 1) {
    return path_ + "/" + begin_so[0];
  }
  if (begin_so.empty()) {
    return Error{ErrorCode::missing,
                 path_ + ": no run '" + wanted + "' (there are " + listed(all) + ")"};
  }
  return Error{ErrorCode::usage, "run '" + wanted + "' could be " + listed(begin_so)};
}

Result<std::string> ArchiveFolder::create(const std::string& stem) const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) {
    return Error{ErrorCode::io, path_ + ": can't make the archive: " + error.message()};
  }
  for (int n = 1; n < 1'000'000; ++n) {
    const std::string folder = path_ + "/" + stem + "-" + std::to_string(n);
    if (::mkdir(folder.c_str(), 0777) == 0) {
      return folder;
    }
    if (errno != EEXIST) {
      return Error{ErrorCode::io, folder + ": can't make the run: " + std::strerror(errno)};
    }
  }
  return Error{ErrorCode::io, path_ + ": too many runs named " + stem};
}

Result<archive::ExperimentLog> open_run(const ArchiveFolder& folder, const std::string& wanted) {
  COPPICE_TRY(const std::string path, folder.find(wanted));
  return archive::ExperimentLog::open(path, archive::ExperimentLog::Mode::read);
}

}  // namespace coppice::cli
