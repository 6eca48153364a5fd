// Says what a run came to.
#include "cli/run_answer.h"

#include "cli/device_evidence.h"
#include "cli/disagreement.h"
#include "cli/run_speed.h"
#include "cli/words.h"

#include <cmath>

namespace coppice::cli {
namespace {

const Against* find(const std::vector<Against>& against, std::string_view strategy) {
  for (const Against& item : against) {
    if (item.strategy == strategy && item.ratio) {
      return &item;
    }
  }
  return nullptr;
}

struct Over {
  std::optional<double> ratio;
  std::string basis;
};

Over over_default(const RunReader& run, const std::vector<Against>& against) {
  if (const Against* other = find(against, "default")) {
    return {other->ratio, other->basis};
  }
  const archive::Attempt* best = run.best();
  const archive::Attempt* first = run.best_default();
  if (best == nullptr || first == nullptr) {
    return {};
  }
  // Like with like: both as the search timed them, where it did.
  const archive::Attempt* searched = best;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const bool same = attempt.proposal.candidate == best->proposal.candidate;
    if (same && attempt.proposal.fidelity == first->proposal.fidelity && attempt.log_cost()) {
      searched = &attempt;
    }
  }
  return {std::exp(*first->log_cost() - *searched->log_cost()), "baseline"};
}

Over over_random(const std::vector<Against>& against) {
  const Against* other = find(against, "random");
  return other == nullptr ? Over{} : Over{other->ratio, other->basis};
}

Json number_or_null(const std::optional<double>& number) {
  return number ? Json(*number) : Json();
}

Json count_or_null(const std::optional<std::int64_t>& number) {
  return number ? Json(*number) : Json();
}

Json best_answer(const RunReader& run, const std::vector<Against>& against) {
  const archive::Attempt* best = run.best();
  if (best == nullptr) {
    return Json();
  }
  Json out = Json::object();
  out.set("candidate", best->proposal.candidate.value);
  out.set("label", run.label(*best)).set("precision", best->evidence->precision);
  const Performance& performance = *best->evidence->performance;
  const bool compared = !performance.baseline.empty();  // else there is nothing to be faster than
  out.set("speedup", compared ? Json(performance.speedup) : Json());
  out.set("speedup_low", compared ? Json(performance.speedup_low) : Json());
  out.set("speedup_high", compared ? Json(performance.speedup_high) : Json());
  out.set("sol_score", compared ? Json(performance.sol_score) : Json());
  out.set("baseline", performance.baseline);
  out.set("fidelity", to_text(best->proposal.fidelity));
  const Over by_default = over_default(run, against);
  const Over by_random = over_random(against);
  Json basis = Json::object();
  basis.set("over_default", by_default.basis).set("over_random", by_random.basis);
  out.set("over_default", number_or_null(by_default.ratio));
  out.set("over_random", number_or_null(by_random.ratio));
  out.set("basis", std::move(basis));
  const Evidence& evidence = *best->evidence;
  if (evidence.counters) {
    out.set("counters", to_json(*evidence.counters));
  }
  if (evidence.memory_check) {
    out.set("memory_check", to_json(*evidence.memory_check));
  }
  return out;
}

// How soon each of the two had the other's final best.
std::string attempts_text(const Against& item) {
  if (!item.best_after) {
    return "";
  }
  return "  " + item.strategy + " had its best at its attempt " + std::to_string(*item.best_after) +
         " of " + std::to_string(item.attempts) + ", this run was as good at its " +
         (item.as_good_after ? std::to_string(*item.as_good_after) : std::string("none")) + "\n";
}

}  // namespace

Json run_answer(const RunReader& run, const std::vector<Against>& against) {
  const archive::RunFold& fold = run.fold();
  const RunMaterial& material = run.material();
  Json rejected = Json::object();
  for (const auto& [failure, count] : fold.rejected()) {
    rejected.set(failure, count);
  }
  Json out = Json::object();
  out.set("schema", 1).set("run", run.name()).set("op", material.op.name);
  out.set("suite", material.config.suite).set("target", material.target.name);
  out.set("strategy", search::to_text(material.config.search.strategy));
  out.set("seed", material.config.seed);
  out.set("attempts", fold.searched()).set("valid", fold.valid());
  out.set("best", best_answer(run, against));
  out.set("rejected", std::move(rejected));
  out.set("speed", to_json(run_speed(fold)));
  out.set("seconds", to_seconds(fold.elapsed())).set("archive", run.archive_path());
  out.set("stop_reason",
          fold.stopped() ? Json(to_text(fold.stopped()->reason)) : Json("interrupted"));
  out.set("compared", Json::array_of(against, [](const Against& item) {
            Json json = Json::object();
            json.set("strategy", item.strategy).set("run", item.run);
            json.set("ratio", number_or_null(item.ratio)).set("basis", item.basis);
            json.set("attempts", item.attempts).set("best_after", count_or_null(item.best_after));
            json.set("as_good_after", count_or_null(item.as_good_after));
            json.set("workloads", Json::array_of(item.workloads, [](const auto& one) {
                       return Json::object().set("workload", one.workload).set("ratio", one.ratio);
                     }));
            return json;
          }));
  return out;
}

std::string run_summary_text(const RunReader& run, const std::vector<Against>& against) {
  const archive::RunFold& fold = run.fold();
  std::string text = run.name() + ": " + std::to_string(fold.searched()) + " attempts, " +
                     std::to_string(fold.valid()) + " valid, " + duration_text(fold.elapsed());
  text += fold.stopped() ? "; " + fold.stopped()->message + "\n" : "; interrupted\n";
  const archive::Attempt* best = run.best();
  if (best == nullptr) {
    text += "no candidate passed every gate\n";
    const auto finding = Disagreement::of(run).finding();
    return finding ? text + *finding + "\n" : text;
  }
  const Performance& performance = *best->evidence->performance;
  text += "best: candidate " + std::to_string(best->proposal.candidate.value) + ", " +
          run.label(*best) + "\n";
  if (performance.baseline.empty()) {
    text += "  " + cost_text(performance.log_cost, false) + " (there is no baseline)\n";
  } else {
    text += "  " + speed_text(performance.speedup) + " the speed of " + performance.baseline +
            " (95 % interval " + speed_text(performance.speedup_low) + " to " +
            speed_text(performance.speedup_high) + ", " +
            std::string(to_text(best->proposal.fidelity)) + " timing)\n";
  }
  text += device_evidence_text(fold, best->proposal.candidate, "  ");
  const Over by_default = over_default(run, against);
  if (by_default.ratio) {
    text += "  " + speed_text(*by_default.ratio) + " the best template default\n";
  }
  for (const Against& item : against) {
    if (item.ratio && item.strategy != "default") {
      text += "  " + speed_text(*item.ratio) + " the winner of " + item.strategy + " (" + item.run +
              (item.basis == "paired" ? ", timed in turn)\n" : ", both against the baseline)\n");
    }
    text += attempts_text(item);
  }
  return text;
}

std::optional<std::int64_t> attempts_until(const RunReader& run, double log_cost) {
  for (const archive::BestStep& step : run.fold().curve(run.headline())) {
    if (step.log_cost <= log_cost) {
      return step.searched;
    }
  }
  return std::nullopt;
}

Against against_by_baseline(const RunReader& run, const RunReader& other) {
  Against out;
  out.strategy = std::string(search::to_text(other.material().config.search.strategy));
  out.run = other.name();
  if (const Result<Digest> head = archive::head_of(other.log()); head.ok()) {
    out.head = *head;
  }
  out.basis = "baseline";
  out.attempts = other.fold().searched();
  if (const auto& curve = other.fold().curve(other.headline()); !curve.empty()) {
    out.best_after = curve.back().searched;
    out.as_good_after = attempts_until(run, curve.back().log_cost);
  }
  const archive::Attempt* mine = run.best();
  const archive::Attempt* theirs = other.best();
  if (mine != nullptr && theirs != nullptr) {
    out.ratio = std::exp(*theirs->log_cost() - *mine->log_cost());
  }
  return out;
}

}  // namespace coppice::cli
