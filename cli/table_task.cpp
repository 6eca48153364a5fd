// Makes run material of a table.
#include "cli/table_task.h"

#include "cli/warm_sources.h"
#include "evaluators/recorded_write.h"

namespace coppice::cli {
namespace {

constexpr const char* kRecorded = "recorded";

// Op, target, class and space of a table whose text has this digest.
void take_space(RunMaterial& material, TemplateSpace space, const Digest& digest) {
  Op op;
  op.name = space.name;
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
  op.digest = digest;
  material.op = std::move(op);
  material.target = Target();
  material.target.name = kRecorded;
  material.target.backend = kRecorded;
  material.classes = {kRecorded};
  material.templates = TemplateSpaces();
  material.templates.spaces.push_back(std::move(space));
}

}  // namespace

Result<std::string> table_text(const std::string& name) {
  COPPICE_TRY(const evaluators::RecordedTable table, named_table(name));
  std::string text = evaluators::kernel_tuner_json(table).dump();
  text.shrink_to_fit();  // it stays for the whole run
  return text;
}

Result<void> take_table(RunMaterial& material, std::string text) {
  COPPICE_TRY(auto table, evaluators::RecordedTable::parse(text, material.config.table));
  material.table = std::make_shared<const evaluators::RecordedTable>(std::move(table));
  take_space(material, material.table->space(), sha256(text));
  material.op.files[kTableFile] = std::move(text);
  return {};
}

Result<void> recall_table(RunMaterial& material,
                          std::map<std::string, std::string, std::less<>> files) {
  const auto kept = files.find(kSpaceFile);
  if (kept == files.end()) {
    return take_table(material, std::move(files[kTableFile]));
  }
  COPPICE_TRY(const Json json, Json::parse(kept->second, kSpaceFile));
  COPPICE_TRY(TemplateSpace space, template_space(json.reader(kSpaceFile)));
  take_space(material, std::move(space), sha256(files[kTableFile]));
  material.op.files = std::move(files);
  return {};
}

Result<std::shared_ptr<const evaluators::RecordedTable>> table_of(const RunMaterial& material) {
  if (material.table != nullptr) {
    return material.table;
  }
  const auto text = material.op.files.find(kTableFile);
  if (text == material.op.files.end()) {
    return Error{ErrorCode::corrupt,
                 "run of table " + material.config.table + ": its log holds no " + kTableFile};
  }
  COPPICE_TRY(auto table, evaluators::RecordedTable::parse(text->second, material.config.table));
  return std::make_shared<const evaluators::RecordedTable>(std::move(table));
}

Result<Candidate> table_candidate(const RunMaterial& material,
                                  CandidateId id,
                                  const CandidateSpec& spec) {
  const AxisSpace& space = material.templates.spaces.front().space;
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
