// Opens runs for looking.
#include "cli/run_reader.h"

#include <algorithm>
#include <charconv>

namespace coppice::cli {

RunReader::RunReader(archive::ExperimentLog log, RunMaterial material)
    : log_(std::make_unique<archive::ExperimentLog>(std::move(log))),
      material_(std::make_unique<RunMaterial>(std::move(material))) {}

Result<RunReader> RunReader::open(const archive::RunStore& store, const std::string& name) {
  COPPICE_TRY(archive::ExperimentLog log, store.open_run(name, archive::ExperimentLog::Mode::read));
  COPPICE_TRY(RunMaterial material, recall(log).within("run " + name));
  RunReader reader(std::move(log), std::move(material));
  reader.name_ = name;
  reader.archive_ = store.directory();
  const auto rows = reader.fold_.catch_up(*reader.log_);
  if (!rows.ok()) {
    return rows.error().within("run " + name);
  }
  return reader;
}

Result<RunReader> RunReader::of(const Arguments& arguments) {
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string name, folder.find(arguments.text("RUN")));
  return open(folder.store(), name);
}

bool RunReader::against_baseline() const {
  return std::ranges::any_of(fold_.baselines(), &BaselineFrozen::chosen);
}

std::string RunReader::headline() const {
  return material_->classes.empty() ? std::string() : material_->classes.front();
}

const archive::Attempt* RunReader::best() const {
  return fold_.best(headline());
}

Result<Evidence> RunReader::evidence(const archive::Attempt& attempt) const {
  return archive::RunFold::full_evidence(*log_, attempt);
}

Result<Candidate> RunReader::candidate(const archive::Attempt& attempt) const {
  return candidate_of(*material_, attempt.proposal.candidate, attempt.proposal.spec);
}

std::string RunReader::label(const archive::Attempt& attempt) const {
  const CandidateSpec& spec = attempt.proposal.spec;
  if (spec.template_name.empty()) {
    // A model's idea: its title, which stands where it was first proposed.
    const auto first = std::ranges::find_if(fold_.attempts(), [&](const archive::Attempt& other) {
      return other.proposal.candidate == attempt.proposal.candidate;
    });
    return first->proposal.why;
  }
  const TemplateSpace* found = material_->space(spec.template_name);
  if (found == nullptr || spec.genome.levels.size() != found->space.size()) {
    return spec.template_name;
  }
  return spec.template_name + ": " + found->space.describe(spec.genome);
}

std::optional<CandidateSpec> RunReader::default_of(const std::string& template_name) const {
  const auto& spaces = material_->templates.spaces;
  const auto found = std::ranges::find(spaces, template_name, &TemplateSpace::name);
  if (found == spaces.end()) {
    return std::nullopt;
  }
  CandidateSpec spec;
  spec.template_name = template_name;
  spec.genome = found->space.canonical(found->space.default_genome());
  return spec;
}

const archive::Attempt* RunReader::best_default() const {
  const archive::Attempt* found = nullptr;
  for (const archive::Attempt& attempt : fold_.attempts()) {
    const auto spec = default_of(attempt.proposal.spec.template_name);
    if (!attempt.log_cost() || !spec || !(attempt.proposal.spec == *spec) ||
        attempt.evidence->precision != headline()) {
      continue;
    }
    if (found == nullptr || *attempt.log_cost() < *found->log_cost()) {
      found = &attempt;
    }
  }
  return found;
}

archive::CandidateSource RunReader::source() const {
  archive::CandidateSource source;
  const RunMaterial& material = *material_;
  source.axis_values = [&material](const CandidateSpec& spec) -> Result<ValueMap> {
    const TemplateSpace* found = material.space(spec.template_name);
    if (found == nullptr || spec.genome.levels.size() != found->space.size()) {
      return Error{ErrorCode::config, "no template '" + spec.template_name + "'"};
    }
    return found->space.values(spec.genome);
  };
  source.candidate = [&material](CandidateId id, const CandidateSpec& spec) {
    return candidate_of(material, id, spec);
  };
  return source;
}

Result<const archive::Attempt*> RunReader::named(const std::string& text) const {
  if (text.empty() || text == "best") {
    if (best() == nullptr) {
      return Error{ErrorCode::missing, "run " + name_ + " has no valid candidate yet"};
    }
    return best();
  }
  std::uint64_t id = 0;
  const char* first = text.data() + (text[0] == '#' ? 1 : 0);
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Error{ErrorCode::usage,
                 "candidate: expected a number or \"best\", found \"" + text + "\""};
  }
  const archive::Attempt* attempt = fold_.attempt_of(CandidateId{id});
  if (attempt == nullptr) {
    return Error{ErrorCode::missing,
                 "run " + name_ + " has no candidate " + text + " (it has " +
                     std::to_string(fold_.candidates().size()) + ")"};
  }
  return attempt;
}

std::string state_of(const archive::RunSummary& summary) {
  if (!summary.trouble.empty()) {
    return "unreadable";
  }
  if (summary.stopped) {
    return "done";
  }
  return summary.writer ? "running" : "interrupted";
}

}  // namespace coppice::cli
