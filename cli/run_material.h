// RunMaterial: all that a run's decisions depend on, gathered from files or recalled from its log.
#pragma once

#include "archive/experiment_log.h"
#include "cli/llm_setup.h"
#include "cli/places.h"
#include "cli/run_config.h"
#include "cli/template_spaces.h"
#include "core/event.h"
#include "core/op.h"
#include "core/target.h"
#include "evaluators/recorded_table.h"
#include "llm/prompt.h"
#include "search/engine.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

struct RunMaterial {
  RunConfig config;
  Op op;  // with the user's own kernels among its templates
  Target target;
  TemplateSpaces templates;
  std::vector<std::string> classes;  // precision classes of the suite, headline first
  // Of a table run; null where it has not been read yet, as nobody asked for an outcome.
  std::shared_ptr<const evaluators::RecordedTable> table;
  std::vector<Json> warm;
  int decision_version = search::kDecisionVersion;
  std::string run;              // name; empty before it has one
  std::optional<LlmSetup> llm;  // the models that it asks
  // Texts of candidates that are no template's, by digest; grows while models answer.
  std::shared_ptr<std::map<Digest, std::string>> stored =
      std::make_shared<std::map<Digest, std::string>>();
  // Templates that models' kernels may become, by name; grows likewise.
  struct Grown {
    CandidateSpec spec;  // its text
    TemplateSpace space;
  };
  std::shared_ptr<std::map<std::string, Grown, std::less<>>> grown =
      std::make_shared<std::map<std::string, Grown, std::less<>>>();
  std::optional<Digest> prompts;  // of the run that was recalled

  bool is_table() const { return !config.table.empty(); }  // else the op is a real one
  const Suite& suite() const;
  // The axes of a template of the op, or of one that a model brought; null: there is none.
  const TemplateSpace* space(std::string_view template_name) const;
  // Of a template that a model brought: the same candidate as stored text. Others as they are.
  CandidateSpec as_text(const CandidateSpec& spec) const;
};

// Reads op, target and seed kernels as the configuration says. Errors are the user's to mend.
Result<RunMaterial> gather(const RunConfig& config, const Places& places);
// The same from a run's log alone.
Result<RunMaterial> recall(const archive::ExperimentLog& log);
// Of a run that another log tells of, as keep() wrote it there.
Result<RunMaterial> recall(const archive::ExperimentLog& log, const RunStarted& started);

// Keeps the texts and returns the event that names them.
Result<RunStarted> keep(archive::ExperimentLog& log, const RunMaterial& material);
// Keeps the texts and appends RunStarted; the caller commits.
Result<void> store(archive::ExperimentLog& log,
                   const RunMaterial& material,
                   const std::string& run,
                   Json environment);

// A model's kernel that has axes may become a template of the run.
Result<void> keep_grown(const RunMaterial& material, const LlmIdea& idea);

// The texts that the run's prompts were made from: its own where its log holds them, else the
// program's.
Result<llm::PromptSet> prompts_of(const archive::ExperimentLog& log, const RunMaterial& material);

// This program decides as the one that made the run did. Runs with a language model from before its
// kernels became templates (their logs don't hold the prompts' texts) were decided by other rules.
bool decided_alike(const RunMaterial& material);

search::EngineSetup engine_setup(const RunMaterial& material);

// The candidate of a proposal, ready to be compiled. An Error is a candidate that can't be written
// down: evidence for the caller.
Result<Candidate> candidate_of(const RunMaterial& material,
                               CandidateId id,
                               const CandidateSpec& spec);

// The op with a user's kernel as one more template: a folder with kernel.cpp (or .cu) and
// template.json or plan.json. Returns the template's name.
Result<std::string> add_kernel(Op& op, const std::string& folder, const std::string& backend);

}  // namespace coppice::cli
