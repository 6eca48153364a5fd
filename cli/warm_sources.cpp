// Reads recorded tables and runs as data of a warm start.
#include "cli/warm_sources.h"

#include "core/pinned_math.h"
#include "evaluators/derive_table.h"
#include "evaluators/landscape.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace coppice::cli {
namespace {

constexpr std::string_view kSyntheticTable = "synthetic:";
constexpr std::string_view kDerivedTable = "derived:";

// "NAME/3": the part before the slash, and the number.
Result<std::pair<std::string, std::uint64_t>> with_instance(const std::string& whole,
                                                            const std::string& text) {
  const auto slash = text.find('/');
  std::uint64_t instance = 0;
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, instance);
    if (error != std::errc() || stop != end) {
      return Error{ErrorCode::usage,
                   fmt::format("{}: expected a number after the slash, found \"{}\"",
                               whole,
                               text.substr(slash + 1))};
    }
  }
  return std::pair(text.substr(0, slash), instance);
}

planner::WarmTemplate empty_template(const TemplateSpace& space) {
  planner::WarmTemplate out;
  out.name = space.name;
  for (const Axis& axis : space.space.axes()) {
    out.axes.push_back({axis.name, axis.type, axis.levels});
  }
  return out;
}

bool is_run_folder(const std::string& name) {
  std::error_code error;
  return std::filesystem::is_regular_file(name + "/log.sqlite", error);
}

Result<RunReader> open_run(const std::string& name, const archive::RunStore* store) {
  if (is_run_folder(name)) {
    const std::filesystem::path folder =
        std::filesystem::absolute(name).lexically_normal() / "log.sqlite";
    const std::filesystem::path run = folder.parent_path();
    COPPICE_TRY(const archive::RunStore own,
                archive::RunStore::open(run.parent_path().parent_path().string(),
                                        archive::RunStore::Access::read));
    return RunReader::open(own, run.filename().string());
  }
  COPPICE_TRY(const std::string found, store->find(name == "last" ? "latest" : name));
  return RunReader::open(*store, found);
}

}  // namespace

planner::WarmSource warm_source_of(const evaluators::RecordedTable& table) {
  planner::WarmSource out;
  out.name = table.name();
  planner::WarmTemplate& one = out.templates.emplace_back(empty_template(table.space()));
  const std::vector<Genome>& genomes = *table.space().space.listed();
  for (std::size_t i = 0; i < genomes.size(); ++i) {
    const evaluators::RecordedOutcome& outcome = table.outcomes()[i];
    planner::WarmRow row;
    row.levels = genomes[i].levels;
    if (outcome.valid) {
      row.log_cost = pinned::log(outcome.milliseconds);
    }
    one.rows.push_back(std::move(row));
  }
  return out;
}

Result<planner::WarmSource> warm_source_of(const RunReader& run) {
  planner::WarmSource out;
  out.name = "run " + run.name();
  const auto& spaces = run.material().templates.spaces;
  for (const TemplateSpace& space : spaces) {
    out.templates.push_back(empty_template(space));
  }
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const Proposed& proposal = attempt.proposal;
    const auto at = std::ranges::find(spaces, proposal.spec.template_name, &TemplateSpace::name);
    const bool ours =
        attempt.evidence && (attempt.evidence->verdict.failure == FailureClass::infrastructure ||
                             attempt.evidence->verdict.failure == FailureClass::duplicate);
    if (proposal.fidelity != Fidelity::search || !attempt.evidence || at == spaces.end() || ours ||
        proposal.spec.genome.levels.size() != at->space.size()) {
      continue;
    }
    planner::WarmRow row;
    row.levels = proposal.spec.genome.levels;
    row.log_cost = attempt.log_cost();
    out.templates[static_cast<std::size_t>(at - spaces.begin())].rows.push_back(std::move(row));
  }
  std::erase_if(out.templates, [](const planner::WarmTemplate& one) { return one.rows.empty(); });
  if (!planner::best_log_cost(out)) {
    return Error{ErrorCode::missing,
                 "run " + run.name() + ": expected a valid candidate to start from, found none"};
  }
  return out;
}

Result<evaluators::RecordedTable> named_table(const std::string& name) {
  if (name.rfind(kSyntheticTable, 0) == 0) {
    COPPICE_TRY(const auto which, with_instance(name, name.substr(kSyntheticTable.size())));
    return evaluators::generate_landscape(which.first, which.second);
  }
  if (name.rfind(kDerivedTable, 0) != 0) {
    return evaluators::RecordedTable::read(name);
  }
  const auto colon = name.find(':', kDerivedTable.size());
  if (colon == std::string::npos) {
    return Error{ErrorCode::usage, name + ": expected derived:NAME/INSTANCE:TABLE"};
  }
  COPPICE_TRY(const auto which,
              with_instance(name, name.substr(kDerivedTable.size(), colon - kDerivedTable.size())));
  COPPICE_TRY(const auto table, named_table(name.substr(colon + 1)));
  return evaluators::derive_table(table, which.first, which.second);
}

Result<planner::WarmSource> named_warm_source(const std::string& name,
                                              const archive::RunStore* store) {
  std::error_code error;
  const bool table = name.rfind(kSyntheticTable, 0) == 0 || name.rfind(kDerivedTable, 0) == 0 ||
                     std::filesystem::is_regular_file(name, error);
  if (table) {
    COPPICE_TRY(const auto read, named_table(name));
    return warm_source_of(read);
  }
  if (store == nullptr && !is_run_folder(name)) {
    return Error{ErrorCode::missing,
                 name + ": expected a recorded table or the folder of a run, found neither"};
  }
  const Result<RunReader> run = open_run(name, store);
  if (!run.ok()) {
    return run.error().within("warm start");
  }
  return warm_source_of(*run);
}

Result<std::vector<Json>> warm_data(const std::vector<std::string>& names,
                                    const std::string& op,
                                    const archive::RunStore* store) {
  constexpr std::size_t kMostRuns = 8;
  std::vector<Json> out;
  for (const std::string& name : names) {
    if (name != "archive") {
      COPPICE_TRY(const planner::WarmSource source, named_warm_source(name, store));
      out.push_back(planner::to_json(source));
      continue;
    }
    if (store == nullptr) {
      continue;  // the first run of an archive has none to learn from
    }
    COPPICE_TRY(std::vector<archive::RunSummary> runs, store->list());
    std::reverse(runs.begin(), runs.end());
    std::size_t taken = 0;
    for (const archive::RunSummary& run : runs) {
      if (taken == kMostRuns) {
        break;
      }
      if (!run.start || !run.start->tasks.empty() || !run.trouble.empty()) {
        continue;
      }
      COPPICE_TRY(const RunReader reader, RunReader::open(*store, run.name));
      if (reader.material().op.name != op) {
        continue;
      }
      if (const auto source = warm_source_of(reader); source.ok()) {
        out.push_back(planner::to_json(*source));
        ++taken;
      }
    }
  }
  return out;
}

}  // namespace coppice::cli
