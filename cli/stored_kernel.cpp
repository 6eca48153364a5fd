// Loads stored text as one more template of the op, so that it goes the way of every candidate.
#include "cli/stored_kernel.h"

#include "experiments/op_loader.h"
#include "mutators/render.h"

#include <algorithm>

namespace coppice::cli {
namespace {

constexpr const char* kName = "stored";

Result<std::string> stored_text(const RunMaterial& material, const std::optional<Digest>& digest) {
  const auto found = digest ? material.stored->find(*digest) : material.stored->end();
  if (found == material.stored->end()) {
    return Error{ErrorCode::missing, "the text of a stored kernel is not in the log"};
  }
  return found->second;
}

std::string source_name(const RunMaterial& material) {
  return material.config.backend == "cuda" ? "kernel.cu" : "kernel.cpp";
}

}  // namespace

Result<KernelText> kernel_text(const RunMaterial& material, const CandidateSpec& given) {
  KernelText out;
  const CandidateSpec spec = material.as_text(given);
  if (spec.template_name.empty()) {
    COPPICE_TRY(out.source, stored_text(material, spec.source));
    COPPICE_TRY(out.recipe, stored_text(material, spec.plan));
    COPPICE_TRY(const StoredTemplate kernel, stored_template(material, out.source, out.recipe));
    if (spec.genome.levels.size() == kernel.space.space.size()) {
      out.levels = kernel.space.space.values(spec.genome);
    }
    return out;
  }
  const std::string folder =
      "templates/" + material.config.backend + "/" + spec.template_name + "/";
  const auto source = material.op.files.find(folder + source_name(material));
  const auto recipe = material.op.files.find(folder + "template.json");
  const auto space =
      std::ranges::find(material.templates.spaces, spec.template_name, &TemplateSpace::name);
  if (source == material.op.files.end() || recipe == material.op.files.end() ||
      space == material.templates.spaces.end()) {
    return Error{ErrorCode::config, "the run has no template '" + spec.template_name + "'"};
  }
  out.source = source->second;
  out.recipe = recipe->second;
  if (spec.genome.levels.size() == space->space.size()) {
    out.levels = space->space.values(spec.genome);
  }
  return out;
}

Result<StoredTemplate> stored_template(const RunMaterial& material,
                                       const std::string& source,
                                       const std::string& recipe) {
  std::map<std::string, std::string, std::less<>> files;
  for (const auto& [path, text] : material.op.files) {
    // The other templates and what belongs to them say nothing about this one.
    if (!path.starts_with("templates/") && !path.starts_with("twins/") &&
        !path.starts_with("baselines/")) {
      files.emplace(path, text);
    }
  }
  const std::string folder = "templates/" + material.config.backend + "/" + kName + "/";
  files[folder + source_name(material)] = source;
  files[folder + "template.json"] = recipe;
  COPPICE_TRY(const Op op, experiments::load_op(files, kName).within("recipe"));
  const Suite* suite = op.suite(material.config.suite);
  const Template* found = op.find_template(kName);
  if (suite == nullptr || found == nullptr) {
    return Error{ErrorCode::config, "the stored kernel is no template of this op"};
  }
  COPPICE_TRY(TemplateSpaces spaces, template_spaces(op, *suite, material.target, {kName}));
  if (spaces.spaces.empty()) {
    return Error{ErrorCode::config,
                 "this machine can't run it: " +
                     (spaces.left_out.empty() ? "no reason known" : spaces.left_out[0].reason)};
  }
  return StoredTemplate{*found, std::move(spaces.spaces.front())};
}

Result<Candidate> stored_candidate(const RunMaterial& material,
                                   CandidateId id,
                                   const CandidateSpec& spec) {
  COPPICE_TRY(const std::string source, stored_text(material, spec.source));
  COPPICE_TRY(const std::string recipe, stored_text(material, spec.plan));
  COPPICE_TRY(const StoredTemplate kernel, stored_template(material, source, recipe));
  const std::string headline = material.classes.empty() ? std::string() : material.classes.front();
  COPPICE_TRY(
      Candidate candidate,
      mutators::render(
          kernel.source, kernel.space.space, spec.genome, material.suite().types, headline));
  candidate.id = id;
  return candidate;
}

Result<StoredLevels> levels_to_try(const StoredTemplate& kernel, const KernelText& parent) {
  const AxisSpace& space = kernel.space.space;
  ValueMap wanted;
  std::vector<std::size_t> fresh;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const Axis& axis = space.axis(i);
    const auto level = parent.levels.find(axis.name);
    if (level == parent.levels.end()) {
      fresh.push_back(i);
    } else if (std::ranges::find(axis.levels, level->second) != axis.levels.end()) {
      wanted.insert(*level);
    }
  }
  StoredLevels out;
  const Result<Genome> kept = space.genome(wanted);
  out.first = space.canonical(kept.ok() ? *kept : space.default_genome());
  if (!space.valid(out.first)) {
    out.first = space.canonical(space.default_genome());
  }
  if (!space.valid(out.first)) {
    return Error{ErrorCode::config, "recipe: the axes' defaults break a restriction"};
  }
  for (const std::size_t axis : fresh) {
    for (std::size_t level = 0; level < space.axis(axis).levels.size(); ++level) {
      Genome genome = out.first;
      genome.levels[axis] = static_cast<std::uint16_t>(level);
      genome = space.canonical(std::move(genome));
      const bool known =
          genome == out.first || std::ranges::find(out.variants, genome) != out.variants.end();
      if (!known && space.valid(genome)) {
        out.variants.push_back(std::move(genome));
      }
    }
  }
  return out;
}

}  // namespace coppice::cli
