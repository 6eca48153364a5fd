// RunStore: the archive folder.
#include "archive/run_store.h"

#include "archive/durable_file.h"
#include "archive/log_state.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace coppice::archive {

namespace {

constexpr int kFormat = 1;
constexpr const char* kTasks = "/tasks";
constexpr std::size_t kMaxName = 120;
constexpr int kMaxRunsPerDay = 100'000;

std::string date_of(Nanoseconds now) {
  const std::chrono::sys_days day =
      std::chrono::floor<std::chrono::days>(std::chrono::sys_time<Nanoseconds>(now));
  const std::chrono::year_month_day date(day);
  return fmt::format("{:04}{:02}{:02}",
                     static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

Result<void> check_format(const std::string& file) {
  COPPICE_TRY(const std::string text, read_file(file, 1U << 16U));
  COPPICE_TRY(const Json json, Json::parse(text, file));
  COPPICE_TRY(const JsonReader format, json.reader(file).at("format"));
  COPPICE_TRY(const std::int64_t version, format.integer());
  if (version > kFormat) {
    return Error{ErrorCode::environment,
                 fmt::format("{}: written by a newer coppice (format {}, this one reads up to {}); "
                             "update coppice to read it",
                             file,
                             version,
                             kFormat)};
  }
  return {};
}

std::string joined(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 8;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    out += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kShown) {
    out += fmt::format(" and {} more", names.size() - kShown);
  }
  return out;
}

// First and last event; the writer may be at work meanwhile.
Result<void> read_ends(const ExperimentLog& log, RunSummary& out) {
  COPPICE_TRY(out.events, log.size());
  if (out.events == 0) {
    return {};
  }
  COPPICE_TRY(const LogRow first, log.row(EventSeq{1}));
  COPPICE_TRY(Event start, decode(first.bytes).within(log.directory() + ": event 1"));
  if (auto* started = std::get_if<RunStarted>(&start)) {
    out.start = std::move(*started);
  }
  out.started = first.written;
  // The stop is followed by little: promotions, idle lanes, results that were still in flight.
  constexpr std::uint64_t kTail = 64;
  const std::uint64_t from = out.events > kTail ? out.events - kTail + 1 : 1;
  return log.visit(EventSeq{from}, [&out](const LogRow& row) -> Result<bool> {
    out.last_event = row.written;
    COPPICE_TRY(const Event event, decode(row.bytes));
    if (const auto* stopped = std::get_if<Stopped>(&event)) {
      out.stopped = *stopped;
    } else if (std::holds_alternative<Resumed>(event)) {
      out.stopped.reset();
    }
    return true;
  });
}

}  // namespace

bool is_run_name(std::string_view name) {
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxName && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, fine);
}

bool is_task_of_run(std::string_view name) {
  const std::size_t slash = name.find('/');
  return slash != name.npos && is_run_name(name.substr(0, slash)) &&
         is_run_name(name.substr(slash + 1));
}

std::string run_name_base(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    out += is_run_name(std::string("x") + lower) ? lower : '_';
  }
  while (!out.empty() && (out.front() == '.' || out.front() == '-')) {
    out.erase(0, 1);
  }
  constexpr std::size_t kRoom = 30;  // for the date and the counter
  return out.empty() ? "run" : out.substr(0, kMaxName - kRoom);
}

Result<RunStore> RunStore::open(const std::string& directory, Access access) {
  const std::string format = directory + "/coppice-archive.json";
  if (!exists(format)) {
    if (access == Access::read) {
      return Error{ErrorCode::missing,
                   directory + ": expected an archive, found " +
                       (exists(directory) ? "a folder without coppice-archive.json" : "nothing")};
    }
    COPPICE_TRY_VOID(make_directories(directory + "/runs"));
    COPPICE_TRY_VOID(replace_file(format, "{\"format\":1}\n"));
    COPPICE_TRY_VOID(sync_directory(directory));
  }
  COPPICE_TRY_VOID(check_format(format));
  // Said now, not after a minute of timing baselines.
  const std::string runs = directory + "/runs";
  if (access == Access::create && ::access(runs.c_str(), W_OK) != 0) {
    return system_error(runs, "write", errno);
  }
  return RunStore(directory);
}

std::string RunStore::runs_directory() const {
  return directory_ + "/runs";
}

std::string RunStore::directory_of(std::string_view name) const {
  const std::size_t slash = name.find('/');
  if (slash == name.npos) {
    return runs_directory() + "/" + std::string(name);
  }
  return directory_of(name.substr(0, slash)) + kTasks + "/" + std::string(name.substr(slash + 1));
}

Result<std::string> RunStore::create_task(std::string_view run, std::string_view task) const {
  if (!is_run_name(task)) {
    return Error{ErrorCode::config,
                 fmt::format("task name: expected lower-case letters, digits, \"_\", \"-\" and "
                             "\".\", found \"{}\"",
                             task)};
  }
  const std::string parent = directory_of(run) + kTasks;
  COPPICE_TRY_VOID(make_directories(parent + "/" + std::string(task)));
  COPPICE_TRY_VOID(sync_directory(parent));
  COPPICE_TRY_VOID(sync_directory(directory_of(run)));
  return std::string(run) + "/" + std::string(task);
}

Result<std::string> RunStore::create_run_named(std::string_view name) const {
  if (!is_run_name(name)) {
    return Error{ErrorCode::config,
                 fmt::format("run name: expected lower-case letters, digits, \"_\", \"-\" and "
                             "\".\", found \"{}\"",
                             name)};
  }
  const std::string path = directory_of(name);
  if (::mkdir(path.c_str(), 0755) != 0) {
    if (errno == EEXIST) {
      return Error{ErrorCode::config,
                   path + ": expected a name that is free, found a run of that name"};
    }
    return system_error(path, "create", errno);
  }
  COPPICE_TRY_VOID(sync_directory(runs_directory()));
  return std::string(name);
}

Result<std::string> RunStore::create_run(std::string_view base, Nanoseconds now) const {
  const std::string stem = run_name_base(base) + "-" + date_of(now) + "-";
  for (int n = 1; n < kMaxRunsPerDay; ++n) {
    const std::string name = stem + std::to_string(n);
    if (!exists(directory_of(name))) {
      auto made = create_run_named(name);
      if (made.ok() || made.error().code != ErrorCode::config) {
        return made;
      }  // else another process was quicker
    }
  }
  return Error{ErrorCode::io, directory_ + ": no free run name begins with " + stem};
}

Result<std::vector<std::string>> RunStore::names() const {
  COPPICE_TRY(std::vector<std::string> all, list_directory(runs_directory()));
  std::erase_if(all, [](const std::string& name) { return !is_run_name(name); });
  std::vector<std::string> out;
  for (const std::string& name : all) {
    out.push_back(name);
    const std::string folder = directory_of(name) + kTasks;
    if (!exists(folder)) {
      continue;
    }
    COPPICE_TRY(const std::vector<std::string> tasks, list_directory(folder));
    for (const std::string& task : tasks) {
      if (is_run_name(task)) {
        out.push_back(name + "/" + task);
      }
    }
  }
  return out;
}

Result<RunSummary> RunStore::summary(std::string_view name) const {
  RunSummary out;
  out.name = std::string(name);
  out.directory = directory_of(name);
  if (!exists(out.directory)) {
    return Error{ErrorCode::missing, out.directory + ": expected a run, found nothing"};
  }
  const std::string log = out.directory + "/" + std::string(kLogFile);
  out.writer = RunLock::holder(out.directory + "/" + std::string(kLockFile));
  for (const std::string& file : {log, log + "-wal"}) {
    const auto size = file_size(file);
    out.bytes += size.ok() ? size.value() : 0;
  }
  if (!exists(log)) {
    out.trouble = "created, but never started";
    return out;
  }
  const auto opened = ExperimentLog::open(out.directory, ExperimentLog::Mode::read);
  if (!opened.ok()) {
    out.trouble = opened.error().message;
    return out;
  }
  if (const auto read = read_ends(opened.value(), out); !read.ok()) {
    out.trouble = read.error().message;
  }
  return out;
}

Result<std::vector<RunSummary>> RunStore::list() const {
  COPPICE_TRY(const auto all, names());
  std::vector<RunSummary> out;
  for (const std::string& name : all) {
    COPPICE_TRY(RunSummary run, summary(name));
    out.push_back(std::move(run));
  }
  std::ranges::stable_sort(out, {}, &RunSummary::started);
  return out;
}

Result<std::string> RunStore::find(std::string_view which) const {
  COPPICE_TRY(const auto all, names());
  if (all.empty()) {
    return Error{ErrorCode::missing, directory_ + ": expected runs, found an empty archive"};
  }
  if (std::ranges::find(all, which) != all.end()) {
    return std::string(which);
  }
  if (which == "latest") {
    COPPICE_TRY(const auto runs, list());
    const auto started =
        std::ranges::find_if(runs.rbegin(), runs.rend(), [](const RunSummary& run) {
          return run.start.has_value() && !is_task_of_run(run.name);
        });
    if (started == runs.rend()) {
      return Error{ErrorCode::missing,
                   directory_ + ": expected a run that has started, found none"};
    }
    return started->name;
  }
  std::vector<std::string> matches;
  const std::size_t slash = which.find('/');
  std::string begins(which);
  if (slash != which.npos) {
    COPPICE_TRY(const std::string run,
                find(which.substr(0, slash) == "last" ? std::string_view("latest")
                                                      : which.substr(0, slash)));
    begins = run + std::string(which.substr(slash));
    if (std::ranges::find(all, begins) != all.end()) {
      return begins;
    }
  }
  std::ranges::copy_if(all, std::back_inserter(matches), [&](const std::string& name) {
    return name.starts_with(begins) && is_task_of_run(name) == (slash != which.npos);
  });
  if (matches.size() == 1) {
    return matches.front();
  }
  if (matches.empty()) {
    return Error{
        ErrorCode::missing,
        fmt::format("{}: expected a run \"{}\", found {}", directory_, which, joined(all))};
  }
  return Error{ErrorCode::config,
               fmt::format("{}: \"{}\" could be {}", directory_, which, joined(matches))};
}

Result<ExperimentLog> RunStore::open_run(std::string_view name, ExperimentLog::Mode mode) const {
  return ExperimentLog::open(directory_of(name), mode);
}

}  // namespace coppice::archive
