// ArchiveFolder: the archive that a command line means, and the run in it.
#pragma once

#include "archive/run_store.h"
#include "cli/command.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

inline constexpr const char* kDefaultArchive = "coppice-archive";

class ArchiveFolder {
 public:
  // From --archive and --seed. The folder must be an archive already.
  static Result<ArchiveFolder> of(const Arguments& arguments);

  const archive::RunStore& store() const { return store_; }
  // Runs with the wanted seed, oldest first.
  Result<std::vector<archive::RunSummary>> list() const;
  // `wanted`: a name, its unique beginning, "last" or nothing.
  Result<std::string> find(const std::string& wanted) const;
  Result<archive::ExperimentLog> open_run(
      const std::string& wanted,
      archive::ExperimentLog::Mode mode = archive::ExperimentLog::Mode::read) const;

 private:
  ArchiveFolder(archive::RunStore store, std::optional<std::uint64_t> seed)
      : store_(std::move(store)), seed_(seed) {}
  archive::RunStore store_;
  std::optional<std::uint64_t> seed_;
};

}  // namespace coppice::cli
