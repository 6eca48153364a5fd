// Gathers a run's inputs, keeps them in its log, and finds them there again.
#include "cli/run_material.h"

#include "cli/host_target.h"
#include "cli/stored_kernel.h"
#include "cli/table_task.h"
#include "cli/text_file.h"
#include "experiments/op_loader.h"
#include "mutators/render.h"

#include <algorithm>
#include <filesystem>
#include <optional>

namespace coppice::cli {
namespace {

using FileMap = std::map<std::string, std::string, std::less<>>;

// Leaves the suite's workloads that the configuration names. A suite that is not named is the
// first that has them all.
Result<void> keep_workloads(RunMaterial& material) {
  const std::vector<std::string>& wanted = material.config.workloads;
  const auto has = [](const Suite& suite, const std::string& name) {
    return std::ranges::find(suite.workloads, name, &Workload::name) != suite.workloads.end();
  };
  for (Suite& suite : material.op.suites) {
    const bool meant = material.config.suite.empty() || suite.name == material.config.suite;
    const bool all =
        std::ranges::all_of(wanted, [&](const std::string& name) { return has(suite, name); });
    if (meant && all) {
      material.config.suite = suite.name;
      std::erase_if(suite.workloads, [&](const Workload& workload) {
        return std::ranges::find(wanted, workload.name) == wanted.end();
      });
      return {};
    }
  }
  std::string names;
  for (const std::string& name : wanted) {
    names += (names.empty() ? "" : ", ") + name;
  }
  const std::string& suite = material.config.suite;
  return Error{ErrorCode::config,
               "op " + material.op.name + ": expected " +
                   (suite.empty() ? "a suite" : "suite " + suite) + " with workloads " + names +
                   ", found none"};
}

Result<RunMaterial> complete(RunMaterial material) {
  if (!material.config.workloads.empty()) {
    COPPICE_TRY_VOID(keep_workloads(material));
  }
  const Suite* suite = material.op.suite(material.config.suite);
  if (suite == nullptr) {
    std::string known;
    for (const Suite& item : material.op.suites) {
      known += (known.empty() ? "" : ", ") + item.name;
    }
    return Error{ErrorCode::config,
                 "op " + material.op.name + " has no suite '" + material.config.suite +
                     "' (it has " + known + ")"};
  }
  const JsonReader llm = material.config.llm.reader("llm");
  if (llm.is_object()) {
    COPPICE_TRY(material.llm, llm_setup(llm));
    material.config.search.llm = material.llm->search;
  }
  material.classes = precision_classes(material.op, *suite);
  COPPICE_TRY(material.templates,
              template_spaces(material.op, *suite, material.target, material.config.templates));
  return material;
}

std::string identifier(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    const bool upper = c >= 'A' && c <= 'Z';
    out += plain ? c : upper ? static_cast<char>(c - 'A' + 'a') : '_';
  }
  return out.empty() || (out[0] >= '0' && out[0] <= '9') ? "kernel_" + out : out;
}

// A plan.json becomes a template without axes.
Result<std::string> template_text(const std::string& folder) {
  const Result<std::string> as_template = read_text_file(folder + "/template.json");
  if (as_template.ok() || as_template.error().code != ErrorCode::missing) {
    return as_template;
  }
  const std::string path = folder + "/plan.json";
  const Result<std::string> plan = read_text_file(path);
  if (!plan.ok() && plan.error().code == ErrorCode::missing) {
    return Error{ErrorCode::missing,
                 folder + ": expected plan.json or template.json beside the kernel, found neither"};
  }
  COPPICE_TRY(const std::string text, plan);
  COPPICE_TRY(Json json, Json::parse(text, path));
  Json wrapped = Json::object();
  wrapped.set("schema", 1).set("summary", "the user's own kernel");
  wrapped.set("axes", Json::array());
  wrapped.set("plan", std::move(json));
  return wrapped.pretty();
}

Result<Json> blob_json(const archive::ExperimentLog& log, const Digest& digest, const char* name) {
  COPPICE_TRY(const std::string text, log.blob(digest).within(name));
  return Json::parse(text, name);
}

Result<FileMap> recall_files(const archive::ExperimentLog& log, const Digest& manifest) {
  COPPICE_TRY(const Json json, blob_json(log, manifest, "op manifest"));
  COPPICE_TRY(const auto members, json.reader("op manifest").members());
  FileMap files;
  for (const auto& [path, value] : members) {
    COPPICE_TRY(const std::string hex, value.text());
    COPPICE_TRY(const Digest digest, Digest::from_hex(hex));
    COPPICE_TRY(files[path], log.blob(digest).within(path));
  }
  return files;
}

// The texts that models' ideas refer to.
Result<void> recall_stored(const archive::ExperimentLog& log, RunMaterial& material) {
  return log.visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    if (row.bytes.find("\"llm_replied\"") == std::string::npos) {
      return true;
    }
    COPPICE_TRY(const Event event, decode(row.bytes));
    const auto* replied = std::get_if<LlmReplied>(&event);
    if (replied != nullptr && replied->idea) {
      COPPICE_TRY_VOID(keep_grown(material, *replied->idea));
      for (const auto& digest : {replied->idea->spec.source, replied->idea->spec.plan}) {
        if (digest) {
          COPPICE_TRY((*material.stored)[*digest], log.blob(*digest).within("stored kernel"));
        }
      }
    }
    return true;
  });
}

Result<RunStarted> first_event(const archive::ExperimentLog& log) {
  std::optional<RunStarted> started;
  COPPICE_TRY_VOID(log.visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    if (const auto* found = std::get_if<RunStarted>(&event)) {
      started = *found;
    }
    return false;
  }));
  if (!started) {
    return Error{ErrorCode::corrupt, log.directory() + ": the log does not begin with run_started"};
  }
  return *started;
}

}  // namespace

const Suite& RunMaterial::suite() const {
  const Suite* found = op.suite(config.suite);
  COPPICE_CHECK(found != nullptr);
  return *found;
}

const TemplateSpace* RunMaterial::space(std::string_view template_name) const {
  const auto found = std::ranges::find(templates.spaces, template_name, &TemplateSpace::name);
  if (found != templates.spaces.end()) {
    return &*found;
  }
  const auto brought = grown->find(template_name);
  return brought == grown->end() ? nullptr : &brought->second.space;
}

CandidateSpec RunMaterial::as_text(const CandidateSpec& spec) const {
  const auto brought = grown->find(spec.template_name);
  if (brought == grown->end()) {
    return spec;
  }
  CandidateSpec text = brought->second.spec;
  text.genome = spec.genome;
  return text;
}

Result<void> keep_grown(const RunMaterial& material, const LlmIdea& idea) {
  if (idea.space.is_null()) {
    return {};
  }
  COPPICE_TRY(TemplateSpace space, template_space(idea.space.reader("axes of a model's kernel")));
  std::string name = space.name;
  material.grown->insert_or_assign(std::move(name),
                                   RunMaterial::Grown{idea.spec, std::move(space)});
  return {};
}

Result<std::string> add_kernel(Op& op, const std::string& folder, const std::string& backend) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(folder, error).lexically_normal();
  if (error || !std::filesystem::is_directory(path, error)) {
    return Error{ErrorCode::missing, folder + ": expected a folder with a kernel, found none"};
  }
  const std::string source_name = backend == "cuda" ? "kernel.cu" : "kernel.cpp";
  COPPICE_TRY(const std::string source, read_text_file(folder + "/" + source_name));
  COPPICE_TRY(const std::string text, template_text(folder));
  const std::string last =
      path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  std::string name = identifier(last);
  while (op.find_template(name) != nullptr) {
    name += "_own";
  }
  FileMap files = op.files;
  const std::string into = "templates/" + backend + "/" + name + "/";
  files[into + source_name] = source;
  files[into + "template.json"] = text;
  COPPICE_TRY(op, experiments::load_op(files, op.name).within(folder));
  return name;
}

Result<RunMaterial> gather(const RunConfig& config, const Places& places) {
  RunMaterial material;
  material.config = config;
  COPPICE_TRY(material.config.llm, resolved_llm(config.llm, places));
  if (!config.table.empty()) {
    COPPICE_TRY(std::string text, table_text(config.table));
    COPPICE_TRY_VOID(take_table(material, std::move(text)));
    material.op.files[kSpaceFile] = to_json(material.templates.spaces.front()).dump();
    return material;
  }
  COPPICE_TRY(const std::string folder, places.find_op(config.op));
  COPPICE_TRY(material.op, experiments::load_op(folder));
  for (const std::string& kernel : config.seed_kernels) {
    COPPICE_TRY(const std::string name, add_kernel(material.op, kernel, config.backend));
    if (!material.config.templates.empty()) {
      material.config.templates.push_back(name);
    }
  }
  COPPICE_TRY(material.target, find_target(config.target, config.backend, places));
  return complete(std::move(material));
}

Result<RunMaterial> recall(const archive::ExperimentLog& log) {
  COPPICE_TRY(const RunStarted started, first_event(log));
  if (!started.tasks.empty()) {
    return Error{ErrorCode::usage,
                 "it is made of tasks: name one of them, as in " + started.run + "/" +
                     started.tasks.front()};
  }
  return recall(log, started);
}

Result<RunMaterial> recall(const archive::ExperimentLog& log, const RunStarted& started) {
  RunMaterial material;
  material.run = started.run;
  material.prompts = started.prompts;
  material.decision_version = started.decision_version;
  COPPICE_TRY(const Json config, blob_json(log, started.config, "archived configuration"));
  COPPICE_TRY(material.config, run_config(config.reader("archived configuration")));
  material.config.seed = started.seed;
  COPPICE_TRY(FileMap files, recall_files(log, started.op));
  if (!material.config.table.empty()) {
    COPPICE_TRY_VOID(recall_table(material, std::move(files)).within("archived table"));
  } else {
    COPPICE_TRY(material.op, experiments::load_op(files, "archived op").within("archived op"));
    COPPICE_TRY(const Json facts, blob_json(log, started.target, "archived target"));
    COPPICE_TRY(material.target, target(facts.reader("archived target")));
  }
  for (const Digest& digest : started.warm) {
    COPPICE_TRY(Json warm, blob_json(log, digest, "archived warm-start data"));
    material.warm.push_back(std::move(warm));
  }
  if (!material.is_table()) {
    COPPICE_TRY(material, complete(std::move(material)));
  }
  if (material.llm) {
    COPPICE_TRY_VOID(recall_stored(log, material));
  }
  return material;
}

Result<RunStarted> keep(archive::ExperimentLog& log, const RunMaterial& material) {
  RunStarted started;
  started.decision_version = material.decision_version;
  started.run = material.run;
  started.seed = material.config.seed;
  COPPICE_TRY(started.config, log.put_blob(to_json(material.config).dump()));
  Json manifest = Json::object();
  for (const auto& [path, text] : material.op.files) {
    COPPICE_TRY(const Digest digest, log.put_blob(text));
    manifest.set(path, digest.hex());
  }
  COPPICE_TRY(started.op, log.put_blob(manifest.dump()));
  COPPICE_TRY(started.target, log.put_blob(to_json(material.target).dump()));
  for (const Json& warm : material.warm) {
    COPPICE_TRY(const Digest digest, log.put_blob(warm.dump()));
    started.warm.push_back(digest);
  }
  if (material.llm) {
    Json texts = Json::object();
    for (const auto& [name, text] : llm::PromptSet::shipped().files()) {
      COPPICE_TRY(const Digest digest, log.put_blob(text));
      texts.set(name, digest.hex());
    }
    COPPICE_TRY(started.prompts, log.put_blob(texts.dump()));
  }
  return started;
}

Result<void> store(archive::ExperimentLog& log,
                   const RunMaterial& material,
                   const std::string& run,
                   Json environment) {
  COPPICE_TRY(RunStarted started, keep(log, material));
  started.run = run;
  started.environment = std::move(environment);
  const Result<EventSeq> place = log.append(started);
  return place.ok() ? Result<void>() : Result<void>(place.error());
}

Result<llm::PromptSet> prompts_of(const archive::ExperimentLog& log, const RunMaterial& material) {
  if (!material.prompts) {
    return llm::PromptSet::shipped();
  }
  COPPICE_TRY(llm::PromptSet::Files files, recall_files(log, *material.prompts));
  return llm::PromptSet::create(std::move(files));
}

bool decided_alike(const RunMaterial& material) {
  return material.decision_version == search::kDecisionVersion &&
         (!material.llm || material.prompts);
}

search::EngineSetup engine_setup(const RunMaterial& material) {
  search::EngineSetup setup;
  setup.seed = material.config.seed;
  setup.options = material.config.search;
  setup.templates = material.templates.spaces;
  setup.precision_classes = material.classes;
  setup.warm = material.warm;
  return setup;
}

Result<Candidate> candidate_of(const RunMaterial& material,
                               CandidateId id,
                               const CandidateSpec& spec) {
  const CandidateSpec text = material.as_text(spec);
  if (material.is_table()) {
    return table_candidate(material, id, spec);
  }
  if (text.template_name.empty()) {
    return stored_candidate(material, id, text);
  }
  const Template* source = material.op.find_template(spec.template_name);
  const TemplateSpace* space = material.space(spec.template_name);
  if (source == nullptr || space == nullptr) {
    return Error{ErrorCode::config, "the run has no template '" + spec.template_name + "'"};
  }
  const std::string headline = material.classes.empty() ? std::string() : material.classes.front();
  COPPICE_TRY(
      Candidate candidate,
      mutators::render(*source, space->space, spec.genome, material.suite().types, headline));
  candidate.id = id;
  return candidate;
}

}  // namespace coppice::cli
