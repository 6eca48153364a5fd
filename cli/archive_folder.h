// ArchiveFolder: the runs below --archive, by name.
#pragma once

#include "archive/experiment_log.h"
#include "cli/command.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

class ArchiveFolder {
 public:
  explicit ArchiveFolder(std::string path) : path_(std::move(path)) {}
  // From --archive and, for RUN arguments, --seed.
  static Result<ArchiveFolder> of(const Arguments& arguments);

  const std::string& path() const { return path_; }
  // Names of the runs, oldest first.
  Result<std::vector<std::string>> names() const;
  // `wanted`: a name, its unique beginning, "last" (or nothing), or the path of a run's folder.
  // Returns the run's folder.
  Result<std::string> find(const std::string& wanted) const;
  // Makes the folder of a new run: <stem>-1, <stem>-2, ...; the first that is free.
  Result<std::string> create(const std::string& stem) const;

 private:
  std::string path_;
  std::optional<std::uint64_t> seed_;
};

std::string run_name(const std::string& folder);  // last part of the path

// Opens the run for reading.
Result<archive::ExperimentLog> open_run(const ArchiveFolder& folder, const std::string& wanted);

}  // namespace coppice::cli
