// Candidates and evaluators for tests: ops from folders, templates under their default genome.
#pragma once

#include "cli/host_target.h"
#include "cli/places.h"
#include "cli/template_spaces.h"
#include "evaluators/agent_evaluator.h"
#include "experiments/op_loader.h"
#include "mutators/render.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace coppice::tests {

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    throw std::runtime_error(result.error().message);
  }
  return std::move(result).value();
}

inline std::string source_root() {
  return COPPICE_SOURCE_DIR;
}
inline std::string program() {
  return std::string(COPPICE_BINARY_DIR) + "/coppice";
}

// Everything that one suite needs.
struct Desk {
  Op op;
  std::string suite_name;
  Target target;
  const Suite& suite() const { return *op.suite(suite_name); }

  static Desk open(const std::string& folder, const std::string& suite) {
    Desk desk;
    desk.op = must(experiments::load_op(folder));
    desk.suite_name = suite;
    desk.target = must(cli::host_target(cli::Places{}));
    return desk;
  }

  // The template's default genome as a candidate.
  Candidate candidate(const std::string& name) const {
    const auto spaces = must(cli::template_spaces(op, suite(), target, {name}));
    const auto classes = cli::precision_classes(op, suite());
    Candidate out = must(mutators::render(*op.find_template(name),
                                          spaces.spaces.front().space,
                                          spaces.spaces.front().space.default_genome(),
                                          suite().types,
                                          classes.front()));
    out.id = CandidateId{1};
    return out;
  }
  // The same plan with another source, or a twin.
  Candidate with_source(const std::string& name, const std::string& source) const {
    Candidate out = candidate(name);
    out.source = source;
    return out;
  }

  evaluators::AgentConfig config() const {
    evaluators::AgentConfig out;
    out.op = op;
    out.suite = suite_name;
    out.target = target;
    out.program = program();
    return out;
  }
  std::unique_ptr<evaluators::Evaluator> evaluator(evaluators::AgentConfig config) const {
    auto toolchain = must(evaluators::open_toolchain("cpu", config.cache_folder));
    return must(evaluators::open_agents(std::move(config), std::move(toolchain), {}));
  }
};

inline evaluators::EvaluationTask task_for(Candidate candidate, std::uint64_t attempt = 1) {
  evaluators::EvaluationTask task;
  task.attempt = AttemptId{attempt};
  task.candidate = std::move(candidate);
  task.best_log_cost = std::numeric_limits<double>::infinity();
  task.secret_seed = 0x5eed;
  return task;
}

// Builds and measures; an infrastructure error is an exception.
inline Evidence evaluate(evaluators::Evaluator& evaluator, const evaluators::EvaluationTask& task) {
  const evaluators::Built built = evaluator.build(task, {});
  return built.failed ? *built.failed : must(evaluator.measure(task, built, 0, {}));
}

}  // namespace coppice::tests
