// RunReader: one run of the archive, opened for looking: its log, its fold, and what it was made
// of.
#pragma once

#include "archive/candidate_source.h"
#include "archive/experiment_log.h"
#include "archive/run_fold.h"
#include "cli/archive_folder.h"
#include "cli/run_material.h"

#include <memory>
#include <optional>
#include <string>

namespace coppice::cli {

class RunReader {
 public:
  // Follows --archive, --seed and the positional RUN.
  static Result<RunReader> of(const Arguments& arguments);
  static Result<RunReader> open(const archive::RunStore& store, const std::string& name);

  const archive::ExperimentLog& log() const { return *log_; }
  const archive::RunFold& fold() const { return fold_; }
  const RunMaterial& material() const { return *material_; }
  const std::string& name() const { return name_; }
  const std::string& archive_path() const { return archive_; }

  bool against_baseline() const;         // else a log cost is that of milliseconds
  std::string headline() const;          // its precision class
  const archive::Attempt* best() const;  // in the headline class
  Result<Evidence> evidence(const archive::Attempt& attempt) const;  // with all sections
  Result<Candidate> candidate(const archive::Attempt& attempt) const;
  std::string label(const archive::Attempt& attempt) const;  // "split_kv: tile_kv=64 ..."
  // The template's default genome as a spec.
  std::optional<CandidateSpec> default_of(const std::string& template_name) const;
  // The best measured default genome of any template in the headline class.
  const archive::Attempt* best_default() const;
  archive::CandidateSource source() const;  // for exports; refers to this object
  // The attempt that shows candidate `text` (a number, or "best"). Errors name what there is.
  Result<const archive::Attempt*> named(const std::string& text) const;

 private:
  RunReader(archive::ExperimentLog log, RunMaterial material);
  std::unique_ptr<archive::ExperimentLog> log_;
  std::unique_ptr<RunMaterial> material_;
  archive::RunFold fold_;
  std::string name_, archive_;
};

// "run_started ... stopped": how a run stands, in one word: "done", "running", "interrupted".
std::string state_of(const archive::RunSummary& summary);

}  // namespace coppice::cli
