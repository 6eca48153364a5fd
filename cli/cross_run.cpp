// Folds all runs of an archive into levels and facts.
#include "cli/cross_run.h"

#include "cli/words.h"
#include "search/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace coppice::cli {
namespace {

constexpr std::size_t kShown = 6;          // attempts named for a fact
constexpr std::int64_t kDeadAttempts = 3;  // never valid
constexpr std::int64_t kOften = 8;         // attempts that confirm by themselves

using LevelId = std::tuple<std::string, std::string, std::string, Value>;
using Group = std::pair<std::string, std::string>;

struct Gathered {
  std::vector<std::string> runs;
  std::map<LevelId, CrossLevel> levels;
  std::map<LevelId, std::map<std::string, std::set<Value>>> company;  // levels of other axes
  std::map<LevelId, std::vector<Pointer>> winners;                    // promoted with it
};

bool blameless(const archive::Attempt& attempt) {
  const FailureClass failure = attempt.evidence->verdict.failure;
  return failure == FailureClass::infrastructure || failure == FailureClass::duplicate;
}

CrossLevel& entry(Gathered& into, const LevelId& id) {
  CrossLevel& level = into.levels[id];
  std::tie(level.op, level.template_name, level.axis, level.level) = id;
  return level;
}

void add_attempt(Gathered& into,
                 const RunReader& run,
                 const archive::Attempt& attempt,
                 const TemplateSpace& space,
                 std::optional<double> best) {
  const Genome& genome = attempt.proposal.spec.genome;
  for (std::size_t a = 0; a < space.space.size(); ++a) {
    if (space.space.axis(a).when && !space.space.active(genome, a)) {
      continue;
    }
    const LevelId id{
        run.material().op.name, space.name, space.space.axis(a).name, space.space.value(genome, a)};
    CrossLevel& level = entry(into, id);
    ++level.attempts;
    level.runs.insert(run.name());
    if (level.shown_by.size() < kShown) {
      level.shown_by.push_back({run.name(), attempt.proposal.attempt});
    }
    if (const auto cost = attempt.log_cost()) {
      ++level.valid;
      const double behind = *cost - best.value_or(*cost);
      level.behind = std::min(level.behind.value_or(behind), behind);
    } else {
      ++level.failures[attempt.evidence->verdict.failure];
    }
    for (std::size_t b = 0; b < space.space.size(); ++b) {
      if (b != a && space.space.axis(b).levels.size() > 1) {
        into.company[id][space.space.axis(b).name].insert(space.space.value(genome, b));
      }
    }
  }
}

void add_run(Gathered& into, const RunReader& run) {
  into.runs.push_back(run.name());
  const auto& spaces = run.material().templates.spaces;
  std::optional<double> best;
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    if (const auto cost = attempt.log_cost();
        cost && attempt.proposal.fidelity == Fidelity::search) {
      best = std::min(best.value_or(*cost), *cost);
    }
  }
  for (const TemplateSpace& space : spaces) {
    for (const Axis& axis : space.space.axes()) {
      for (const Value& level : axis.levels) {
        entry(into, {run.material().op.name, space.name, axis.name, level});
      }
    }
  }
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const CandidateSpec& spec = attempt.proposal.spec;
    const auto at = std::ranges::find(spaces, spec.template_name, &TemplateSpace::name);
    if (at == spaces.end() || spec.genome.levels.size() != at->space.size() || !attempt.evidence ||
        blameless(attempt)) {
      continue;
    }
    if (attempt.proposal.fidelity == Fidelity::search) {
      add_attempt(into, run, attempt, *at, best);
    }
  }
  for (const Promoted& promoted : run.fold().promoted()) {
    const archive::Attempt* attempt = run.fold().attempt_of(promoted.candidate);
    const auto at =
        attempt == nullptr
            ? spaces.end()
            : std::ranges::find(spaces, attempt->proposal.spec.template_name, &TemplateSpace::name);
    if (at == spaces.end() || attempt->proposal.spec.genome.levels.size() != at->space.size()) {
      continue;
    }
    for (std::size_t a = 0; a < at->space.size(); ++a) {
      if (at->space.axis(a).levels.size() > 1) {
        into.winners[{run.material().op.name,
                      at->name,
                      at->space.axis(a).name,
                      at->space.value(attempt->proposal.spec.genome, a)}]
            .push_back({run.name(), promoted.attempt});
      }
    }
  }
}

Result<void> add_gains(Gathered& into, const RunReader& run) {
  InlineExecutor executor;
  COPPICE_TRY(search::Engine engine,
              search::Engine::create(engine_setup(run.material()), executor));
  const auto followed =
      run.log().visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
        COPPICE_TRY(const Event event, decode(row.bytes));
        COPPICE_TRY_VOID(engine.follow(event));
        return true;
      });
  COPPICE_TRY_VOID(followed);
  for (const search::FrontierEntry& one : engine.view().frontier()) {
    CrossLevel& level =
        entry(into, {run.material().op.name, one.template_name, one.axis, one.level});
    level.expected_gain = std::max(level.expected_gain, one.expected_gain);
  }
  return {};
}

Maturity maturity_of(std::size_t runs, std::int64_t times) {
  if (runs >= 3) {
    return Maturity::established;
  }
  return runs == 2 || times >= kOften ? Maturity::confirmed : Maturity::tentative;
}

std::string level_words(const CrossLevel& level) {
  return fmt::format("{}: template {}, {}={}",
                     level.op,
                     level.template_name,
                     level.axis,
                     coppice::to_text(level.level));
}

std::string prerequisites_words(const CrossLevel& level) {
  std::string out;
  for (const auto& [axis, value] : level.prerequisites) {
    out += fmt::format(
        "{}{}={}", out.empty() ? ", seen only with " : " ", axis, coppice::to_text(value));
  }
  return out;
}

Fact dead_end(const CrossLevel& level) {
  Fact fact;
  fact.level = level;
  fact.maturity = maturity_of(level.runs.size(), level.attempts);
  const auto most = std::max_element(
      level.failures.begin(), level.failures.end(), [](const auto& a, const auto& b) {
        return a.second < b.second;
      });
  fact.text = fmt::format("{}: {} attempts in {} runs and not one valid, mostly {}{}",
                          level_words(level),
                          level.attempts,
                          level.runs.size(),
                          to_text(most->first),
                          prerequisites_words(level));
  return fact;
}

Fact winner(CrossLevel level, const std::vector<Pointer>& pointers) {
  std::set<std::string> runs;
  for (const Pointer& pointer : pointers) {
    runs.insert(pointer.run);
  }
  Fact fact;
  fact.kind = Fact::Kind::winner;
  fact.maturity = maturity_of(runs.size(), 0);
  fact.text = fmt::format("{}: in the promoted winner of {} of {} runs that tried it",
                          level_words(level),
                          runs.size(),
                          level.runs.size());
  level.shown_by = pointers;
  level.shown_by.resize(std::min(level.shown_by.size(), kShown));
  fact.level = std::move(level);
  return fact;
}

CrossRun finish(const Group& group, Gathered gathered) {
  CrossRun out;
  std::tie(out.family, out.target) = group;
  out.runs = std::move(gathered.runs);
  for (auto& [id, level] : gathered.levels) {
    for (const auto& [axis, values] : gathered.company[id]) {
      if (values.size() == 1 && level.attempts > 1) {
        level.prerequisites.emplace(axis, *values.begin());
      }
    }
    if (level.valid == 0 && level.attempts >= kDeadAttempts) {
      out.facts.push_back(dead_end(level));
    }
    const auto won = gathered.winners.find(id);
    if (won != gathered.winners.end()) {
      out.facts.push_back(winner(level, won->second));
    }
    out.levels.push_back(std::move(level));
  }
  std::stable_sort(out.facts.begin(), out.facts.end(), [](const Fact& a, const Fact& b) {
    return a.maturity > b.maturity;
  });
  return out;
}

Json level_json(const CrossLevel& level) {
  Json out = Json::object();
  out.set("op", level.op).set("template", level.template_name).set("axis", level.axis);
  out.set("level", Json(level.level));
  out.set("state",
          level.attempts == 0                                   ? "untried"
          : level.valid == 0 && level.attempts >= kDeadAttempts ? "dead"
                                                                : "tried");
  out.set("attempts", level.attempts).set("valid", level.valid);
  out.set("runs", static_cast<std::uint64_t>(level.runs.size()));
  out.set("behind_best", level.behind ? Json(*level.behind) : Json());
  out.set("expected_gain", level.expected_gain);
  return out;
}

}  // namespace

std::string_view name_of(Maturity maturity) {
  switch (maturity) {
    case Maturity::tentative:
      return "tentative";
    case Maturity::confirmed:
      return "confirmed";
    case Maturity::established:
      return "established";
  }
  COPPICE_UNREACHABLE();
}

Result<std::vector<CrossRun>> cross_run(const archive::RunStore& store, bool gains) {
  COPPICE_TRY(const std::vector<archive::RunSummary> runs, store.list());
  std::map<Group, Gathered> groups;
  for (const archive::RunSummary& summary : runs) {
    if (!summary.start || !summary.start->tasks.empty() || !summary.trouble.empty()) {
      continue;
    }
    COPPICE_TRY(const RunReader run, RunReader::open(store, summary.name));
    const RunMaterial& material = run.material();
    Gathered& group = groups[{material.op.family, material.target.name}];
    add_run(group, run);
    if (gains && run.material().config.search.strategy == search::Strategy::coppice) {
      COPPICE_TRY_VOID(add_gains(group, run).within("run " + run.name()));
    }
  }
  std::vector<CrossRun> out;
  for (auto& [key, group] : groups) {
    out.push_back(finish(key, std::move(group)));
  }
  return out;
}

Json to_json(const CrossRun& memory) {
  const auto same = [](const std::string& text) {
    return Json(text);
  };
  return Json::object()
      .set("family", memory.family)
      .set("target", memory.target)
      .set("runs", Json::array_of(memory.runs, same))
      .set("levels", Json::array_of(memory.levels, level_json))
      .set("facts", Json::array_of(memory.facts, [](const Fact& fact) {
             Json prerequisites = Json::object();
             for (const auto& [axis, value] : fact.level.prerequisites) {
               prerequisites.set(axis, Json(value));
             }
             return Json::object()
                 .set("kind", fact.kind == Fact::Kind::dead_end ? "dead_end" : "winner")
                 .set("maturity", name_of(fact.maturity))
                 .set("op", fact.level.op)
                 .set("template", fact.level.template_name)
                 .set("axis", fact.level.axis)
                 .set("level", Json(fact.level.level))
                 .set("text", fact.text)
                 .set("prerequisites", std::move(prerequisites))
                 .set("shown_by", Json::array_of(fact.level.shown_by, [](const Pointer& one) {
                        return Json::object().set("run", one.run).set("attempt", one.attempt.value);
                      }));
           }));
}

}  // namespace coppice::cli
