// memory.json: proven facts and dead ends, with pointers to the attempts that show them.
#include "archive/export_history.h"

#include <algorithm>

namespace coppice::archive {

namespace {

constexpr std::size_t kPointers = 8;  // attempts named per fact

struct Tally {
  std::int64_t attempts = 0, valid = 0;
  std::optional<double> best_log_cost;
  std::map<FailureClass, std::int64_t> failures;
  std::vector<AttemptId> pointers;

  void add(const Attempt& attempt) {
    ++attempts;
    if (pointers.size() < kPointers) {
      pointers.push_back(attempt.proposal.attempt);
    }
    if (!attempt.valid()) {
      ++failures[attempt.evidence->verdict.failure];
      return;
    }
    ++valid;
    if (const auto cost = attempt.log_cost(); cost) {
      best_log_cost = best_log_cost ? std::min(*best_log_cost, *cost) : *cost;
    }
  }
};

struct LevelKey {
  std::string template_name, axis;
  Value level;
  friend bool operator<(const LevelKey& a, const LevelKey& b) {
    return std::tie(a.template_name, a.axis, a.level) < std::tie(b.template_name, b.axis, b.level);
  }
};

// Axis values by name, or by position where nobody can name them: "axis 0": 2.
ValueMap levels_of(const CandidateSpec& spec, const CandidateSource& source) {
  if (source.axis_values) {
    if (auto values = source.axis_values(spec); values.ok()) {
      return std::move(values).value();
    }
  }
  ValueMap out;
  for (std::size_t i = 0; i < spec.genome.levels.size(); ++i) {
    out["axis " + std::to_string(i)] = static_cast<std::int64_t>(spec.genome.levels[i]);
  }
  return out;
}

Json pointers_json(const std::vector<AttemptId>& ids) {
  return Json::array_of(ids, [](AttemptId id) { return Json(id.value); });
}

Json tally_json(Json out, const Tally& tally) {
  out.set("attempts", tally.attempts).set("valid", tally.valid);
  if (tally.best_log_cost) {
    out.set("best_log_cost", *tally.best_log_cost);
  }
  if (!tally.failures.empty()) {
    Json failures = Json::object();
    for (const auto& [failure, count] : tally.failures) {
      failures.set(to_text(failure), count);
    }
    out.set("failures", std::move(failures));
  }
  return out;
}

Json best_json(const RunFold& fold, const CandidateSource& source) {
  Json out = Json::array();
  for (const std::string& precision : fold.precisions()) {
    const Attempt* best = fold.best(precision);
    if (best == nullptr || !best->log_cost()) {
      continue;
    }
    const CandidateSpec& spec = best->proposal.spec;
    Json axes = Json::object();
    for (const auto& [name, value] : levels_of(spec, source)) {
      axes.set(name, Json(value));
    }
    Json one = Json::object();
    one.set("precision", precision)
        .set("candidate", best->proposal.candidate.value)
        .set("attempt", best->proposal.attempt.value)
        .set("fidelity", to_text(best->proposal.fidelity))
        .set("template", spec.template_name)
        .set("axes", std::move(axes))
        .set("log_cost", *best->log_cost());
    if (const auto speedup = best->speedup()) {
      one.set("speedup", *speedup)
          .set("speedup_low", best->evidence->performance->speedup_low)
          .set("speedup_high", best->evidence->performance->speedup_high);
    }
    out.push(std::move(one));
  }
  return out;
}

Json level_json(const LevelKey& key, const Tally& tally) {
  return tally_json(Json::object()
                        .set("template", key.template_name)
                        .set("axis", key.axis)
                        .set("level", Json(key.level)),
                    tally);
}

Json pruned_json(const RunFold& fold) {
  Json out = Json::array();
  for (const auto& [id, node] : fold.nodes()) {
    if (node.state == NodeState::pruned) {
      out.push(Json::object()
                   .set("node", id.value)
                   .set("title", node.insert.title)
                   .set("reason", node.reason));
    }
  }
  return out;
}

}  // namespace

Json memory_of(const RunFold& fold, const CandidateSource& source) {
  std::map<std::string, Tally> templates;
  std::map<LevelKey, Tally> levels;
  std::map<Rejection, Tally> rejections;
  for (const Attempt& attempt : fold.attempts()) {
    if (attempt.proposal.fidelity != Fidelity::search || !attempt.evidence ||
        attempt.evidence->verdict.failure == FailureClass::infrastructure) {
      continue;
    }
    const Verdict& verdict = attempt.evidence->verdict;
    if (!verdict.valid) {
      rejections[{verdict.gate, verdict.failure}].add(attempt);
    }
    const CandidateSpec& spec = attempt.proposal.spec;
    if (spec.template_name.empty()) {
      continue;
    }
    templates[spec.template_name].add(attempt);
    for (const auto& [axis, level] : levels_of(spec, source)) {
      levels[{spec.template_name, axis, level}].add(attempt);
    }
  }
  Json out = Json::object();
  out.set("v", 1).set("best", best_json(fold, source)).set("pruned", pruned_json(fold));
  if (fold.start()) {
    out.set("run", fold.start()->run);
  }
  out.set("templates", Json::array_of(templates, [](const auto& entry) {
            return tally_json(Json::object().set("template", entry.first), entry.second);
          }));
  Json all = Json::array();
  Json dead = Json::array();
  for (const auto& [key, tally] : levels) {
    all.push(level_json(key, tally));
    if (tally.valid == 0 && tally.attempts >= kDeadAfter) {
      dead.push(level_json(key, tally).set("shown_by", pointers_json(tally.pointers)));
    }
  }
  out.set("levels", std::move(all)).set("dead_ends", std::move(dead));
  out.set("rejected", Json::array_of(rejections, [](const auto& entry) {
            return Json::object()
                .set("gate", to_text(entry.first.gate))
                .set("failure", to_text(entry.first.failure))
                .set("count", entry.second.attempts)
                .set("shown_by", pointers_json(entry.second.pointers));
          }));
  return out;
}

}  // namespace coppice::archive
