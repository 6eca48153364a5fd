// `coppice check`: what is wrong with a configuration or an operation, and where.
#include "cli/check_build.h"
#include "cli/commands.h"
#include "cli/host_target.h"
#include "cli/run_material.h"
#include "cli/shared_material.h"
#include "experiments/op_loader.h"

#include <filesystem>

namespace coppice::cli {
namespace {

struct Findings {
  std::string kind;  // "config", "op", "target"
  std::string path;
  std::vector<std::string> problems;
  std::vector<std::string> notes;
};

void add(Findings& findings, const Error& error) {
  findings.problems.push_back(error.message);
}

// An op by itself, then against the machine for each suite.
void check_op(Findings& findings, const std::string& folder, const Places& places) {
  for (const Error& error : experiments::lint_op(folder)) {
    add(findings, error);
  }
  if (!findings.problems.empty()) {
    return;
  }
  const Result<Op> op = experiments::load_op(folder);
  if (!op.ok()) {
    return add(findings, op.error());
  }
  const Result<Target> host = host_target(places);
  if (!host.ok()) {
    return add(findings, host.error());
  }
  for (const Suite& suite : op->suites) {
    const Result<TemplateSpaces> spaces = template_spaces(*op, suite, *host, {});
    if (!spaces.ok()) {
      findings.notes.push_back("suite " + suite.name + ": " + spaces.error().message);
      continue;
    }
    std::string line = "suite " + suite.name + ":";
    for (const TemplateSpace& space : spaces->spaces) {
      line += " " + space.name + " (" + std::to_string(space.space.raw_size()) + " combinations)";
    }
    findings.notes.push_back(line);
    for (const LeftOut& left : spaces->left_out) {
      findings.notes.push_back("suite " + suite.name + ": " + left.template_name +
                               " is left out here: " + left.reason);
    }
  }
}

void note_templates(Findings& findings, const RunMaterial& material, const std::string& of) {
  for (const TemplateSpace& space : material.templates.spaces) {
    findings.notes.push_back(of + "template " + space.name + ": " +
                             std::to_string(space.space.size()) + " axes, " +
                             std::to_string(space.space.raw_size()) + " combinations");
  }
  for (const LeftOut& left : material.templates.left_out) {
    findings.notes.push_back(of + "template " + left.template_name +
                             " is left out here: " + left.reason);
  }
}

void check_config(Findings& findings, const std::string& path, const Places& places) {
  const Result<RunConfig> config = load_run_config(path);
  if (!config.ok()) {
    return add(findings, config.error());
  }
  if (!config->tasks.empty()) {
    const Result<SharedMaterial> shared = gather_tasks(*config, places, nullptr);
    if (!shared.ok()) {
      return add(findings, shared.error().within(path));
    }
    for (const RunMaterial& task : shared->tasks) {
      note_templates(findings, task, "task " + task.op.name + " " + task.config.suite + ": ");
    }
    return;
  }
  const Result<RunMaterial> material = gather(*config, places);
  if (!material.ok()) {
    return add(findings, material.error().within(path));
  }
  note_templates(findings, *material, "");
}

Result<Findings> check(const std::string& wanted, const Places& places) {
  namespace fs = std::filesystem;
  Findings findings;
  std::error_code ignored;
  findings.path = wanted;
  if (fs::is_directory(wanted, ignored)) {
    findings.kind = "op";
    check_op(findings, wanted, places);
    return findings;
  }
  const Result<std::string> config = places.find_config(wanted);
  if (config.ok()) {
    findings.kind = "config";
    findings.path = *config;
    check_config(findings, *config, places);
    return findings;
  }
  const Result<std::string> op = places.find_op(wanted);
  if (!op.ok()) {
    return Error{ErrorCode::missing,
                 wanted + ": neither a configuration nor an operation of that name or path"};
  }
  findings.kind = "op";
  findings.path = *op;
  check_op(findings, *op, places);
  return findings;
}

Result<int> check_body(const Arguments& arguments, Console& console) {
  const Places places = Places::standard();
  COPPICE_TRY(Findings findings, check(arguments.text("PATH"), places));
  if (arguments.has("--build") && findings.problems.empty()) {
    if (findings.kind != "op") {
      return Error{ErrorCode::usage, "check: --build needs an operation, found a configuration"};
    }
    COPPICE_TRY(
        const BuildCheck built,
        check_build(
            findings.path, arguments.text("--suite"), arguments.text("--target"), places, console));
    findings.problems = built.problems;
    findings.notes.insert(findings.notes.end(), built.notes.begin(), built.notes.end());
  }
  const auto same = [](const std::string& text) {
    return Json(text);
  };
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("path", findings.path).set("kind", findings.kind);
    out.set("ok", findings.problems.empty());
    out.set("problems", Json::array_of(findings.problems, same));
    out.set("notes", Json::array_of(findings.notes, same));
    console.answer(out.dump());
  } else {
    for (const std::string& problem : findings.problems) {
      console.answer(problem);
    }
    for (const std::string& note : findings.notes) {
      console.say(note);
    }
    console.answer(findings.path + ": " +
                   (findings.problems.empty()
                        ? "good"
                        : std::to_string(findings.problems.size()) + " problem" +
                              (findings.problems.size() == 1 ? "" : "s")));
  }
  return findings.problems.empty() ? 0 : exit_status(ErrorCode::config);
}

}  // namespace

Command check_command() {
  Command command;
  command.name = "check";
  command.summary = "what is wrong with a configuration or an operation, and where";
  command.example = "coppice check experiments/ops/gqa_paged_decode --build";
  command.positionals = {{"PATH", "a config, an op's folder, or the name of either", true}};
  command.options = {
      {"--build", "", "also compile: the reference builds, twins are judged rightly", "", false},
      {"--suite", "NAME", "suite for --build", "the first with a template there", false},
      {"--target",
       "NAME",
       "table in configs/targets whose device judges for --build: sm_90",
       "this machine's processor",
       false}};
  command.body = check_body;
  return command;
}

}  // namespace coppice::cli
