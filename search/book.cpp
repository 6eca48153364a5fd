// Keeps candidates, and turns evidence into lessons.
#include "search/book.h"

#include "core/check.h"

#include <algorithm>
#include <cmath>

namespace coppice::search {
std::size_t Book::PointHash::operator()(const Point& point) const noexcept {
  std::uint64_t hash = point.template_index;
  for (const std::uint16_t level : point.genome.levels) {
    hash = mix64(hash ^ (level + 0x9e3779b97f4a7c15U));
  }
  return static_cast<std::size_t>(hash);
}

Book::Book(const Domain& domain, std::size_t kept_per_class)
    : domain_(&domain), kept_(kept_per_class), leaders_(domain.classes().size()) {}

CandidateId Book::enter(const Point& point, NodeId node) {
  const auto [it, fresh] = ids_.try_emplace(point, CandidateId{candidates_.size() + 1});
  if (fresh) {
    CandidateRecord record;
    record.point = point;
    record.precision = domain_->class_of(point).value_or(0);
    record.node = node;
    candidates_.push_back(std::move(record));
  }
  return it->second;
}

CandidateId Book::enter_stored(std::uint32_t seed, NodeId node) {
  CandidateRecord record;
  record.from_text = true;
  record.stored = seed;
  record.node = node;
  candidates_.push_back(std::move(record));
  return {candidates_.size()};
}

void Book::identify(CandidateId candidate, const Point& point) {
  candidates_[candidate.value - 1].point = point;
  ids_.emplace(point, candidate);
}

Lesson Book::learn(const Attempt& attempt, const Evidence& evidence) {
  const CandidateId id = attempt.proposed.candidate;
  CandidateRecord& record = candidates_[id.value - 1];
  Lesson lesson;
  lesson.candidate = id;
  lesson.gate = evidence.verdict.gate;
  lesson.failure = evidence.verdict.failure;
  lesson.seconds = to_seconds(evidence.cost.compile) + to_seconds(evidence.cost.device);
  const auto& classes = domain_->classes();
  const auto named = std::find(classes.begin(), classes.end(), evidence.precision);
  if (named != classes.end()) {
    record.precision = static_cast<std::size_t>(named - classes.begin());
  }
  lesson.precision = record.precision;
  const bool timed = evidence.performance && std::isfinite(evidence.performance->log_cost);
  if (!evidence.verdict.valid || !timed) {
    if (lesson.failure == FailureClass::too_slow && timed) {
      lesson.partial_log_cost = evidence.performance->log_cost;
    }
    ++rejected[std::string(coppice::to_text(lesson.failure))];
    return lesson;
  }
  ++valid;
  valid_seconds_ += lesson.seconds;
  record.valid = lesson.valid = true;
  record.log_cost = lesson.log_cost = evidence.performance->log_cost;
  record.log_noise = lesson.log_noise =
      std::isfinite(evidence.performance->log_noise) ? evidence.performance->log_noise : 0.0;
  auto& leaders = leaders_[record.precision];
  lesson.first = leaders.empty();
  if (!lesson.first && lesson.log_cost < leaders.begin()->first) {
    lesson.gain = leaders.begin()->first - lesson.log_cost;
  }
  leaders.emplace(record.log_cost, id);
  if (leaders.size() > kept_) {
    leaders.erase(std::prev(leaders.end()));
  }
  return lesson;
}

double Book::mean_seconds() const {
  return valid > 0 ? valid_seconds_ / static_cast<double>(valid) : 0.0;
}

std::optional<CandidateId> Book::best(std::size_t precision) const {
  const auto& leaders = leaders_[precision];
  return leaders.empty() ? std::nullopt : std::optional(leaders.begin()->second);
}

std::optional<double> Book::best_log_cost(std::size_t precision) const {
  const auto& leaders = leaders_[precision];
  return leaders.empty() ? std::nullopt : std::optional(leaders.begin()->first);
}

std::vector<CandidateId> Book::leaders(std::size_t precision) const {
  std::vector<CandidateId> out;
  for (const auto& [cost, id] : leaders_[precision]) {
    out.push_back(id);
  }
  return out;
}

}  // namespace coppice::search
