// What checking and timing one candidate costs on the CPU, piece by piece, and what happens to an
// honest, a wrong and a hanging kernel: bench_evaluate [suite] [op folder].

#include "evaluators/child.h"
#include "evaluators/timing_stats.h"
#include "tests/evaluators/evaluator_support.h"

#include <cstdio>
#include <fstream>
#include <sstream>

using namespace coppice;
using namespace coppice::tests;

namespace {

double since(Nanoseconds start) {
  return to_seconds(evaluators::steady_now() - start);
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void report(const char* label, const Evidence& e, double build, double measure) {
  std::printf("| %-22s | %.3f | %.3f | %s | %s | %s |\n",
              label,
              build,
              measure,
              e.verdict.valid ? "valid" : std::string(to_text(e.verdict.gate)).c_str(),
              std::string(to_text(e.verdict.failure)).c_str(),
              e.verdict.message.c_str());
  if (e.performance) {
    std::printf("    speed-up %.3f [%.3f, %.3f], log noise %.4f, sol %.3f, baseline %s\n",
                e.performance->speedup,
                e.performance->speedup_low,
                e.performance->speedup_high,
                e.performance->log_noise,
                e.performance->sol_score,
                e.performance->baseline.c_str());
    for (const WorkloadTiming& t : e.performance->workloads) {
      std::printf(
          "    %-22s %8.1f us [%.1f, %.1f], baseline %8.1f us, floor %.1f us, %lld pairs, %lld "
          "dropped\n",
          t.workload.c_str(),
          to_microseconds(t.median),
          to_microseconds(t.p10),
          to_microseconds(t.p90),
          to_microseconds(t.baseline_median),
          to_microseconds(t.floor),
          static_cast<long long>(t.samples),
          static_cast<long long>(t.dropped));
    }
  }
  std::printf("    %s\n", e.validation.dump().substr(0, 600).c_str());
}

void one(evaluators::Evaluator& evaluator,
         const char* label,
         const Candidate& candidate,
         Fidelity fidelity = Fidelity::search) {
  evaluators::EvaluationTask task = task_for(candidate);
  task.fidelity = fidelity;
  Nanoseconds start = evaluators::steady_now();
  const evaluators::Built built = evaluator.build(task, {});
  const double build = since(start);
  start = evaluators::steady_now();
  const Result<Evidence> evidence =
      built.failed ? Result<Evidence>(*built.failed) : evaluator.measure(task, built, 0, {});
  if (!evidence.ok()) {
    std::printf("%s: %s\n", label, evidence.error().message.c_str());
    return;
  }
  report(label, *evidence, build, since(start));
}

int run(int argc, char** argv) {
  const std::string suite = argc > 1 ? argv[1] : "quickstart";
  const std::string folder =
      argc > 2 ? argv[2] : source_root() + "/experiments/ops/gqa_paged_decode";
  const Desk desk = Desk::open(folder, suite);
  Nanoseconds start = evaluators::steady_now();
  auto evaluator = desk.evaluator(desk.config());
  std::printf("open: %.3f s\n%s\n", since(start), evaluator->environment().dump().c_str());
  start = evaluators::steady_now();
  const auto frozen = must(evaluator->freeze_baselines({}));
  std::printf("freeze: %.3f s, %zu settings\n", since(start), frozen.size());
  for (const BaselineFrozen& f : frozen) {
    std::printf("  %-20s %-36s %9.1f us %s %s\n",
                f.workload.c_str(),
                f.name.c_str(),
                to_microseconds(f.median),
                f.chosen ? "chosen" : "",
                f.details.dump().substr(0, 160).c_str());
  }
  std::printf(
      "| kernel | build s | measure s | gate | class | message |\n|---|---|---|---|---|---|\n");
  for (const Template& t : desk.op.templates) {
    if (t.backend == "cpu") {
      one(*evaluator, t.name.c_str(), desk.candidate(t.name));
      one(*evaluator, "again (cold cache)", desk.candidate(t.name));
    }
  }
  for (const Twin& twin : desk.op.twins) {
    if (twin.backend != "cpu") {
      continue;
    }
    const std::string base =
        twin.from_template.empty() ? desk.op.templates.front().name : twin.from_template;
    Candidate c = desk.with_source(base, twin.source);
    if (twin.plan) {
      c.plan = *twin.plan;
    }
    one(*evaluator, twin.name.c_str(), c);
  }
  const std::string corpus = source_root() + "/tests/corpus/cpu/infinite_loop.cpp";
  if (const std::string hang = read(corpus); !hang.empty()) {
    one(*evaluator, "hanging", desk.with_source(desk.op.templates.front().name, hang));
  }
  one(*evaluator, "promote", desk.candidate(desk.op.templates.front().name), Fidelity::promote);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_evaluate: %s\n", e.what());
    return 3;
  }
}
