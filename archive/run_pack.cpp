// Packing a run into one file, and taking such a file in.
#include "archive/run_pack.h"

#include "archive/comparison_file.h"
#include "archive/container.h"
#include "archive/durable_file.h"
#include "archive/log_state.h"
#include "archive/sqlite.h"
#include "archive/task_logs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace coppice::archive {

namespace {

constexpr int kPackVersion = 1;

// A fresh folder, gone at the end unless it was renamed away.
class Workplace {
 public:
  static Result<Workplace> create(const std::string& beginning) {
    std::string path = beginning + "XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) {
      return system_error(path, "create", errno);
    }
    Workplace out(path);
    if (::chmod(path.c_str(), 0755) != 0) {
      return system_error(path, "create", errno);
    }
    return out;
  }
  Workplace(Workplace&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  Workplace& operator=(Workplace&&) = delete;
  ~Workplace() {
    if (!path_.empty()) {
      (void)remove_tree(path_);
    }
  }
  const std::string& path() const { return path_; }

 private:
  explicit Workplace(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Chain, checkpoints, database, every text, and the comparison where there is one.
Result<ChainStatus> verify_whole(const std::string& directory) {
  COPPICE_TRY(const ExperimentLog log, ExperimentLog::open(directory, ExperimentLog::Mode::read));
  COPPICE_TRY(const ChainStatus status, log.verify());
  if (!status.ok) {
    return Error{ErrorCode::corrupt, status.message};
  }
  COPPICE_TRY_VOID(log.verify_content());
  const auto compared = read_comparison(log);
  if (!compared.ok()) {
    return compared.error();
  }
  COPPICE_TRY(const std::vector<std::string> tasks, task_logs(log));
  for (const std::string& task : tasks) {
    COPPICE_TRY_VOID(verify_whole(directory + "/" + std::string(kTasksFolder) + "/" + task));
  }
  COPPICE_TRY_VOID(check_task_logs(log));
  return status;
}

Result<PackedRun> packed_run(const Json& about, const std::string& path) {
  const JsonReader reader = about.reader(path + ": about");
  COPPICE_TRY(const JsonReader version, reader.at("v"));
  COPPICE_TRY(const std::int64_t v, version.integer());
  if (v > kPackVersion) {
    return Error{ErrorCode::environment,
                 path + ": written by a newer coppice (version " + std::to_string(v) + ")"};
  }
  PackedRun out;
  COPPICE_TRY(const JsonReader run, reader.at("run"));
  COPPICE_TRY(out.name, run.text());
  COPPICE_TRY(const JsonReader events, reader.at("events"));
  COPPICE_TRY(out.events, events.unsigned_integer());
  COPPICE_TRY(const JsonReader head, reader.at("head"));
  COPPICE_TRY(const std::string hex, head.text());
  COPPICE_TRY(out.head, Digest::from_hex(hex));
  COPPICE_TRY(out.bytes, file_size(path));
  return out;
}

// "tasks/<task>/log.sqlite" or its checkpoints, of a task with a proper name.
bool is_task_file(const std::string& path) {
  const std::string begin = std::string(kTasksFolder) + "/";
  const std::size_t slash = path.find('/', begin.size());
  if (!path.starts_with(begin) || slash == std::string::npos) {
    return false;
  }
  const std::string file = path.substr(slash + 1);
  return is_run_name(path.substr(begin.size(), slash - begin.size())) &&
         (file == kLogFile || file == kCheckpointsFile);
}

Result<void> check_files(const ContainerManifest& manifest, const std::string& path) {
  std::vector<std::string> names;
  for (const PackedFile& file : manifest.files) {
    if (!is_task_file(file.path)) {
      names.push_back(file.path);
    }
  }
  std::erase(names, kComparisonFile);
  std::ranges::sort(names);
  if (names != std::vector<std::string>{std::string(kCheckpointsFile), std::string(kLogFile)}) {
    return Error{ErrorCode::corrupt,
                 path +
                     ": expected log.sqlite, checkpoints.txt, at most comparison.json, and the "
                     "logs of tasks"};
  }
  return {};
}

// A task that is packed without its run is a run by itself.
std::string name_by_itself(std::string_view run) {
  std::string out(run);
  std::ranges::replace(out, '/', '.');
  return out;
}

// Takes the comparison along into the copy of the run; says whether there is one.
Result<bool> copy_comparison(const std::string& from, const std::string& to) {
  const std::string name = "/" + std::string(kComparisonFile);
  if (!exists(from + name)) {
    return false;
  }
  COPPICE_TRY(const std::string bytes, read_file(from + name, 1ULL << 20U));
  COPPICE_TRY_VOID(replace_file(to + name, bytes));
  return true;
}

// Copies of the logs of a run's tasks; their files' names below the run's folder.
Result<std::vector<std::string>> copy_tasks(const ExperimentLog& log, const std::string& to) {
  std::vector<std::string> names;
  COPPICE_TRY(const std::vector<std::string> tasks, task_logs(log));
  for (const std::string& task : tasks) {
    const std::string below = std::string(kTasksFolder) + "/" + task;
    COPPICE_TRY(const ExperimentLog own,
                ExperimentLog::open(log.directory() + "/" + below, ExperimentLog::Mode::read));
    COPPICE_TRY_VOID(own.snapshot(to + "/" + below));
    names.push_back(below + "/" + std::string(kCheckpointsFile));
    names.push_back(below + "/" + std::string(kLogFile));
  }
  return names;
}

Error taken(const std::string& directory) {
  return Error{ErrorCode::config,
               directory +
                   ": expected a name that is free, found a run of that name (choose "
                   "another name for the unpacked one)"};
}

}  // namespace

Result<PackedRun> pack_run(const RunStore& store, std::string_view run, const std::string& path) {
  if (exists(path)) {
    return Error{ErrorCode::config, path + ": expected no file, found one"};
  }
  // Beside the result, not in the archive: that may be read-only.
  COPPICE_TRY(const Workplace work, Workplace::create(path + ".unfinished-"));
  const std::string copy = work.path() + "/run";
  COPPICE_TRY(const ExperimentLog log, store.open_run(run, ExperimentLog::Mode::read));
  COPPICE_TRY_VOID(log.snapshot(copy));
  COPPICE_TRY(const bool compared, copy_comparison(log.directory(), copy));
  // After the run's own: a task may be ahead of what the run has noted, never behind.
  COPPICE_TRY(const std::vector<std::string> tasks, copy_tasks(log, copy));
  COPPICE_TRY(const ChainStatus status, verify_whole(copy));
  std::vector<std::string> names = {std::string(kCheckpointsFile), std::string(kLogFile)};
  names.insert(names.end(), tasks.begin(), tasks.end());
  if (compared) {
    names.emplace_back(kComparisonFile);
  }
  Json about = Json::object();
  about.set("v", kPackVersion)
      .set("run", name_by_itself(run))
      .set("events", status.events)
      .set("head", status.head.hex())
      .set("sqlite", sqlite_version());
  COPPICE_TRY_VOID(write_container(path, copy, names, about));
  return packed_run(about, path);
}

Result<PackedRun> describe_pack(const std::string& path) {
  COPPICE_TRY(const ContainerManifest manifest, read_manifest(path));
  return packed_run(manifest.about, path);
}

Result<PackedRun> unpack_run(const RunStore& store,
                             const std::string& path,
                             std::string_view name,
                             std::uint64_t limit) {
  COPPICE_TRY(PackedRun packed, describe_pack(path));
  if (!name.empty()) {
    packed.name = std::string(name);
  }
  if (!is_run_name(packed.name)) {
    return Error{ErrorCode::config, path + ": \"" + packed.name + "\" is no name for a run"};
  }
  const std::string final = store.directory_of(packed.name);
  if (exists(final)) {
    return taken(final);
  }
  COPPICE_TRY(const Workplace work, Workplace::create(store.runs_directory() + "/.unfinished-"));
  COPPICE_TRY(const ContainerManifest manifest, read_container(path, work.path(), limit));
  COPPICE_TRY_VOID(check_files(manifest, path));
  COPPICE_TRY(const ChainStatus status, verify_whole(work.path()).within(path));
  if (status.events != packed.events || status.head != packed.head) {
    return Error{ErrorCode::corrupt,
                 path + ": its log is not the one that it announces (" +
                     std::to_string(packed.events) + " events announced, " +
                     std::to_string(status.events) + " found)"};
  }
  if (::renameat2(AT_FDCWD, work.path().c_str(), AT_FDCWD, final.c_str(), RENAME_NOREPLACE) != 0) {
    return errno == EEXIST ? taken(final) : system_error(final, "create", errno);
  }
  COPPICE_TRY_VOID(sync_directory(store.runs_directory()));
  return packed;
}

}  // namespace coppice::archive
