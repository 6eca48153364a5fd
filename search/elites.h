// EliteArchive: the best candidates, with a niche per structural signature so that diversity stays.
#pragma once

#include "core/ids.h"
#include "core/search_space.h"

#include <cstdint>
#include <map>
#include <vector>

namespace coppice::search {

struct Elite {
  CandidateId candidate;
  Point point;
  double log_cost = 0.0;
};

// The template and the levels of its structural axes.
using Signature = std::vector<std::uint32_t>;

// Bounded: `per_niche` elites in each of at most `niches` niches. Deterministic; ties by id.
class EliteArchive {
 public:
  EliteArchive(std::size_t per_niche, std::size_t niches)
      : per_niche_(per_niche), most_niches_(niches) {}

  // False when it is refused: worse than a full niche, or within one axis of a better elite. A
  // better one takes the place of its near-duplicates.
  bool offer(const Signature& niche, const Elite& elite);
  // Takes a candidate out that turned out worse than it seemed.
  void remove(CandidateId candidate);

  // Elites of one template for parents: the best of each niche in turn, niches by their best.
  std::vector<Elite> parents(std::uint32_t template_index, std::size_t limit) const;
  // All, best first, ties by id.
  std::vector<Elite> all() const;
  std::size_t niches() const { return niches_.size(); }

 private:
  std::size_t per_niche_;
  std::size_t most_niches_;
  std::map<Signature, std::vector<Elite>> niches_;  // each sorted, best first
};

}  // namespace coppice::search
