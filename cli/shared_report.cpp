// Draws the report of a run that is made of tasks.
#include "cli/shared_report.h"

#include "cli/dispatch.h"
#include "cli/report_page.h"
#include "cli/shared_answer.h"
#include "cli/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::cli {
namespace {

constexpr std::size_t kMostTurns = 200;  // rows of the table; the figure has them all
constexpr double kWidth = 1000.0;
constexpr double kRow = 18.0;
constexpr double kLeft = 210.0;

std::string cell(std::string_view text) {
  return "<td>" + html_text(text) + "</td>";
}

std::string html_row(const std::vector<std::string>& cells) {
  std::string out = "<tr>";
  for (const std::string& text : cells) {
    out += cell(text);
  }
  return out + "</tr>\n";
}

std::string html_head(const std::vector<std::string>& names) {
  std::string out = "<tr>";
  for (const std::string& name : names) {
    out += "<th>" + html_text(name) + "</th>";
  }
  return out + "</tr>\n";
}

std::string card(std::string_view number, std::string_view what) {
  return "<div class=\"card\"><b>" + html_text(number) + "</b><span>" + html_text(what) +
         "</span></div>\n";
}

std::string shared_header(const SharedReader& run) {
  std::string out = "<h1>" + html_text(run.name()) + "</h1>\n<p class=\"sub\">" +
                    html_text(run.stopped() ? run.stopped()->message : "not at its end") +
                    "</p>\n<div class=\"cards\">\n";
  out += card(std::to_string(run.tasks().size()), "tasks");
  out += card(std::to_string(run.attempts()), "attempts");
  out += card(std::to_string(run.valid()), "passed every gate");
  out += card(std::to_string(run.turns().size()), "turns");
  out += card(duration_text(run.elapsed()), "running time");
  return out + "</div>\n";
}

// The best-so-far curve, small: attempts to the right, log cost downwards.
std::string spark(const RunReader& run) {
  const auto& curve = run.fold().curve(run.headline());
  if (curve.size() < 2) {
    return "";
  }
  const double most = static_cast<double>(std::max<std::int64_t>(2, run.fold().searched()));
  const double top = curve.front().log_cost;
  const double range = std::max(1e-9, top - curve.back().log_cost);
  const auto x = [&](std::int64_t n) {
    return 118.0 * static_cast<double>(n) / most + 1.0;
  };
  const auto y = [&](double cost) {
    return 1.0 + 20.0 * (top - cost) / range;
  };
  std::string points;
  double before = top;
  for (const archive::BestStep& step : curve) {
    points += fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ",
                          x(step.searched),
                          y(before),
                          x(step.searched),
                          y(step.log_cost));
    before = step.log_cost;
  }
  points += fmt::format("{:.1f},{:.1f}", x(run.fold().searched()), y(before));
  return "<svg width=\"120\" height=\"22\" role=\"img\" aria-label=\"best so far\"><polyline "
         "fill=\"none\" stroke=\"var(--main)\" stroke-width=\"1.5\" points=\"" +
         points + "\"/></svg>";
}

std::string tasks_section(const SharedReader& run) {
  std::string out = "<section><h2>Tasks</h2><div class=\"scroll\"><table>\n";
  out += html_head({"task", "weight", "turns", "attempts", "valid", "best", "promoted", "curve"});
  for (const SharedTaskView& task : run.tasks()) {
    const archive::Attempt* best = task.run ? task.run->best() : nullptr;
    const bool promoted = best != nullptr && best->proposal.fidelity == Fidelity::promote;
    out += "<tr>" + cell(task.config.name) + cell(fmt::format("{:g}", task.config.weight)) +
           cell(std::to_string(task.standing.turns)) +
           cell(std::to_string(task.run ? task.run->fold().searched() : 0)) +
           cell(std::to_string(task.run ? task.run->fold().valid() : 0)) +
           cell(best == nullptr
                    ? "-"
                    : cost_text(best->log_cost().value_or(0.0), task.run->against_baseline()) +
                          ", " + task.run->label(*best)) +
           cell(promoted ? "yes" : "no") + "<td>" + (task.run ? spark(*task.run) : "") +
           "</td></tr>\n";
  }
  return out + "</table></div><p class=\"hint\">A task by itself: coppice report " +
         html_text(run.name()) + "/TASK</p></section>\n";
}

std::string dispatch_section(const std::vector<DispatchOp>& table) {
  std::string out = "<section><h2>What to call</h2>\n";
  for (const DispatchOp& op : table) {
    out += "<h3>" + html_text(op.op + " on " + op.target) + "</h3><p class=\"hint\">" +
           html_text("Other shapes: the nearest bucket whose winner claims them, else the " +
                     op.fallback) +
           "</p><div class=\"scroll\"><table>\n" +
           html_head({"workload", "use", "time", "speed-up", "why"});
    for (const DispatchBucket& bucket : op.buckets) {
      const bool compared = bucket.timing && bucket.timing->baseline_median.count() > 0;
      out += html_row({bucket.workload,
                       bucket.attempt != nullptr && bucket.use == "candidate"
                           ? bucket.reader->label(*bucket.attempt)
                           : bucket.use,
                       bucket.timing ? time_text(bucket.timing->median) : "-",
                       compared ? speed_text(bucket.timing->speedup) : "-",
                       bucket.why});
    }
    out += "</table></div>\n";
  }
  return out + "</section>\n";
}

// A row a task; each turn is a box as wide as what it cost, full where it gained.
std::string turns_figure(const SharedReader& run) {
  const auto cost = [&](const TurnRecord& turn) {
    return run.by_time() ? to_seconds(turn.ended->took) : static_cast<double>(turn.ended->attempts);
  };
  double all = 0.0;
  for (const TurnRecord& turn : run.turns()) {
    all += turn.ended ? cost(turn) : 0.0;
  }
  if (!(all > 0.0)) {
    return "";
  }
  std::string boxes;
  std::map<std::string, double> best;
  double at = 0.0;
  for (const TurnRecord& turn : run.turns()) {
    if (!turn.ended) {
      continue;
    }
    const auto task = std::ranges::find_if(run.tasks(), [&](const SharedTaskView& one) {
      return one.config.name == turn.allocated.task;
    });
    const auto line = static_cast<double>(task - run.tasks().begin());
    const auto known = best.find(turn.allocated.task);
    const bool gained = turn.ended->best_log_cost &&
                        (known == best.end() || *turn.ended->best_log_cost < known->second - 1e-9);
    if (turn.ended->best_log_cost) {
      best[turn.allocated.task] = *turn.ended->best_log_cost;
    }
    const double width = (kWidth - kLeft) * cost(turn) / all;
    boxes += fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
        kLeft + (kWidth - kLeft) * at / all,
        kRow * line + 2.0,
        std::max(0.5, width - 0.3),
        kRow - 4.0,
        gained ? "var(--main)" : "var(--untried)");
    at += cost(turn);
  }
  for (std::size_t i = 0; i < run.tasks().size(); ++i) {
    boxes += fmt::format("<text x=\"0\" y=\"{:.1f}\">{}</text>\n",
                         kRow * static_cast<double>(i) + 13.0,
                         html_text(run.tasks()[i].config.name.substr(0, 30)));
  }
  return fmt::format(
      "<section><h2>Where the budget went</h2><p class=\"hint\">From left to right as it was "
      "spent; green: the turn found something better.</p><div class=\"figure\"><svg viewBox=\"0 0 "
      "{:.0f} {:.0f}\">{}</svg></div></section>\n",
      kWidth,
      kRow * static_cast<double>(run.tasks().size()) + 4.0,
      boxes);
}

std::string turns_section(const SharedReader& run) {
  const auto& turns = run.turns();
  const std::size_t first = turns.size() > kMostTurns ? turns.size() - kMostTurns : 0;
  std::string out = "<section><h2>Turns</h2><p class=\"hint\">";
  out += first == 0 ? "" : fmt::format("The newest {} of {}. ", kMostTurns, turns.size());
  out += "Each is a decision in the log, with its reason.</p><div class=\"scroll\"><table>\n";
  out += html_head({"turn", "task", "attempts", "took", "log cost", "why"});
  for (std::size_t i = first; i < turns.size(); ++i) {
    const TurnRecord& turn = turns[i];
    const bool ended = turn.ended.has_value();
    out += html_row(
        {std::to_string(i + 1),
         turn.allocated.task,
         ended ? std::to_string(turn.ended->attempts) : "-",
         ended ? duration_text(turn.ended->took) : "under way",
         ended && turn.ended->best_log_cost ? fmt::format("{:.4f}", *turn.ended->best_log_cost)
                                            : "-",
         turn.allocated.why +
             (ended && !turn.ended->failed.empty() ? "; cut off: " + turn.ended->failed : "")});
  }
  return out + "</table></div></section>\n";
}

}  // namespace

Json shared_report_data(const SharedReader& run) {
  Json turns = Json::array_of(run.turns(), [](const TurnRecord& turn) {
    Json item = Json::object();
    item.set("seq", turn.seq.value).set("at", to_seconds(turn.at));
    item.set("task", turn.allocated.task).set("why", turn.allocated.why);
    item.set("last", turn.allocated.last);
    item.set("attempts", turn.ended ? Json(turn.ended->attempts) : Json());
    item.set("took", turn.ended ? Json(to_seconds(turn.ended->took)) : Json());
    const bool known = turn.ended && turn.ended->best_log_cost;
    item.set("best_log_cost", known ? Json(*turn.ended->best_log_cost) : Json());
    item.set("failed", turn.ended ? Json(turn.ended->failed) : Json());
    return item;
  });
  return shared_answer(run).set("turn_list", std::move(turns));
}

std::string shared_report_page(const SharedReader& run) {
  std::string body = shared_header(run) + tasks_section(run) + dispatch_section(dispatch_of(run)) +
                     turns_figure(run) + turns_section(run);
  body += "<section><h2>How to check this</h2><pre class=\"plain\">coppice replay " +
          html_text(run.name()) + "\ncoppice archive verify " + html_text(run.name()) +
          "\ncoppice best " + html_text(run.name()) + " --dispatch</pre></section>\n";
  return plain_page(run.name(), body);
}

}  // namespace coppice::cli
