// Folds a log into attempts, nodes and results.
#include "cli/run_history.h"

#include <algorithm>
#include <unordered_map>

namespace coppice::cli {
namespace {

class Fold {
 public:
  Result<bool> take(const archive::LogRow& row) {
    Result<Event> event = decode(row.bytes);
    if (!event.ok()) {
      return Error{ErrorCode::corrupt,
                   "event " + std::to_string(row.seq.value) + ": " + event.error().message};
    }
    history_.events = row.seq.value;
    history_.written = row.written;
    if (row.seq.value == 1) {
      history_.began = row.written;
    }
    std::visit([this](auto& what) { see(what); }, *event);
    return true;
  }
  RunHistory end() { return std::move(history_); }

 private:
  void see(RunStarted& started) { history_.started = std::move(started); }
  void see(BaselineFrozen& frozen) { history_.baselines.push_back(std::move(frozen)); }
  void see(Tick& tick) { history_.elapsed = tick.elapsed; }
  void see(Stopped& stopped) { history_.stopped = std::move(stopped); }
  void see(Promoted& promoted) { history_.promoted.push_back(std::move(promoted)); }
  void see(WorkRequested&) {}
  void see(StopRequested&) {}
  void see(LlmReplied&) {}
  void see(LlmAsked&) {}
  void see(Idle&) {}

  void see(Resumed& resumed) {
    ++history_.sessions;
    history_.stopped.reset();
    for (const AttemptId id : resumed.lost) {
      if (Attempt* attempt = find(id)) {
        attempt->lost = true;
      }
    }
  }

  void see(Proposed& proposed) {
    position_[proposed.attempt.value] = history_.attempts.size();
    const auto node = history_.nodes.find(proposed.node);
    if (node != history_.nodes.end() && proposed.fidelity == Fidelity::search) {
      ++node->second.attempts;
    }
    history_.attempts.push_back(Attempt{std::move(proposed), std::nullopt, {}, false});
  }

  void see(Evaluated& evaluated) {
    Attempt* attempt = find(evaluated.evidence.attempt);
    if (attempt == nullptr || attempt->evidence) {
      return;
    }
    attempt->evidence = std::move(evaluated.evidence);
    attempt->at = history_.elapsed;
    const auto node = history_.nodes.find(attempt->proposal.node);
    const std::optional<double> cost = attempt->log_cost();
    if (node != history_.nodes.end() && cost && attempt->proposal.fidelity == Fidelity::search) {
      ++node->second.valid;
      auto& best = node->second.best_log_cost;
      best = best ? std::min(*best, *cost) : *cost;
    }
  }

  void see(EditApplied& applied) {
    std::visit([this](auto& edit) { apply(edit); }, applied.edit);
  }
  void apply(Insert& insert) {
    NodeRecord& node = history_.nodes[insert.node];
    node.priority = insert.priority;
    node.reason = insert.reason;
    node.insert = std::move(insert);
  }
  void apply(Update& update) {
    NodeRecord& node = history_.nodes[update.node];
    node.priority = update.priority.value_or(node.priority);
    node.state = update.state.value_or(node.state);
    node.best = update.best ? update.best : node.best;
    node.reason = update.reason;
  }
  void apply(Prune& prune) {
    NodeRecord& node = history_.nodes[prune.node];
    node.state = NodeState::pruned;
    node.reason = prune.reason;
  }

  Attempt* find(AttemptId id) {
    const auto found = position_.find(id.value);
    return found == position_.end() ? nullptr : &history_.attempts[found->second];
  }

  RunHistory history_;
  std::unordered_map<std::uint64_t, std::size_t> position_;
};

int thoroughness(const Attempt& attempt) {
  return static_cast<int>(attempt.proposal.fidelity);
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

std::int64_t RunHistory::searched() const {
  return std::ranges::count_if(
      attempts, [](const Attempt& a) { return a.proposal.fidelity == Fidelity::search; });
}

std::int64_t RunHistory::valid() const {
  return std::ranges::count_if(attempts, [](const Attempt& a) {
    return a.proposal.fidelity == Fidelity::search && a.valid();
  });
}

std::map<std::string, std::int64_t> RunHistory::rejected() const {
  std::map<std::string, std::int64_t> counts;
  for (const Attempt& attempt : attempts) {
    if (attempt.evidence && !attempt.valid() && attempt.proposal.fidelity == Fidelity::search) {
      ++counts[std::string(to_text(attempt.evidence->verdict.failure))];
    }
  }
  return counts;
}

const Attempt* RunHistory::attempt_of(CandidateId candidate) const {
  const Attempt* found = nullptr;
  for (const Attempt& attempt : attempts) {
    if (attempt.proposal.candidate != candidate) {
      continue;
    }
    const bool better =
        found == nullptr || (attempt.valid() && !found->valid()) ||
        (attempt.valid() == found->valid() && thoroughness(attempt) >= thoroughness(*found));
    found = better ? &attempt : found;
  }
  return found;
}

const Attempt* RunHistory::best(std::string_view precision) const {
  for (auto item = promoted.rbegin(); item != promoted.rend(); ++item) {
    if (item->precision == precision) {
      return attempt_of(item->candidate);
    }
  }
  const Attempt* found = nullptr;
  for (const Attempt& attempt : attempts) {
    if (!attempt.log_cost() || attempt.evidence->precision != precision) {
      continue;
    }
    const bool better =
        found == nullptr || thoroughness(attempt) > thoroughness(*found) ||
        (thoroughness(attempt) == thoroughness(*found) && *attempt.log_cost() < *found->log_cost());
    found = better ? &attempt : found;
  }
  return found;
}

Result<RunHistory> fold_history(const archive::ExperimentLog& log) {
  Fold fold;
  COPPICE_TRY_VOID(
      log.visit(EventSeq{1}, [&](const archive::LogRow& row) { return fold.take(row); }));
  return fold.end();
}

}  // namespace coppice::cli
