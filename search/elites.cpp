// The elite archive's rules of entry.
#include "search/elites.h"

#include <algorithm>

namespace coppice::search {
namespace {

bool better(const Elite& a, const Elite& b) {
  return a.log_cost != b.log_cost ? a.log_cost < b.log_cost : a.candidate < b.candidate;
}

int distance(const Genome& a, const Genome& b) {
  int changed = 0;
  for (std::size_t i = 0; i < a.levels.size(); ++i) {
    changed += a.levels[i] != b.levels[i] ? 1 : 0;
  }
  return changed;
}

}  // namespace

bool EliteArchive::offer(const Signature& niche, const Elite& elite) {
  std::vector<Elite>& members = niches_[niche];
  const bool refused = std::any_of(members.begin(), members.end(), [&](const Elite& other) {
    return better(other, elite) && distance(other.point.genome, elite.point.genome) <= 1;
  });
  if (refused) {
    return false;
  }
  std::erase_if(members, [&](const Elite& other) {
    return distance(other.point.genome, elite.point.genome) <= 1;
  });
  members.insert(std::upper_bound(members.begin(), members.end(), elite, better), elite);
  bool kept = true;
  if (members.size() > per_niche_) {
    kept = members.back().candidate != elite.candidate;
    members.pop_back();
  }
  if (niches_.size() > most_niches_) {
    const auto worst =
        std::max_element(niches_.begin(), niches_.end(), [](const auto& a, const auto& b) {
          return better(a.second.front(), b.second.front());
        });
    kept = kept && worst->first != niche;
    niches_.erase(worst);
  }
  return kept;
}

void EliteArchive::remove(CandidateId candidate) {
  for (auto it = niches_.begin(); it != niches_.end();) {
    std::erase_if(it->second, [&](const Elite& e) { return e.candidate == candidate; });
    it = it->second.empty() ? niches_.erase(it) : std::next(it);
  }
}

std::vector<Elite> EliteArchive::parents(std::uint32_t template_index, std::size_t limit) const {
  std::vector<const std::vector<Elite>*> rows;
  std::size_t deepest = 0;
  for (const auto& [niche, members] : niches_) {
    if (!niche.empty() && niche.front() == template_index) {
      rows.push_back(&members);
      deepest = std::max(deepest, members.size());
    }
  }
  std::sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) {
    return better(a->front(), b->front());
  });
  std::vector<Elite> out;
  for (std::size_t rank = 0; rank < deepest && out.size() < limit; ++rank) {
    for (const auto* members : rows) {
      if (rank < members->size() && out.size() < limit) {
        out.push_back((*members)[rank]);
      }
    }
  }
  return out;
}

std::vector<Elite> EliteArchive::all() const {
  std::vector<Elite> out;
  for (const auto& [niche, members] : niches_) {
    out.insert(out.end(), members.begin(), members.end());
  }
  std::sort(out.begin(), out.end(), better);
  return out;
}

}  // namespace coppice::search
