// `coppice eval`: gates and times a kernel of the user's own, without a search.
#include "cli/commands.h"
#include "cli/device_evidence.h"
#include "cli/make_evaluator.h"
#include "cli/words.h"
#include "experiments/op_loader.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <limits>

namespace coppice::cli {
namespace {

struct Judged {
  std::string name;
  Candidate candidate;
  std::vector<BaselineFrozen> baselines;
  Evidence evidence;
};

Result<RunMaterial> material_of(const Arguments& arguments, std::string& name) {
  const Places places = Places::standard();
  COPPICE_TRY(const auto threads, arguments.integer("--threads", 1, 4096));
  RunConfig config;
  config.op = arguments.text("--op");
  if (config.op.empty()) {
    return Error{ErrorCode::usage,
                 "eval: --op is missing (the operation that the kernel computes)"};
  }
  config.lane_threads = static_cast<int>(threads.value_or(0));
  config.isolation = arguments.text("--isolation", config.isolation);
  config.backend = arguments.text("--backend", config.backend);
  config.target = arguments.text("--target", config.target);
  config.search.budget.attempts = 1;
  config.seed_kernels = {arguments.text("DIR")};
  COPPICE_TRY(const std::string folder, places.find_op(config.op));
  config.suite = arguments.text("--suite");
  if (config.suite.empty()) {
    COPPICE_TRY(const Op op, experiments::load_op(folder));
    config.suite = op.suites.empty() ? std::string() : op.suites.front().name;
  }
  COPPICE_TRY(RunMaterial material, gather(config, places));
  const std::vector<Template>& all = material.op.templates;
  COPPICE_TRY(const Op plain, experiments::load_op(folder));
  for (const Template& source : all) {
    name = plain.find_template(source.name) == nullptr ? source.name : name;
  }
  return material;
}

Result<Judged> judge(const RunMaterial& material,
                     const std::string& name,
                     const Arguments& arguments,
                     Console& console) {
  const auto& spaces = material.templates.spaces;
  const auto space = std::ranges::find(spaces, name, &TemplateSpace::name);
  if (space == spaces.end()) {
    for (const LeftOut& left : material.templates.left_out) {
      if (left.template_name == name) {
        return Error{ErrorCode::config, arguments.text("DIR") + ": " + left.reason};
      }
    }
    return Error{ErrorCode::config, arguments.text("DIR") + ": the kernel can't serve this suite"};
  }
  CandidateSpec spec;
  spec.template_name = name;
  spec.genome = space->space.canonical(space->space.default_genome());
  Judged out;
  out.name = name;
  COPPICE_TRY(out.candidate, candidate_of(material, CandidateId{1}, spec));
  COPPICE_TRY(const auto evaluator, make_evaluator(material));
  console.show_progress("timing the library baselines");
  COPPICE_TRY(out.baselines, evaluator->freeze_baselines({}));
  console.show_progress("checking and timing the kernel");
  evaluators::EvaluationTask task;
  task.attempt = AttemptId{1};
  task.candidate = out.candidate;
  task.fidelity = arguments.has("--quick") ? Fidelity::search : Fidelity::promote;
  task.best_log_cost = std::numeric_limits<double>::infinity();
  COPPICE_TRY(const auto seed, arguments.unsigned_integer("--seed"));
  if (seed) {
    task.secret_seed = *seed;
  } else if (::getrandom(&task.secret_seed, sizeof task.secret_seed, 0) < 0) {
    return Error{ErrorCode::environment, "the system gives no random numbers"};
  }
  const evaluators::Built built = evaluator->build(task, {});
  if (built.failed) {
    out.evidence = *built.failed;
  } else {
    COPPICE_TRY(out.evidence, evaluator->measure(task, built, 0, {}));
  }
  console.clear_progress();
  return out;
}

std::string text_of(const Judged& judged) {
  const Verdict& verdict = judged.evidence.verdict;
  if (!verdict.valid) {
    return fmt::format("{}: refused at gate {} ({}): {}: {}\n",
                       judged.name,
                       static_cast<int>(verdict.gate),
                       to_text(verdict.gate),
                       to_text(verdict.failure),
                       verdict.message);
  }
  const Performance& performance = *judged.evidence.performance;
  std::string text = fmt::format("{}: correct (class {}, {:.2f} of the permitted error)\n",
                                 judged.name,
                                 judged.evidence.precision,
                                 judged.evidence.error);
  const bool compared = !performance.baseline.empty();
  if (compared) {
    text += fmt::format("{} the speed of {} (95 % interval {} to {}), roofline score {:.2f}\n",
                        speed_text(performance.speedup),
                        performance.baseline,
                        speed_text(performance.speedup_low),
                        speed_text(performance.speedup_high),
                        performance.sol_score);
  } else {
    text += cost_text(performance.log_cost, false) + "; this operation has no baseline here\n";
  }
  Table table({"workload", "kernel", "baseline", "speed-up", "floor"});
  for (const WorkloadTiming& row : performance.workloads) {
    table.add({row.workload,
               time_text(row.median),
               compared ? time_text(row.baseline_median) : "-",
               compared ? speed_text(row.speedup) : "-",
               row.floor.count() > 0 ? time_text(row.floor) : "-"});
  }
  return text + table.text() + device_evidence_text(judged.evidence, "");
}

Result<int> eval_body(const Arguments& arguments, Console& console) {
  std::string name;
  COPPICE_TRY(const RunMaterial material, material_of(arguments, name));
  COPPICE_TRY(const Judged judged, judge(material, name, arguments, console));
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("kernel", judged.name).set("op", material.op.name);
    out.set("suite", material.config.suite).set("target", material.target.name);
    out.set("valid", judged.evidence.verdict.valid).set("evidence", to_json(judged.evidence));
    console.answer(out.dump());
  } else {
    console.answer(text_of(judged));
  }
  return judged.evidence.verdict.valid ? 0 : 1;
}

}  // namespace

Command eval_command() {
  Command command;
  command.name = "eval";
  command.summary = "check and time your own kernel, without a search";
  command.example = "coppice eval my_kernel/ --op moe_ffn";
  command.positionals = {
      {"DIR", "folder with kernel.cpp (or kernel.cu) and plan.json or template.json", true}};
  command.options = {{"--op", "OP", "operation that it computes: name or folder", "", false},
                     {"--suite", "NAME", "suite to judge it on", "the op's first", false},
                     {"--backend", "NAME", "cpu or cuda", "cpu", false},
                     {"--target", "NAME", "target table", "host", false},
                     {"--threads", "N", "threads that the kernel may use", "all cores", false},
                     {"--isolation", "LEVEL", "least isolation demanded", "best", false},
                     {"--quick", "", "the search's few samples instead of promotion's", "", false},
                     {"--seed", "N", "of the test values", "random", false}};
  command.body = eval_body;
  return command;
}

}  // namespace coppice::cli
