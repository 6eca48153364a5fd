// Lets the gates judge an operation's twins.
#include "cli/check_build.h"

#include "cli/make_evaluator.h"
#include "cli/text_file.h"
#include "experiments/op_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

namespace coppice::cli {
namespace {

Result<RunConfig> config_for(const std::string& op_folder,
                             const std::string& suite,
                             const std::string& target_name,
                             const Places& places) {
  RunConfig config;
  if (!target_name.empty()) {
    COPPICE_TRY(const std::string path, places.find_target(target_name));
    COPPICE_TRY(const std::string text, read_text_file(path));
    COPPICE_TRY(const Json json, Json::parse(text, path));
    COPPICE_TRY(const Target table, target(json.reader(path)));
    config.target = target_name;
    config.backend = table.backend;
  }
  config.op = op_folder;
  config.suite = suite;
  config.search.budget.attempts = 1;
  return config;
}

// The twin's code under the template's default genome, or with its own plan.
Result<Candidate> candidate_of_twin(const RunMaterial& material, const Twin& twin) {
  std::string from = twin.from_template;
  if (from.empty() && !twin.plan) {
    return Error{ErrorCode::config, "twin " + twin.name + " has neither a template nor a plan"};
  }
  Candidate candidate;
  candidate.backend = twin.backend;
  candidate.precision = material.classes.empty() ? std::string() : material.classes.front();
  candidate.source = twin.source;
  if (!from.empty()) {
    const auto& spaces = material.templates.spaces;
    const auto space = std::ranges::find(spaces, from, &TemplateSpace::name);
    if (space == spaces.end()) {
      return Error{ErrorCode::missing, "template " + from + " is left out on this machine"};
    }
    CandidateSpec spec;
    spec.template_name = from;
    spec.genome = space->space.canonical(space->space.default_genome());
    RunMaterial swapped = material;
    for (Template& source : swapped.op.templates) {
      if (source.name == from) {
        source.source = twin.source;
      }
    }
    COPPICE_TRY(candidate, candidate_of(swapped, CandidateId{1}, spec));
  }
  if (twin.plan) {
    candidate.plan = *twin.plan;
  }
  candidate.source_name = twin.source_name;
  candidate.label = "twin " + twin.name;
  return candidate;
}

class Judge {
 public:
  Judge(evaluators::Evaluator& evaluator, BuildCheck& out) : evaluator_(evaluator), out_(out) {}

  Result<Evidence> evidence_of(Candidate candidate) {
    evaluators::EvaluationTask task;
    task.attempt = AttemptId{++count_};
    candidate.id = CandidateId{count_};
    task.candidate = std::move(candidate);
    task.best_log_cost = std::numeric_limits<double>::infinity();
    task.secret_seed = 0x7717u + count_;
    const evaluators::Built built = evaluator_.build(task, {});
    if (built.failed) {
      return *built.failed;
    }
    return evaluator_.measure(task, built, 0, {});
  }

  Result<void> twin(const Twin& twin, Candidate candidate) {
    COPPICE_TRY(const Evidence evidence, evidence_of(std::move(candidate)));
    const Verdict& verdict = evidence.verdict;
    const std::string found =
        verdict.valid ? "accepted"
                      : "refused at " + std::string(to_text(verdict.gate)) + ": " + verdict.message;
    const bool right = twin.good ? verdict.valid
                                 : !verdict.valid && (twin.expect_gate.empty() ||
                                                      to_text(verdict.gate) == twin.expect_gate);
    const std::string line =
        std::string(twin.good ? "good" : "bad") + " twin " + twin.name + ": " + found;
    if (right) {
      out_.notes.push_back(line);
    } else {
      const std::string expected =
          twin.good
              ? "expected acceptance"
              : "expected refusal" + (twin.expect_gate.empty() ? "" : " at " + twin.expect_gate);
      out_.problems.push_back(line + "; " + expected);
    }
    return {};
  }

  Result<void> template_default(const std::string& name, Candidate candidate) {
    COPPICE_TRY(const Evidence evidence, evidence_of(std::move(candidate)));
    const Verdict& verdict = evidence.verdict;
    if (verdict.valid) {
      out_.notes.push_back("template " + name + ": its default passes every gate");
    } else {
      out_.problems.push_back("template " + name + ": its default is refused at " +
                              std::string(to_text(verdict.gate)) + ": " + verdict.message);
    }
    return {};
  }

 private:
  evaluators::Evaluator& evaluator_;
  BuildCheck& out_;
  std::uint64_t count_ = 0;
};

}  // namespace

// What the device's reference was found to be worth, where a device judges. Beyond a quarter of the
// tolerance it would eat into what is allowed to candidates.
Result<void> check_reference(const std::vector<BaselineFrozen>& frozen, BuildCheck& out) {
  constexpr double kMostShare = 0.25;
  const Json none = Json::object();
  const Json& details = frozen.empty() ? none : frozen.front().details;
  const JsonReader reader = details.reader("details");
  const auto found = reader.find("reference");
  if (!found || !found->find("worst_share")) {
    return {};
  }
  COPPICE_TRY(const double worst, found->real_or("worst_share", 0.0));
  COPPICE_TRY(const std::string where, found->text_or("where", ""));
  COPPICE_TRY(const std::int64_t workloads, found->integer_or("workloads", 0));
  COPPICE_TRY(const std::int64_t outputs, found->integer_or("outputs", 0));
  COPPICE_TRY(const std::int64_t left_out, found->integer_or("left_out", 0));
  const std::string share = fmt::format("{:.2g} of the tolerance", worst);
  if (worst > kMostShare) {
    out.problems.push_back("reference.cu is " + share + " away from reference.cpp: " + where);
  } else {
    out.notes.push_back(fmt::format(
        "reference.cu agrees with reference.cpp: {} away at most, over {} outputs of {} "
        "workloads ({} too large to compare)",
        share,
        outputs,
        workloads,
        left_out));
  }
  return {};
}

// The named suite, or the first that has a template for the target: an op's first is often one for
// the CPU alone.
Result<RunMaterial> material_of(const Op& op,
                                const std::string& op_folder,
                                const std::string& suite,
                                const std::string& target,
                                const Places& places) {
  std::optional<Error> first;
  for (const Suite& one : op.suites) {
    if (!suite.empty() && one.name != suite) {
      continue;
    }
    COPPICE_TRY(const RunConfig config, config_for(op_folder, one.name, target, places));
    Result<RunMaterial> material = gather(config, places);
    if (material.ok()) {
      return material;
    }
    first = first ? first : material.error();
  }
  return first ? *first
               : Error{ErrorCode::config,
                       op_folder + (suite.empty() ? std::string(": has no suite to check with")
                                                  : ": has no suite \"" + suite + "\"")};
}

Result<BuildCheck> check_build(const std::string& op_folder,
                               const std::string& suite,
                               const std::string& target,
                               const Places& places,
                               Console& console) {
  COPPICE_TRY(const Op op, experiments::load_op(op_folder));
  COPPICE_TRY(const RunMaterial material, material_of(op, op_folder, suite, target, places));
  COPPICE_TRY(const auto evaluator, make_evaluator(material, true));
  BuildCheck out;
  console.show_progress("building the references and timing the baselines");
  const auto frozen = evaluator->freeze_baselines({});
  if (!frozen.ok() && frozen.error().code == ErrorCode::config) {
    out.problems.push_back(frozen.error().message);  // the reference does not build: the op's fault
    console.clear_progress();
    return out;
  }
  if (!frozen.ok()) {
    return frozen.error();
  }
  COPPICE_TRY_VOID(check_reference(*frozen, out));
  Judge judge(*evaluator, out);
  for (const TemplateSpace& space : material.templates.spaces) {
    console.show_progress("template " + space.name);
    CandidateSpec spec;
    spec.template_name = space.name;
    spec.genome = space.space.canonical(space.space.default_genome());
    COPPICE_TRY(Candidate candidate, candidate_of(material, CandidateId{1}, spec));
    COPPICE_TRY_VOID(judge.template_default(space.name, std::move(candidate)));
  }
  for (const Twin& twin : op.twins) {
    if (twin.backend != material.target.backend) {
      continue;
    }
    console.show_progress("twin " + twin.name);
    Result<Candidate> candidate = candidate_of_twin(material, twin);
    if (!candidate.ok()) {
      out.notes.push_back("twin " + twin.name +
                          " can't be judged here: " + candidate.error().message);
      continue;
    }
    COPPICE_TRY_VOID(judge.twin(twin, std::move(*candidate)));
  }
  console.clear_progress();
  return out;
}

}  // namespace coppice::cli
