// Collects what the report page draws.
#include "cli/report_data.h"

#include "cli/device_evidence.h"
#include "cli/model_fit.h"
#include "cli/opponents.h"
#include "cli/pareto.h"
#include "cli/text_diff.h"

#include <cmath>
#include <map>

namespace coppice::cli {
namespace {

Json maybe(const std::optional<double>& number) {
  return number ? Json(*number) : Json();
}

// Speeds are told against the frozen baseline; where there is none, against the best template
// default.
struct Yardstick {
  std::string name;  // empty: what the baselines are called
  double log_cost = 0.0;

  Json speed(const std::optional<double>& cost) const {
    return cost ? Json(std::exp(log_cost - *cost)) : Json();
  }
};

Yardstick yardstick_of(const RunReader& run) {
  const archive::Attempt* first = run.best_default();
  if (run.against_baseline() || first == nullptr) {
    return {};
  }
  return {"the best template default", *first->log_cost()};
}

Json attempts_of(const RunReader& run) {
  const Yardstick yardstick = yardstick_of(run);
  Json out = Json::array();
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (attempt.proposal.fidelity != Fidelity::search || !attempt.evidence) {
      continue;
    }
    const Proposed& proposal = attempt.proposal;
    const Verdict& verdict = attempt.evidence->verdict;
    const bool headline = attempt.evidence->precision == run.headline();
    const auto cost = headline ? attempt.log_cost() : std::nullopt;
    Json item = Json::object();
    item.set("n", proposal.attempt.value).set("at", to_seconds(attempt.at));
    item.set("candidate", proposal.candidate.value).set("node", proposal.node.value);
    item.set("mutator", proposal.mutator).set("label", run.label(attempt));
    item.set("fidelity", to_text(proposal.fidelity)).set("valid", verdict.valid && headline);
    item.set("failure", to_text(verdict.failure)).set("gate", to_text(verdict.gate));
    item.set("speedup", yardstick.speed(cost)).set("log_cost", maybe(attempt.log_cost()));
    if (proposal.prediction) {
      item.set("predicted", proposal.prediction->log_cost);
      item.set("spread", proposal.prediction->spread);
    }
    out.push(std::move(item));
  }
  return out;
}

Json workloads_of(const Performance& performance) {
  return Json::array_of(performance.workloads, [](const WorkloadTiming& row) {
    Json item = Json::object();
    item.set("workload", row.workload).set("median_us", to_microseconds(row.median));
    const bool compared = row.baseline_median.count() > 0;
    item.set("baseline_us", compared ? Json(to_microseconds(row.baseline_median)) : Json());
    item.set("speedup", compared ? Json(row.speedup) : Json());
    item.set("speedup_low", compared ? Json(row.speedup_low) : Json());
    item.set("speedup_high", compared ? Json(row.speedup_high) : Json());
    item.set("floor_us", to_microseconds(row.floor)).set("sol_score", row.sol_score);
    return item;
  });
}

Json best_of(const RunReader& run) {
  const archive::Attempt* best = run.best();
  if (best == nullptr) {
    return Json();
  }
  const Performance& performance = *best->evidence->performance;
  Json out = Json::object();
  out.set("candidate", best->proposal.candidate.value).set("label", run.label(*best));
  out.set("precision", best->evidence->precision).set("error", best->evidence->error);
  out.set("gate", to_text(best->evidence->verdict.gate));
  const Yardstick yardstick = yardstick_of(run);
  const bool named = yardstick.name.empty();
  out.set("baseline", named ? performance.baseline : yardstick.name);
  out.set("speedup", yardstick.speed(performance.log_cost));
  out.set("speedup_low", named ? Json(performance.speedup_low) : Json());
  out.set("speedup_high", named ? Json(performance.speedup_high) : Json());
  out.set("sol_score", named ? Json(performance.sol_score) : Json());
  out.set("workloads", workloads_of(performance));
  out.set("device", device_evidence_text(run.fold(), best->proposal.candidate, ""));
  return out;
}

Json tree_of(const RunReader& run) {
  const Yardstick yardstick = yardstick_of(run);
  const archive::Attempt* best = run.best();
  Json out = Json::array();
  for (const auto& [id, node] : run.fold().nodes()) {
    Json item = Json::object();
    item.set("id", id.value);
    item.set("parent", node.insert.parent ? Json(node.insert.parent.value) : Json());
    item.set("kind", to_text(node.insert.kind)).set("state", to_text(node.state));
    item.set("title", node.insert.title).set("reason", node.reason);
    item.set("attempts", node.attempts).set("valid", node.valid);
    item.set("best_speedup", yardstick.speed(node.best_log_cost));
    item.set("winner", best != nullptr && best->proposal.node == id);
    out.push(std::move(item));
  }
  return out;
}

std::int64_t attempts_in(const RunReader& run, const std::string& template_name) {
  std::int64_t count = 0;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    count += attempt.proposal.spec.template_name == template_name &&
                     attempt.proposal.fidelity == Fidelity::search
                 ? 1
                 : 0;
  }
  return count;
}

Json frontier_of(const RunReader& run, const search::Engine* engine) {
  Json out = Json::array();
  if (engine == nullptr) {
    return out;
  }
  const Yardstick yardstick = yardstick_of(run);
  const archive::Attempt* best = run.best();
  ValueMap winner;
  if (best != nullptr) {
    const auto values = run.source().axis_values(best->proposal.spec);
    winner = values.ok() ? *values : ValueMap();
  }
  std::map<std::string, std::map<std::string, std::vector<search::FrontierEntry>>> grouped;
  for (const search::FrontierEntry& entry : engine->view().frontier()) {
    grouped[entry.template_name][entry.axis].push_back(entry);
  }
  for (const auto& [template_name, axes] : grouped) {
    Json group = Json::object();
    Json list = Json::array();
    for (const auto& [axis, levels] : axes) {
      Json item = Json::object();
      item.set("axis", axis).set("kind", to_text(levels.front().kind));
      item.set("levels", Json::array_of(levels, [&](const search::FrontierEntry& entry) {
                 const auto chosen = winner.find(entry.axis);
                 const bool won = best != nullptr && chosen != winner.end() &&
                                  best->proposal.spec.template_name == entry.template_name &&
                                  chosen->second == entry.level;
                 Json level = Json::object();
                 level.set("level", coppice::to_text(entry.level)).set("state", entry.state);
                 level.set("attempts", entry.attempts).set("valid", entry.valid);
                 level.set("best_speedup", yardstick.speed(entry.best_log_cost));
                 level.set("gain", entry.expected_gain).set("winner", won);
                 return level;
               }));
      list.push(std::move(item));
    }
    group.set("template", template_name).set("attempts", attempts_in(run, template_name));
    group.set("axes", std::move(list));
    out.push(std::move(group));
  }
  return out;
}

Json rejected_of(const RunReader& run) {
  struct Class {
    std::int64_t count = 0;
    std::string gates, example;
  };
  std::map<std::string, Class> classes;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (!attempt.evidence || attempt.valid() || attempt.proposal.fidelity != Fidelity::search) {
      continue;
    }
    const Verdict& verdict = attempt.evidence->verdict;
    Class& item = classes[std::string(to_text(verdict.failure))];
    ++item.count;
    const std::string gate(to_text(verdict.gate));
    if (item.gates.find(gate) == item.gates.npos) {
      item.gates += (item.gates.empty() ? "" : ", ") + gate;
    }
    item.example = item.example.empty() ? verdict.message : item.example;
  }
  Json out = Json::array();
  for (const auto& [failure, item] : classes) {
    Json json = Json::object();
    json.set("failure", failure).set("count", item.count);
    json.set("gates", item.gates).set("example", item.example);
    out.push(std::move(json));
  }
  return out;
}

Json mutators_of(const search::Engine* engine) {
  if (engine == nullptr) {
    return Json::array();
  }
  return Json::array_of(engine->view().mutators(), [](const search::MutatorView& mutator) {
    Json item = Json::object();
    item.set("name", mutator.name).set("tried", mutator.tried).set("valid", mutator.valid);
    item.set("improved", mutator.improved).set("gain", mutator.gain);
    item.set("seconds", mutator.seconds).set("weight", mutator.weight);
    return item;
  });
}

Result<Json> source_of(const RunReader& run) {
  const archive::Attempt* best = run.best();
  if (best == nullptr) {
    return Json();
  }
  COPPICE_TRY(const Candidate winner, run.candidate(*best));
  const std::string& template_name = best->proposal.spec.template_name;
  std::string seed;
  if (const auto spec = run.default_of(template_name)) {
    COPPICE_TRY(const Candidate first, candidate_of(run.material(), CandidateId{}, *spec));
    seed = first.source;
  }
  Json out = Json::object();
  out.set("label",
          "Candidate " + std::to_string(best->proposal.candidate.value) + ", " + run.label(*best));
  out.set("seed_label", "the default of template " + template_name);
  out.set("plan", to_json(winner.plan).pretty());
  out.set("diff", Json::array_of(diff_lines(seed, winner.source), [](const DiffLine& line) {
            Json item = Json::object();
            item.set("kind", std::string(1, line.kind)).set("text", line.text);
            return item;
          }));
  return out;
}

Json model_of(const archive::RunFold& fold) {
  const ModelFit fit = model_fit(fold);
  Json out = Json::object();
  out.set("predictions", fit.all.predictions);
  out.set("rank_correlation", fit.rank_correlation);
  out.set("inside_50", fit.all.share(fit.all.within_50));
  out.set("inside_80", fit.all.share(fit.all.within_80));
  out.set("inside_95", fit.all.share(fit.all.within_95));
  return out;
}

Json pareto_of(const RunReader& run) {
  const Yardstick yardstick = yardstick_of(run);
  return Json::array_of(pareto_front(run), [&](const ParetoPoint& point) {
    Json item = Json::object();
    item.set("candidate", point.attempt->proposal.candidate.value);
    item.set("label", run.label(*point.attempt));
    item.set("precision", point.attempt->evidence->precision);
    item.set("speedup", yardstick.speed(point.log_cost)).set("error", point.error);
    item.set("of_limit", point.attempt->evidence->error);
    return item;
  });
}

Json over(const JsonReader& answer, std::string_view key) {
  const auto best = answer.find("best");
  const auto member = best ? best->find(key) : std::nullopt;
  return member ? member->copy() : Json();
}

}  // namespace

Result<Json> report_data(const RunReader& run,
                         const search::Engine* engine,
                         const std::vector<Against>& against,
                         const std::vector<RunReader>& compared) {
  const RunMaterial& material = run.material();
  const archive::RunFold& fold = run.fold();
  const Json answer = run_answer(run, against);
  const JsonReader reader = answer.reader("answer");
  Json op = Json::object();
  op.set("name", material.op.name).set("family", material.op.family);
  op.set("summary", material.op.summary).set("digest", material.op.digest.hex());
  Json out = Json::object();
  out.set("schema", 1).set("run", run.name()).set("op", std::move(op));
  out.set("suite", material.config.suite).set("target", material.target.name);
  out.set("strategy", search::to_text(material.config.search.strategy));
  out.set("seed", material.config.seed).set("seconds", to_seconds(fold.elapsed()));
  out.set("valid", fold.valid()).set("attempts", attempts_of(run));
  out.set("stop_reason", fold.stopped() ? Json(fold.stopped()->message) : Json());
  out.set("over_default", over(reader, "over_default"));
  out.set("over_random", over(reader, "over_random"));
  out.set("baselines", opponents_json(run)).set("best", best_of(run));
  out.set("compare", Json::array_of(compared, [](const RunReader& other) {
            Json item = Json::object();
            item.set("strategy", search::to_text(other.material().config.search.strategy));
            item.set("run", other.name()).set("attempts", attempts_of(other));
            return item;
          }));
  out.set("tree", tree_of(run)).set("frontier", frontier_of(run, engine));
  out.set("rejected", rejected_of(run)).set("model", model_of(fold));
  out.set("mutators", mutators_of(engine)).set("pareto", pareto_of(run));
  COPPICE_TRY(Json source, source_of(run));
  out.set("source", std::move(source));
  out.set("replay_command", "coppice replay " + run.name());
  out.set("environment", fold.start() ? fold.start()->environment : Json());
  out.set("config", to_json(material.config));
  if (const archive::Attempt* best = run.best()) {
    COPPICE_TRY(const Evidence evidence, run.evidence(*best));
    out.set("evidence", to_json(evidence));
  }
  return out;
}

}  // namespace coppice::cli
