// RunFold: a run folded from its log.
#include "archive/run_fold.h"

#include <algorithm>
#include <utility>

namespace coppice::archive {

namespace {

std::size_t index_of(Fidelity fidelity) {
  return static_cast<std::size_t>(fidelity);
}

void drop_sections(Evidence& evidence) {
  evidence.environment = Json();
  evidence.validation = Json();
  evidence.resources = Json();
  evidence.artifacts = Json();
}

}  // namespace

std::optional<double> Attempt::log_cost() const {
  if (!valid() || !evidence->performance) {
    return std::nullopt;
  }
  return evidence->performance->log_cost;
}

std::optional<double> Attempt::speedup() const {
  if (!valid() || !evidence->performance || evidence->performance->baseline.empty()) {
    return std::nullopt;
  }
  return evidence->performance->speedup;
}

Result<std::uint64_t> RunFold::catch_up(const ExperimentLog& log) {
  const std::uint64_t before = events_;
  const auto visited = log.visit(EventSeq{events_ + 1}, [this](const LogRow& row) -> Result<bool> {
    COPPICE_TRY_VOID(take(row));
    return true;
  });
  COPPICE_TRY_VOID(visited);
  return events_ - before;
}

Result<void> RunFold::take(const LogRow& row) {
  if (row.seq.value != events_ + 1) {
    return Error{ErrorCode::corrupt,
                 "fold: expected event " + std::to_string(events_ + 1) + ", found " +
                     std::to_string(row.seq.value)};
  }
  auto event = decode(row.bytes);
  if (!event.ok()) {
    return Error{ErrorCode::corrupt,
                 "event " + std::to_string(row.seq.value) + ": " + event.error().message};
  }
  if (events_ == 0) {
    began_ = row.written;
    sessions_ = 1;
  }
  events_ = row.seq.value;
  written_ = row.written;
  std::visit([this, &row](auto& what) { see(row, what); }, event.value());
  return {};
}

void RunFold::see(const LogRow& /*row*/, RunStarted& event) {
  start_ = std::move(event);
}

void RunFold::see(const LogRow& /*row*/, BaselineFrozen& event) {
  baselines_.push_back(std::move(event));
}

void RunFold::see(const LogRow& /*row*/, Tick& event) {
  elapsed_ = event.elapsed;
}

void RunFold::see(const LogRow& /*row*/, StopRequested& event) {
  stop_requested_ = std::move(event);
}

void RunFold::see(const LogRow& /*row*/, Resumed& event) {
  ++sessions_;
  stopped_.reset();
  stop_requested_.reset();
  for (const AttemptId id : event.lost) {
    if (const auto found = position_.find(id);
        found != position_.end() && attempts_[found->second].in_flight()) {
      attempts_[found->second].lost = true;
      give_back(attempts_[found->second]);
    }
  }
}

void RunFold::give_back(const Attempt& attempt) {
  if (attempt.proposal.fidelity != Fidelity::search) {
    return;
  }
  --searched_;
  if (const auto node = nodes_.find(attempt.proposal.node); node != nodes_.end()) {
    --node->second.attempts;
  }
}

void RunFold::see(const LogRow& /*row*/, LlmAsked& /*event*/) {
  ++llm_.asked;
}

void RunFold::see(const LogRow& /*row*/, LlmReplied& event) {
  ++llm_.replied;
  llm_.failed += event.failed ? 1 : 0;
  llm_.cost.llm += event.cost.llm;
  llm_.cost.llm_tokens += event.cost.llm_tokens;
  llm_.cost.money += event.cost.money;
  charge(event.cost);
}

void RunFold::see(const LogRow& /*row*/, Stopped& event) {
  stopped_ = std::move(event);
}

void RunFold::see(const LogRow& /*row*/, Promoted& event) {
  promoted_.push_back(std::move(event));
}

void RunFold::see(const LogRow& /*row*/, WorkRequested& /*event*/) {}
void RunFold::see(const LogRow& /*row*/, Idle& /*event*/) {}
void RunFold::see(const LogRow& /*row*/, SliceEnded& /*event*/) {}  // archive/shared_fold.h
void RunFold::see(const LogRow& /*row*/, Allocated& /*event*/) {}

void RunFold::see(const LogRow& row, Proposed& event) {
  const std::size_t index = attempts_.size();
  if (!position_.emplace(event.attempt, index).second) {
    return;  // an id is given once; a second proposal under it can't be told from the first
  }
  CandidateRecord& candidate = candidates_[event.candidate];
  candidate.id = event.candidate;
  candidate.attempts.push_back(index);
  if (event.fidelity == Fidelity::search) {
    ++searched_;
    if (const auto node = nodes_.find(event.node); node != nodes_.end()) {
      ++node->second.attempts;
    }
  }
  Attempt attempt;
  attempt.proposal = std::move(event);
  attempt.proposed_at = row.seq;
  attempt.written = row.written;
  attempts_.push_back(std::move(attempt));
}

void RunFold::see(const LogRow& row, Evaluated& event) {
  const auto found = position_.find(event.evidence.attempt);
  if (found == position_.end() || !attempts_[found->second].in_flight()) {
    return;  // unknown, lost or already answered: the engine ignores it too
  }
  Attempt& attempt = attempts_[found->second];
  attempt.evidence = std::move(event.evidence);
  attempt.evaluated_at = row.seq;
  attempt.at = elapsed_;
  attempt.lane = lane_use_of(*attempt.evidence);
  if (!options_.keep_sections) {
    drop_sections(*attempt.evidence);
  }
  charge(attempt.evidence->cost);
  settle(attempt, found->second);
}

void RunFold::settle(Attempt& attempt, std::size_t index) {
  const bool search = attempt.proposal.fidelity == Fidelity::search;
  const Verdict& verdict = attempt.evidence->verdict;
  if (search && !verdict.valid) {
    ++rejections_[{verdict.gate, verdict.failure}];
  }
  if (!verdict.valid && verdict.failure == FailureClass::infrastructure) {
    give_back(attempt);
    return;
  }
  answered_ += search ? 1 : 0;
  valid_ += search && verdict.valid ? 1 : 0;
  const auto cost = attempt.log_cost();
  if (!cost) {
    return;
  }
  if (const auto node = nodes_.find(attempt.proposal.node); search && node != nodes_.end()) {
    ++node->second.valid;
    auto& best = node->second.best_log_cost;
    best = best ? std::min(*best, *cost) : *cost;
  }
  auto& best = best_[attempt.evidence->precision][index_of(attempt.proposal.fidelity)];
  if (best && *attempts_[*best].log_cost() <= *cost) {
    return;
  }
  best = index;
  attempt.improved = true;
  if (search) {
    curves_[attempt.evidence->precision].push_back({index, answered_, attempt.at, *cost});
  }
}

void RunFold::charge(const Cost& cost) {
  cost_.compile += cost.compile;
  cost_.device += cost.device;
  cost_.llm += cost.llm;
  cost_.llm_tokens += cost.llm_tokens;
  cost_.money += cost.money;
}

void RunFold::see(const LogRow& row, EditApplied& event) {
  std::visit([this, &row](auto& edit) { apply(row.seq, edit); }, event.edit);
}

void RunFold::apply(EventSeq seq, Insert& insert) {
  NodeRecord& node = nodes_[insert.node];
  node.priority = insert.priority;
  node.reason = insert.reason;
  node.edits.push_back(seq);
  children_[insert.parent].push_back(insert.node);
  node.insert = std::move(insert);
}

void RunFold::apply(EventSeq seq, Update& update) {
  const auto found = nodes_.find(update.node);
  if (found == nodes_.end()) {
    return;
  }
  NodeRecord& node = found->second;
  node.priority = update.priority.value_or(node.priority);
  node.state = update.state.value_or(node.state);
  node.best = update.best ? update.best : node.best;
  node.reason = update.reason;
  node.edits.push_back(seq);
}

void RunFold::apply(EventSeq seq, Prune& prune) {
  std::vector<NodeId> subtree{prune.node};
  for (std::size_t i = 0; i < subtree.size(); ++i) {
    const auto found = nodes_.find(subtree[i]);
    if (found == nodes_.end()) {
      continue;
    }
    NodeRecord& node = found->second;
    if (i == 0) {
      node.reason = prune.reason;
      node.edits.push_back(seq);
    } else if (node.state != NodeState::pruned) {
      node.reason = "node " + std::to_string(prune.node.value) + " was pruned";
      node.edits.push_back(seq);
    }
    node.state = NodeState::pruned;
    if (const auto below = children_.find(subtree[i]);
        below != children_.end() && subtree.size() <= nodes_.size()) {
      const std::vector<NodeId>& ids = below->second;
      subtree.insert(subtree.end(), ids.begin(), ids.end());
    }
  }
}

const Attempt* RunFold::attempt(AttemptId id) const {
  const auto found = position_.find(id);
  return found == position_.end() ? nullptr : &attempts_[found->second];
}

std::int64_t RunFold::in_flight() const {
  return std::ranges::count_if(attempts_, &Attempt::in_flight);
}

std::map<std::string, std::int64_t> RunFold::rejected() const {
  std::map<std::string, std::int64_t> out;
  for (const auto& [rejection, count] : rejections_) {
    out[std::string(to_text(rejection.failure))] += count;
  }
  return out;
}

std::vector<std::string> RunFold::precisions() const {
  std::vector<std::string> out;
  for (const auto& entry : best_) {
    out.push_back(entry.first);
  }
  return out;
}

const std::vector<BestStep>& RunFold::curve(std::string_view precision) const {
  static const std::vector<BestStep> kNone;
  const auto found = curves_.find(precision);
  return found == curves_.end() ? kNone : found->second;
}

const Attempt* RunFold::attempt_of(CandidateId candidate) const {
  const auto found = candidates_.find(candidate);
  if (found == candidates_.end()) {
    return nullptr;
  }
  const Attempt* out = nullptr;
  const auto rank = [](const Attempt& a) {
    return std::pair(a.valid(), index_of(a.proposal.fidelity));
  };
  for (const std::size_t index : found->second.attempts) {
    const Attempt& attempt = attempts_[index];
    if (out == nullptr || rank(attempt) >= rank(*out)) {
      out = &attempt;
    }
  }
  return out;
}

const Attempt* RunFold::best(std::string_view precision) const {
  for (auto item = promoted_.rbegin(); item != promoted_.rend(); ++item) {
    if (item->precision == precision) {
      const Attempt* promotion = attempt(item->attempt);
      return promotion != nullptr && promotion->valid() ? promotion : attempt_of(item->candidate);
    }
  }
  const auto found = best_.find(precision);
  if (found == best_.end()) {
    return nullptr;
  }
  for (const Fidelity fidelity : {Fidelity::promote, Fidelity::finalist, Fidelity::search}) {
    if (const auto& index = found->second[index_of(fidelity)]) {
      return &attempts_[*index];
    }
  }
  return nullptr;
}

const Attempt* RunFold::best() const {
  const Attempt* out = nullptr;
  for (const std::string& precision : precisions()) {
    const Attempt* one = best(precision);
    if (one != nullptr && one->log_cost() &&
        (out == nullptr || *one->log_cost() < *out->log_cost())) {
      out = one;
    }
  }
  return out;
}

Result<Evidence> RunFold::full_evidence(const ExperimentLog& log, const Attempt& attempt) {
  if (!attempt.evaluated_at) {
    return Error{ErrorCode::missing,
                 "attempt " + std::to_string(attempt.proposal.attempt.value) +
                     ": expected evidence, found none"};
  }
  COPPICE_TRY(const LogRow row, log.row(attempt.evaluated_at));
  COPPICE_TRY(Event event, decode(row.bytes));
  auto* evaluated = std::get_if<Evaluated>(&event);
  if (evaluated == nullptr) {
    return Error{ErrorCode::corrupt,
                 "event " + std::to_string(row.seq.value) + ": expected evidence"};
  }
  return std::move(evaluated->evidence);
}

}  // namespace coppice::archive
