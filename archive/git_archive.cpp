// The git archive: folds the log into commits.
#include "archive/git_archive.h"

#include "archive/git_archive_state.h"
#include "archive/git_message.h"
#include "archive/git_store.h"
#include "archive/run_lock.h"
#include "archive/run_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace coppice::archive {

namespace {

constexpr std::size_t kTipsPerCommit = 60;  // parents of one commit of `all`

struct OpenAttempt {
  Proposed proposal;
  std::uint64_t seq = 0;
  std::int64_t seconds = 0;
};

struct Evaluation {
  Evidence evidence;
  std::uint64_t seq = 0;
};

// Better: more thorough first, then faster.
bool better(const GitBest& a, const GitBest& b) {
  return a.fidelity != b.fidelity ? a.fidelity > b.fidelity : a.log_cost < b.log_cost;
}

class Exporter {
 public:
  Exporter(const ExperimentLog& log,
           const CandidateSource& source,
           const GitExportOptions& options,
           GitStore store)
      : log_(log), source_(source), options_(options), store_(std::move(store)) {}

  Result<GitExported> run();

 private:
  Result<void> restore();
  Result<bool> take(const LogRow& row);
  Result<void> see_evaluated(Evaluated event, const LogRow& row);
  Result<void> see_promoted(const Promoted& event, const LogRow& row);
  void see_resumed(const Resumed& event);
  Result<void> settle_open(std::int64_t seconds);
  Result<GitId> commit_candidate(const OpenAttempt& attempt,
                                 const Evidence* evidence,
                                 std::int64_t seconds);
  Result<GitId> parent_commit(CandidateId id, std::int64_t seconds);
  Result<std::vector<GitEntry>> files_of(const Proposed& proposal, std::string& label);
  Result<std::vector<GitEntry>> tree_of(const Proposed& proposal,
                                        const Evidence* evidence,
                                        std::string& label);
  Result<void> finish_batch();
  Result<GitId> put_reach(const GitId& tree, std::int64_t seconds);
  Result<void> move_branches();

  const ExperimentLog& log_;
  const CandidateSource& source_;
  const GitExportOptions& options_;
  GitStore store_;
  GitArchiveState state_;
  std::optional<GitId> all_;
  std::map<AttemptId, OpenAttempt> open_;             // proposals that may still be needed
  std::map<CandidateId, AttemptId> waiting_;          // candidate without a commit: its proposal
  std::map<AttemptId, Evaluation> promotions_;        // evidence of promotions, not yet promoted
  std::map<std::string, GitId> promoted_;             // branch to commit, of this batch
  std::vector<std::pair<CandidateId, GitId>> fresh_;  // commits of this batch
  std::set<GitId> tips_;                              // those without a child in this batch
  std::int64_t seconds_ = 0;                          // of the last event
  bool stopped_ = false;
  std::uint64_t new_candidates_ = 0;
};

Result<void> Exporter::restore() {
  COPPICE_TRY(all_, store_.ref("refs/heads/all"));
  COPPICE_TRY(state_, read_git_state(store_, all_));
  if (state_.events == 0) {
    return {};
  }
  const auto last = log_.row(EventSeq{state_.events});
  if (!last.ok() || last.value().chain != state_.chain) {
    return Error{ErrorCode::corrupt,
                 fmt::format("made from another log (event {} differs); remove it and export again",
                             state_.events)};
  }
  seconds_ = last.value().written.count() / 1'000'000'000;
  for (const std::uint64_t seq : std::exchange(state_.open, {})) {
    COPPICE_TRY(const LogRow row, log_.row(EventSeq{seq}));
    COPPICE_TRY(Event event, decode(row.bytes));
    if (auto* proposed = std::get_if<Proposed>(&event)) {
      const AttemptId id = proposed->attempt;
      if (!state_.commits.contains(proposed->candidate)) {
        waiting_.emplace(proposed->candidate, id);
      }
      open_[id] = {std::move(*proposed), seq, row.written.count() / 1'000'000'000};
    } else if (auto* evaluated = std::get_if<Evaluated>(&event)) {
      promotions_[evaluated->evidence.attempt] = {std::move(evaluated->evidence), seq};
    }
  }
  return {};
}

Result<bool> Exporter::take(const LogRow& row) {
  auto decoded = decode(row.bytes);
  if (!decoded.ok()) {
    return Error{ErrorCode::corrupt,
                 fmt::format("event {}: {}", row.seq.value, decoded.error().message)};
  }
  Event& event = decoded.value();
  seconds_ = row.written.count() / 1'000'000'000;
  if (auto* proposed = std::get_if<Proposed>(&event)) {
    const AttemptId id = proposed->attempt;
    if (!state_.commits.contains(proposed->candidate)) {
      waiting_.emplace(proposed->candidate, id);
    }
    open_[id] = {std::move(*proposed), row.seq.value, seconds_};
  } else if (auto* evaluated = std::get_if<Evaluated>(&event)) {
    COPPICE_TRY_VOID(see_evaluated(std::move(*evaluated), row));
  } else if (const auto* promoted = std::get_if<Promoted>(&event)) {
    COPPICE_TRY_VOID(see_promoted(*promoted, row));
  } else if (const auto* resumed = std::get_if<Resumed>(&event)) {
    see_resumed(*resumed);
  } else if (std::holds_alternative<Stopped>(event)) {
    COPPICE_TRY_VOID(settle_open(seconds_));
  }
  state_.events = row.seq.value;
  state_.chain = row.chain;
  if (fresh_.size() < options_.pack_candidates && store_.pending_bytes() < options_.pack_bytes) {
    return true;
  }
  COPPICE_TRY_VOID(finish_batch());
  return !stopped_;
}

Result<void> Exporter::see_evaluated(Evaluated event, const LogRow& row) {
  const auto found = open_.find(event.evidence.attempt);
  if (found == open_.end()) {
    return {};  // unknown or already answered
  }
  const Evidence& evidence = event.evidence;
  const OpenAttempt& attempt = found->second;
  const CandidateId candidate = attempt.proposal.candidate;
  if (!state_.commits.contains(candidate)) {
    COPPICE_TRY_VOID(commit_candidate(attempt, &evidence, seconds_));
  }
  if (evidence.verdict.valid && evidence.performance) {
    const GitBest now{candidate, attempt.proposal.fidelity, evidence.performance->log_cost};
    const auto best = state_.best.emplace(evidence.precision, now);
    if (better(now, best.first->second)) {
      best.first->second = now;
    }
  }
  if (attempt.proposal.fidelity == Fidelity::promote) {
    promotions_[attempt.proposal.attempt] = {std::move(event.evidence), row.seq.value};
  } else {
    open_.erase(found);
  }
  return {};
}

Result<void> Exporter::see_promoted(const Promoted& event, const LogRow& row) {
  const auto attempt = open_.find(event.attempt);
  const auto evaluation = promotions_.find(event.attempt);
  const auto base = state_.commits.find(event.candidate);
  if (attempt == open_.end() || evaluation == promotions_.end() || base == state_.commits.end()) {
    return {};
  }
  std::string label;
  const Evidence& evidence = evaluation->second.evidence;
  COPPICE_TRY(auto files, tree_of(attempt->second.proposal, &evidence, label));
  GitCommit commit;
  COPPICE_TRY(commit.tree, store_.put_tree(std::move(files)));
  commit.parents = {base->second};
  commit.seconds = seconds_;
  commit.message =
      "promoted: " + candidate_message(attempt->second.proposal, row.seq.value, &evidence, label);
  COPPICE_TRY(const GitId id, store_.put_commit(commit));
  promoted_["refs/heads/promoted-" + run_name_base(event.precision)] = id;
  tips_.erase(base->second);
  tips_.insert(id);
  promotions_.erase(evaluation);
  open_.erase(attempt);
  return {};
}

// A lost attempt's candidate is proposed again, or gets its commit when the run stops.
void Exporter::see_resumed(const Resumed& event) {
  for (const AttemptId id : event.lost) {
    const auto found = open_.find(id);
    if (found == open_.end()) {
      continue;
    }
    const auto waiting = waiting_.find(found->second.proposal.candidate);
    if (waiting == waiting_.end() || waiting->second != id) {
      open_.erase(found);
    }
  }
}

Result<void> Exporter::settle_open(std::int64_t seconds) {
  const auto waiting = waiting_;
  for (const auto& entry : waiting) {
    COPPICE_TRY_VOID(parent_commit(entry.first, seconds));
  }
  return {};
}

Result<GitId> Exporter::parent_commit(CandidateId id, std::int64_t seconds) {
  if (const auto found = state_.commits.find(id); found != state_.commits.end()) {
    return found->second;
  }
  const auto waiting = waiting_.find(id);
  const auto attempt = waiting == waiting_.end() ? open_.end() : open_.find(waiting->second);
  if (attempt == open_.end()) {
    return Error{ErrorCode::missing, fmt::format("candidate {} was never proposed", id.value)};
  }
  return commit_candidate(attempt->second, nullptr, seconds);
}

Result<GitId> Exporter::commit_candidate(const OpenAttempt& attempt,
                                         const Evidence* evidence,
                                         std::int64_t seconds) {
  const Proposed proposal = attempt.proposal;  // a copy: a parent's commit may change the maps
  const std::uint64_t seq = attempt.seq;
  waiting_.erase(proposal.candidate);
  GitCommit commit;
  for (const CandidateId parent : proposal.parents) {
    const auto id = parent_commit(parent, seconds);
    if (id.ok()) {
      if (std::ranges::find(commit.parents, id.value()) == commit.parents.end()) {
        commit.parents.push_back(id.value());
      }
    } else if (id.error().code != ErrorCode::missing) {
      return id.error();
    }
  }
  std::string label;
  COPPICE_TRY(auto files, tree_of(proposal, evidence, label));
  COPPICE_TRY(commit.tree, store_.put_tree(std::move(files)));
  commit.seconds = seconds;
  commit.message = candidate_message(proposal, seq, evidence, label);
  COPPICE_TRY(const GitId id, store_.put_commit(commit));
  for (const GitId& parent : commit.parents) {
    tips_.erase(parent);
  }
  tips_.insert(id);
  state_.commits.emplace(proposal.candidate, id);
  fresh_.emplace_back(proposal.candidate, id);
  ++state_.candidates;
  ++new_candidates_;
  return id;
}

// Source and plan: from the log when they are stored text, else from whoever knows the op.
Result<std::vector<GitEntry>> Exporter::files_of(const Proposed& proposal, std::string& label) {
  std::vector<GitEntry> out;
  const auto add = [&](std::string_view name, std::string_view bytes) -> Result<void> {
    COPPICE_TRY(const GitId id, store_.put_blob(bytes, name));
    out.push_back({std::string(name), id, false});
    return {};
  };
  if (source_.candidate) {
    const auto candidate = source_.candidate(proposal.candidate, proposal.spec);
    if (candidate.ok()) {
      label = candidate.value().label;
      const std::string& name = candidate.value().source_name;
      const bool plain = is_run_name(name) || name.find('/') == std::string::npos;
      COPPICE_TRY_VOID(add(plain && !name.empty() ? name : "kernel", candidate.value().source));
      COPPICE_TRY_VOID(add("plan.json", to_json(candidate.value().plan).pretty()));
      return out;
    }
  }
  if (proposal.spec.source) {
    COPPICE_TRY(const std::string text, log_.blob(*proposal.spec.source));
    COPPICE_TRY_VOID(add("kernel", text));
  }
  if (proposal.spec.plan) {
    COPPICE_TRY(const std::string text, log_.blob(*proposal.spec.plan));
    COPPICE_TRY_VOID(add("plan.json", text));
  }
  return out;
}

Result<std::vector<GitEntry>> Exporter::tree_of(const Proposed& proposal,
                                                const Evidence* evidence,
                                                std::string& label) {
  COPPICE_TRY(std::vector<GitEntry> out, files_of(proposal, label));
  Json genome = Json::object();
  genome.set("template", proposal.spec.template_name)
      .set("levels", Json::array_of(proposal.spec.genome.levels, [](std::uint16_t level) {
             return Json(static_cast<int>(level));
           }));
  if (source_.axis_values) {
    if (const auto values = source_.axis_values(proposal.spec); values.ok()) {
      Json axes = Json::object();
      for (const auto& [name, value] : values.value()) {
        axes.set(name, Json(value));
      }
      genome.set("axes", std::move(axes));
    }
  }
  COPPICE_TRY(const GitId id, store_.put_blob(genome.pretty() + "\n", "genome.json"));
  out.push_back({"genome.json", id, false});
  if (evidence != nullptr) {
    COPPICE_TRY(const GitId packet,
                store_.put_blob(to_json(*evidence).pretty() + "\n", "evidence.json"));
    out.push_back({"evidence.json", packet, false});
  }
  return out;
}

// The commit of `all`: reaches what was there and every new tip. A commit with thousands of parents
// would be legal, but nobody could look at it.
Result<GitId> Exporter::put_reach(const GitId& tree, std::int64_t seconds) {
  const std::vector<GitId> tips(tips_.begin(), tips_.end());
  std::optional<GitId> last = all_;
  std::size_t done = 0;
  do {
    const std::size_t end = std::min(done + kTipsPerCommit, tips.size());
    GitCommit commit;
    if (last) {
      commit.parents.push_back(*last);
    }
    commit.parents.insert(commit.parents.end(),
                          tips.begin() + static_cast<std::ptrdiff_t>(done),
                          tips.begin() + static_cast<std::ptrdiff_t>(end));
    commit.tree = tree;
    commit.seconds = seconds;
    commit.message =
        fmt::format("all: {} candidates, {} events\n", state_.candidates, state_.events);
    COPPICE_TRY(const GitId id, store_.put_commit(commit));
    last = id;
    done = end;
  } while (done < tips.size());
  return *last;
}

Result<void> Exporter::finish_batch() {
  state_.open.clear();
  for (const auto& entry : open_) {
    state_.open.push_back(entry.second.seq);
  }
  for (const auto& entry : promotions_) {
    state_.open.push_back(entry.second.seq);
  }
  std::ranges::sort(state_.open);
  if (!fresh_.empty()) {
    std::string lines;
    for (const auto& [candidate, commit] : fresh_) {
      lines += fmt::format("{}\t{}\n", candidate.value, commit.hex());
    }
    const std::string name = fmt::format("{:06}.tsv", ++state_.batches);
    COPPICE_TRY(const GitId file, store_.put_blob(lines, name));
    state_.batch_files.push_back({name, file, false});
  }
  COPPICE_TRY(const GitId folder, store_.put_tree(state_.batch_files));
  COPPICE_TRY(const GitId json, store_.put_blob(to_json(state_).dump() + "\n", "state.json"));
  COPPICE_TRY(const GitId tree,
              store_.put_tree({{"candidates", folder, true}, {"state.json", json, false}}));
  COPPICE_TRY(const GitId all, put_reach(tree, seconds_));
  COPPICE_TRY_VOID(store_.write_pack());
  all_ = all;
  COPPICE_TRY_VOID(move_branches());
  fresh_.clear();
  tips_.clear();
  COPPICE_TRY_VOID(store_.consolidate(options_.most_packs));
  stopped_ = options_.progress && !options_.progress(state_.candidates);
  return {};
}

// `all` goes last: it says how far the export is.
Result<void> Exporter::move_branches() {
  const GitBest* fastest = nullptr;
  for (const auto& [precision, best] : state_.best) {
    const auto commit = state_.commits.find(best.candidate);
    if (commit != state_.commits.end()) {
      COPPICE_TRY_VOID(
          store_.set_ref("refs/heads/best-" + run_name_base(precision), commit->second));
    }
    if (fastest == nullptr || best.log_cost < fastest->log_cost) {
      fastest = &best;
    }
  }
  if (fastest != nullptr) {
    COPPICE_TRY_VOID(store_.set_ref("refs/heads/best", state_.commits.at(fastest->candidate)));
  }
  for (const auto& [name, commit] : promoted_) {
    COPPICE_TRY_VOID(store_.set_ref(name, commit));
  }
  promoted_.clear();
  COPPICE_TRY_VOID(store_.set_ref("refs/heads/all", *all_));
  return store_.set_head(fastest != nullptr ? "refs/heads/best" : "refs/heads/all");
}

Result<GitExported> Exporter::run() {
  COPPICE_TRY_VOID(restore());
  const std::uint64_t before = state_.events;
  const auto visited = log_.visit(EventSeq{before + 1},
                                  [this](const LogRow& row) -> Result<bool> { return take(row); });
  COPPICE_TRY_VOID(visited);
  if (!stopped_ && (!fresh_.empty() || !promoted_.empty() || state_.events != before)) {
    COPPICE_TRY_VOID(finish_batch());
  }
  GitExported out{state_.events, state_.candidates, new_candidates_, 0};
  COPPICE_TRY(out.packs, store_.packs());
  return out;
}

}  // namespace

Result<GitExported> export_git(const ExperimentLog& log,
                               const CandidateSource& source,
                               const std::string& repository,
                               const GitExportOptions& options) {
  COPPICE_TRY(GitStore store, GitStore::open(repository));
  COPPICE_TRY(const RunLock lock, RunLock::acquire(repository + "/coppice.lock"));
  return Exporter(log, source, options, std::move(store)).run().within(repository);
}

}  // namespace coppice::archive
