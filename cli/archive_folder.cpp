// Finds the run that a command line names.
#include "cli/archive_folder.h"

#include <utility>

namespace coppice::cli {

Result<ArchiveFolder> ArchiveFolder::of(const Arguments& arguments) {
  COPPICE_TRY(const auto seed, arguments.unsigned_integer("--seed"));
  COPPICE_TRY(archive::RunStore store,
              archive::RunStore::open(arguments.text("--archive", kDefaultArchive),
                                      archive::RunStore::Access::read));
  return ArchiveFolder(std::move(store), seed);
}

Result<std::vector<archive::RunSummary>> ArchiveFolder::list() const {
  COPPICE_TRY(std::vector<archive::RunSummary> runs, store_.list());
  if (seed_) {
    std::erase_if(runs, [&](const archive::RunSummary& run) {
      return !run.start || run.start->seed != *seed_;
    });
  }
  return runs;
}

Result<std::string> ArchiveFolder::find(const std::string& wanted) const {
  const bool last = wanted.empty() || wanted == "last" || wanted == "latest";
  if (!last || !seed_) {
    return store_.find(last ? "latest" : wanted);
  }
  COPPICE_TRY(const auto runs, list());
  if (runs.empty()) {
    return Error{ErrorCode::missing,
                 store_.directory() + ": no run with seed " + std::to_string(*seed_)};
  }
  return runs.back().name;
}

Result<archive::ExperimentLog> ArchiveFolder::open_run(const std::string& wanted,
                                                       archive::ExperimentLog::Mode mode) const {
  COPPICE_TRY(const std::string name, find(wanted));
  return store_.open_run(name, mode);
}

}  // namespace coppice::cli
