// Says what a run that is made of tasks came to.
#include "cli/shared_answer.h"

#include "cli/dispatch.h"
#include "cli/run_answer.h"
#include "cli/words.h"

#include <fmt/format.h>

namespace coppice::cli {
namespace {

std::string task_state(const SharedTaskView& task) {
  const search::TaskStanding& standing = task.standing;
  if (standing.given_up) {
    return "given up";
  }
  if (standing.stopped) {
    return "done";
  }
  if (standing.turns == 0) {
    return "waiting";
  }
  return standing.yields() ? "yields" : "searching";
}

double share_of(const SharedReader& run, const SharedTaskView& task) {
  double all = 0.0;
  for (const SharedTaskView& one : run.tasks()) {
    all += one.standing.cost;
  }
  return all > 0.0 ? task.standing.cost / all : 0.0;
}

Json task_json(const SharedReader& run, const SharedTaskView& task) {
  Json out = Json::object();
  out.set("task", task.config.name).set("weight", task.config.weight);
  out.set("op", task.config.op).set("suite", task.config.suite).set("table", task.config.table);
  out.set("turns", task.standing.turns).set("share", share_of(run, task));
  out.set("state", task_state(task)).set("trouble", task.trouble);
  out.set("run", task.run ? Json(task.run->name()) : Json());
  out.set("attempts", task.run ? task.run->fold().searched() : 0);
  out.set("valid", task.run ? task.run->fold().valid() : 0);
  Json best;
  if (task.run) {
    const Json answer = run_answer(*task.run, {});
    if (const auto member = answer.reader("answer").find("best")) {
      best = member->copy();
    }
  }
  return out.set("best", std::move(best));
}

std::string amount(double cost, bool by_time) {
  return by_time ? duration_text(Nanoseconds(static_cast<std::int64_t>(cost * 1e9)))
                 : fmt::format("{:.0f} attempts", cost);
}

}  // namespace

Json shared_answer(const SharedReader& run) {
  Json out = Json::object();
  out.set("schema", 1).set("run", run.name()).set("seed", run.config().seed);
  out.set("attempts", run.attempts()).set("valid", run.valid());
  out.set("turns", static_cast<std::int64_t>(run.turns().size()));
  out.set("seconds", to_seconds(run.elapsed())).set("sessions", run.sessions());
  out.set("archive", run.archive_path());
  out.set("stop_reason",
          run.stopped() ? Json(to_text(run.stopped()->reason)) : Json("interrupted"));
  out.set("tasks", Json::array_of(run.tasks(), [&](const SharedTaskView& task) {
            return task_json(run, task);
          }));
  return out.set("dispatch", to_json(dispatch_of(run), run.name()));
}

std::string shared_summary_text(const SharedReader& run) {
  std::string text = fmt::format("{}: {} tasks, {} attempts, {} valid, {} turns, {}; {}\n",
                                 run.name(),
                                 run.tasks().size(),
                                 run.attempts(),
                                 run.valid(),
                                 run.turns().size(),
                                 duration_text(run.elapsed()),
                                 run.stopped() ? run.stopped()->message : "not at its end");
  Table table({"task", "state", "weight", "turns", "attempts", "valid", "share", "best"});
  for (const SharedTaskView& task : run.tasks()) {
    const archive::Attempt* best = task.run ? task.run->best() : nullptr;
    table.add({task.config.name,
               task_state(task),
               fmt::format("{:g}", task.config.weight),
               std::to_string(task.standing.turns),
               std::to_string(task.run ? task.run->fold().searched() : 0),
               std::to_string(task.run ? task.run->fold().valid() : 0),
               share_text(share_of(run, task)),
               best == nullptr
                   ? "-"
                   : cost_text(best->log_cost().value_or(0.0), task.run->against_baseline()) +
                         (best->proposal.fidelity == Fidelity::promote ? "" : " (not promoted)")});
  }
  text += table.text();
  for (const SharedTaskView& task : run.tasks()) {
    text += task.trouble.empty() ? "" : task.config.name + ": " + task.trouble + "\n";
  }
  return text;
}

std::string turns_text(const SharedReader& run, std::size_t most) {
  const std::vector<TurnRecord>& turns = run.turns();
  const std::size_t first = most == 0 || turns.size() <= most ? 0 : turns.size() - most;
  Table table({"turn", "task", "attempts", "took", "best", "why"});
  for (std::size_t i = first; i < turns.size(); ++i) {
    const TurnRecord& turn = turns[i];
    const bool ended = turn.ended.has_value();
    const bool known = ended && turn.ended->best_log_cost;
    table.add(
        {std::to_string(i + 1),
         turn.allocated.task,
         ended ? std::to_string(turn.ended->attempts) : "-",
         ended ? duration_text(turn.ended->took) : "under way",
         known ? fmt::format("{:.4f}", *turn.ended->best_log_cost) : "-",
         turn.allocated.why +
             (ended && !turn.ended->failed.empty() ? "; cut off: " + turn.ended->failed : "")});
  }
  return table.text();
}

Json first_split(const RunConfig& config, const search::Allocator& allocator) {
  Json tasks = Json::array();
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    Json task = Json::object();
    task.set("task", config.tasks[i].name).set("weight", config.tasks[i].weight);
    task.set("promised_share", allocator.promised_share(i));
    tasks.push(std::move(task));
  }
  Json out = Json::object();
  out.set("unit", allocator.by_time() ? "seconds" : "attempts");
  out.set("turn", allocator.turn_cost());
  return out.set("tasks", std::move(tasks));
}

std::string first_split_text(const RunConfig& config, const search::Allocator& allocator) {
  const search::Budget& budget = config.search.budget;
  const bool by_time = allocator.by_time();
  const double all = by_time ? to_seconds(budget.seconds) : static_cast<double>(budget.attempts);
  std::string text = fmt::format(
      "{} tasks share {}, in turns of {}: first one turn each, heaviest first; then a quarter by "
      "weight, the rest to the tasks that gain most\n",
      config.tasks.size(),
      amount(all, by_time),
      amount(allocator.turn_cost(), by_time));
  Table table({"task", "weight", "first turn", "promised"});
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const double promised = allocator.promised_share(i);
    table.add({config.tasks[i].name,
               fmt::format("{:g}", config.tasks[i].weight),
               amount(allocator.turn_cost(), by_time),
               fmt::format("{} ({})", amount(promised * all, by_time), share_text(promised))});
  }
  return text + table.text();
}

}  // namespace coppice::cli
