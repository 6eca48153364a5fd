// Builds a listed space and its outcomes from the rows of a recorded table.
#include "evaluators/recorded_table.h"

#include "evaluators/gunzip.h"
#include "evaluators/recorded_formats.h"

#include <algorithm>
#include <numeric>

namespace coppice::evaluators {

namespace {

using detail::RecordedParameter;
using detail::RecordedRows;

bool is_number(const Value& value) {
  return std::holds_alternative<std::int64_t>(value) || std::holds_alternative<double>(value);
}

double as_number(const Value& value) {
  const auto* whole = std::get_if<std::int64_t>(&value);
  return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(value);
}

// A format without lists of levels: those that occur, numbers ascending, text as it came.
std::vector<Value> levels_in_use(const RecordedRows& rows, std::size_t parameter) {
  std::vector<Value> levels;
  for (const detail::RecordedRow& row : rows.rows) {
    const Value& value = row.values[parameter];
    if (std::find(levels.begin(), levels.end(), value) == levels.end()) {
      levels.push_back(value);
    }
  }
  if (std::all_of(levels.begin(), levels.end(), is_number)) {
    std::sort(levels.begin(), levels.end(), [](const Value& a, const Value& b) {
      return as_number(a) < as_number(b);
    });
  }
  return levels;
}

AxisType type_of(const std::vector<Value>& levels) {
  const bool truths = std::all_of(levels.begin(), levels.end(), [](const Value& level) {
    return std::holds_alternative<bool>(level) ||
           (is_number(level) && (as_number(level) == 0.0 || as_number(level) == 1.0));
  });
  if (truths) {
    return AxisType::boolean;
  }
  return std::all_of(levels.begin(), levels.end(), is_number) ? AxisType::ordinal
                                                              : AxisType::categorical;
}

}  // namespace

Result<RecordedTable> RecordedTable::read(const std::string& path) {
  COPPICE_TRY(const std::string text, read_maybe_gzip(path));
  return parse(text, path);
}

Result<RecordedTable> RecordedTable::parse(std::string_view text, std::string_view name) {
  bool torn = false;
  COPPICE_TRY(const Json json, detail::parse_python_json(std::string(text), name, torn));
  const JsonReader root = json.reader(name);
  const bool cache = root.find("cache").has_value();
  const bool ktt = root.find("Results").has_value();
  if (!cache && !ktt && !root.find("results")) {
    return root.complain(
        "expected a Kernel Tuner cache file (\"cache\"), T4 results (\"results\") or KTT output "
        "(\"Results\"), found none of them");
  }
  COPPICE_TRY(const RecordedRows rows,
              cache ? detail::read_kernel_tuner(root)
              : ktt ? detail::read_ktt(root)
                    : detail::read_t4(root));
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < rows.parameters.size(); ++i) {
    const RecordedParameter& parameter = rows.parameters[i];
    Axis axis;
    axis.name = parameter.name;
    axis.levels = parameter.levels.empty() ? levels_in_use(rows, i) : parameter.levels;
    axis.type = type_of(axis.levels);
    axes.push_back(std::move(axis));
  }
  COPPICE_TRY(const AxisSpace plain, AxisSpace::create(axes, {}).within(name));
  std::vector<std::pair<Genome, RecordedOutcome>> entries;
  for (const detail::RecordedRow& row : rows.rows) {
    ValueMap values;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      values.emplace(axes[i].name, row.values[i]);
    }
    COPPICE_TRY(Genome genome, plain.genome(values).within(name));
    entries.emplace_back(std::move(genome), row.outcome);
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.first < b.first;
  });
  std::vector<Genome> genomes;
  std::vector<RecordedOutcome> outcomes;
  for (auto& [genome, outcome] : entries) {
    genomes.push_back(std::move(genome));
    outcomes.push_back(outcome);
  }
  COPPICE_TRY(
      RecordedTable table,
      create(rows.name, std::move(axes), std::move(genomes), std::move(outcomes)).within(name));
  table.torn_ = torn ? 1 : 0;
  return table;
}

Result<RecordedTable> RecordedTable::create(std::string name,
                                            std::vector<Axis> axes,
                                            std::vector<Genome> genomes,
                                            std::vector<RecordedOutcome> outcomes) {
  RecordedTable table;
  table.space_.name = std::move(name);
  table.outcomes_ = std::move(outcomes);
  COPPICE_TRY(table.space_.space, AxisSpace::create_listed(std::move(axes), std::move(genomes)));
  if (table.valid_count() == 0) {
    return Error{ErrorCode::config, "expected at least one configuration that works, found none"};
  }
  const auto best = std::min_element(
      table.outcomes_.begin(), table.outcomes_.end(), [](const auto& a, const auto& b) {
        return a.valid != b.valid ? a.valid : a.milliseconds < b.milliseconds;
      });
  table.optimum_ = static_cast<std::size_t>(best - table.outcomes_.begin());
  return table;
}

std::size_t RecordedTable::valid_count() const {
  return static_cast<std::size_t>(std::count_if(
      outcomes_.begin(), outcomes_.end(), [](const RecordedOutcome& o) { return o.valid; }));
}

const RecordedOutcome* RecordedTable::find(const Genome& genome) const {
  const std::vector<Genome>& listed = *space_.space.listed();
  const auto at = std::lower_bound(listed.begin(), listed.end(), genome);
  return at == listed.end() || *at != genome
             ? nullptr
             : &outcomes_[static_cast<std::size_t>(at - listed.begin())];
}

}  // namespace coppice::evaluators
