// The git archive: one commit per candidate, its parents the candidates it came from; made from the
// log, incrementally.
#pragma once

#include "archive/candidate_source.h"
#include "archive/experiment_log.h"
#include "core/result.h"

#include <cstdint>
#include <functional>
#include <string>

namespace coppice::archive {

struct GitExportOptions {
  // A pack is written when so many candidates, or bytes of objects, are waiting.
  std::size_t pack_candidates = 10'000;
  std::size_t pack_bytes = 256U << 20U;
  std::size_t most_packs = 16;  // above it, small packs are merged
  // Called after each pack with the number of candidates done; false stops there (resumable).
  std::function<bool(std::uint64_t)> progress;
};

struct GitExported {
  std::uint64_t events = 0;          // of the log, that the archive now reflects
  std::uint64_t candidates = 0;      // commits in it
  std::uint64_t new_candidates = 0;  // written by this call
  std::size_t packs = 0;
};

// Brings `repository` (a bare one; made when missing) up to date with the committed log. What is
// there stays; a call that was interrupted is taken up at its last pack. Not for the hot path.
//
//   commit       one per candidate, in the order in which results came. Its message: verdict and
//                speed-up, then "Candidate:", "Attempt:", ... lines. Its time: the log's.
//   its tree     the source ("kernel.cpp"), plan.json, genome.json, evidence.json
//   best         the fastest valid candidate; best-<class> for each precision class
//   promoted-<class>  a commit on top of the winner, with the evidence of its promotion
//   all          reaches every candidate: `git log --graph all`; its tree says how far the export
//                is (state.json) and which commit is which candidate (candidates/*.tsv)
//
// The same log gives the same commits, whenever and in how many steps it is exported. Errors:
// corrupt (the repository was made from another log: remove it and export again), busy, io.
Result<GitExported> export_git(const ExperimentLog& log,
                               const CandidateSource& source,
                               const std::string& repository,
                               const GitExportOptions& options = {});

}  // namespace coppice::archive
