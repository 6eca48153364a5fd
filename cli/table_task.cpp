// Makes run material of a table.
#include "cli/table_task.h"

#include "cli/warm_sources.h"
#include "evaluators/recorded_write.h"

namespace coppice::cli {
namespace {

constexpr const char* kRecorded = "recorded";

}  // namespace

Result<std::string> table_text(const std::string& name) {
  COPPICE_TRY(const evaluators::RecordedTable table, named_table(name));
  return evaluators::kernel_tuner_json(table).dump();
}

Result<void> take_table(RunMaterial& material, std::string text) {
  COPPICE_TRY(auto table, evaluators::RecordedTable::parse(text, material.config.table));
  material.table = std::make_shared<const evaluators::RecordedTable>(std::move(table));
  Op op;
  op.name = material.table->name();
  op.family = kRecorded;
  op.summary = "a recorded table: " + material.config.table;
  PrecisionClass precision;
  precision.name = kRecorded;
  op.precision.push_back(std::move(precision));
  Suite suite;
  suite.name = kRecorded;
  Workload workload;
  workload.name = kRecorded;
  suite.workloads.push_back(std::move(workload));
  op.suites.push_back(std::move(suite));
  op.digest = sha256(text);
  op.files[kTableFile] = std::move(text);
  material.op = std::move(op);
  material.target = Target();
  material.target.name = kRecorded;
  material.target.backend = kRecorded;
  material.classes = {kRecorded};
  material.templates = TemplateSpaces();
  material.templates.spaces.push_back(material.table->space());
  return {};
}

Result<Candidate> table_candidate(const RunMaterial& material,
                                  CandidateId id,
                                  const CandidateSpec& spec) {
  const AxisSpace& space = material.table->space().space;
  if (spec.genome.levels.size() != space.size()) {
    return Error{ErrorCode::config, "the table has no such configuration"};
  }
  Candidate out;
  out.id = id;
  out.backend = kRecorded;
  out.axis_values = space.values(spec.genome);
  out.precision = kRecorded;
  out.label = spec.template_name + ": " + space.describe(spec.genome);
  return out;
}

}  // namespace coppice::cli
