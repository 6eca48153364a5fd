// How far a git archive is, and which commit is which candidate; kept in the tree of branch `all`.
#pragma once

#include "archive/git_store.h"
#include "core/digest.h"
#include "core/evidence.h"
#include "core/ids.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace coppice::archive {

struct GitBest {
  CandidateId candidate;
  Fidelity fidelity = Fidelity::search;
  double log_cost = 0.0;
};

// state.json: {"v":1,"events":..,"chain":..,"candidates":..,"open":[seq..],"best":{class:{..}}}
struct GitArchiveState {
  std::uint64_t events = 0;  // exported so far
  Digest chain;              // of the last of them
  std::uint64_t candidates = 0;
  std::vector<std::uint64_t> open;      // events to be read again: proposals without a commit, ...
  std::map<std::string, GitBest> best;  // by precision class
  std::size_t batches = 0;              // files in candidates/
  std::vector<GitEntry> batch_files;    // those files
  std::unordered_map<CandidateId, GitId> commits;
};

Json to_json(const GitArchiveState& state);
// What the branch's commit holds; an empty state for none.
Result<GitArchiveState> read_git_state(const GitStore& store, const std::optional<GitId>& commit);

}  // namespace coppice::archive
