// Stored kernels: candidates that are text of their own (a source and its recipe), not points of a
// template.
#pragma once

#include "cli/run_material.h"
#include "core/candidate.h"
#include "core/op.h"

#include <string>
#include <vector>

namespace coppice::cli {

// Source and template.json of a candidate, whether a template's or stored, and its levels by name.
struct KernelText {
  std::string source, recipe;
  ValueMap levels;
};

// Errors: no such template, or a stored text that the log does not hold.
Result<KernelText> kernel_text(const RunMaterial& material, const CandidateSpec& spec);

// A source with its recipe as a template of the run's op on this machine. Errors name what is wrong
// with the recipe, as for a template that somebody wrote.
struct StoredTemplate {
  Template source;
  TemplateSpace space;
};
Result<StoredTemplate> stored_template(const RunMaterial& material,
                                       const std::string& source,
                                       const std::string& recipe);

// The candidate of a spec without a template name.
Result<Candidate> stored_candidate(const RunMaterial& material,
                                   CandidateId id,
                                   const CandidateSpec& spec);

// What a model's new text is tried with: the parent's levels where the recipe still has them, else
// the defaults; and the other levels of axes that the parent lacks, one at a time.
struct StoredLevels {
  Genome first;
  std::vector<Genome> variants;
};
Result<StoredLevels> levels_to_try(const StoredTemplate& kernel, const KernelText& parent);

}  // namespace coppice::cli
