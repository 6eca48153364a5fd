// `coppice export`: a run's results in other forms.
#include "archive/export_history.h"
#include "cli/commands.h"
#include "cli/engine_at_end.h"
#include "cli/export_kernel.h"
#include "cli/frontier_view.h"
#include "cli/shared_commands.h"
#include "cli/shared_reader.h"
#include "cli/tbb_executor.h"
#include "cli/text_file.h"
#include "cli/torch_build.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace coppice::cli {
namespace {

Result<const archive::Attempt*> valid_attempt(const RunReader& run, const Arguments& arguments) {
  COPPICE_TRY(const archive::Attempt* attempt, run.named(arguments.text("--candidate", "best")));
  if (!attempt->valid()) {
    return Error{ErrorCode::usage,
                 "candidate " + std::to_string(attempt->proposal.candidate.value) +
                     " did not pass its gates: nothing to export"};
  }
  return attempt;
}

Result<void> write_files(const std::string& folder,
                         const std::map<std::string, std::string>& files) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Error{ErrorCode::io, folder + ": can't make the folder: " + error.message()};
  }
  for (const auto& [name, text] : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    std::filesystem::create_directories(path.parent_path(), error);
    COPPICE_TRY_VOID(write_text_file(path, text));
  }
  return {};
}

Result<int> export_winner(const RunReader& run, const Arguments& arguments, Console& console) {
  COPPICE_TRY(const archive::Attempt* attempt, valid_attempt(run, arguments));
  COPPICE_TRY(const Candidate candidate, run.candidate(*attempt));
  COPPICE_TRY(const Evidence evidence, run.evidence(*attempt));
  const RunMaterial& material = run.material();
  COPPICE_TRY(
      const auto files,
      export_kernel(
          {material.op, material.suite(), material.target, candidate, evidence, run.name()}));
  std::string fallback = run.name() + "-kernel";
  std::ranges::replace(fallback, '/', '.');  // of a task
  const std::string folder = arguments.text("--output", fallback);
  COPPICE_TRY_VOID(write_files(folder, files));
  console.answer(folder);
  if (candidate.backend == "cpu") {
    console.say("try it: make -C " + folder + " check");
  }
  return 0;
}

bool is_identifier(const std::string& name) {
  const auto word = [](char c) {
    return c == '_' || std::isalnum(static_cast<unsigned char>(c)) != 0;
  };
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::ranges::all_of(name, word);
}

// A Python package; its folder's name is what is imported.
Result<int> export_package(const RunReader& run, const Arguments& arguments, Console& console) {
  COPPICE_TRY(const archive::Attempt* attempt, valid_attempt(run, arguments));
  const std::string op = run.material().op.name;
  const std::string folder = arguments.text("--output", "coppice_" + op);
  const std::string name = std::filesystem::absolute(folder).lexically_normal().filename();
  if (!is_identifier(name)) {
    return Error{
        ErrorCode::usage,
        "--output: expected a folder whose name Python can import, found \"" + name + "\""};
  }
  COPPICE_TRY(const auto files, build_torch_package(run, *attempt));
  COPPICE_TRY_VOID(write_files(folder, files));
  console.answer(folder);
  console.say("try it: python3 -c 'import " + name + " as p; print(p.self_check())'");
  return 0;
}

// To --output, or to stdout.
Result<int> give(const std::string& text, const Arguments& arguments, Console& console) {
  if (arguments.has("--output")) {
    COPPICE_TRY_VOID(write_text_file(arguments.text("--output"), text));
    console.say("written: " + arguments.text("--output"));
  } else {
    console.answer(text);
  }
  return 0;
}

Result<int> export_events(const RunReader& run, const Arguments& arguments, Console& console) {
  if (arguments.has("--output")) {
    COPPICE_TRY_VOID(archive::write_history(run.fold(), run.source(), arguments.text("--output")));
    console.say("written: " + arguments.text("--output"));
    return 0;
  }
  COPPICE_TRY_VOID(archive::export_history(
      run.fold(), run.source(), [&](std::string_view lines) -> Result<void> {
        console.answer(lines);
        return {};
      }));
  return 0;
}

Result<int> export_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto shared, shared_run_named(arguments));
  if (shared) {
    return export_shared(*shared, arguments, console);
  }
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  const std::string format = arguments.text("--format", "kernel");
  if (format == "kernel") {
    return export_winner(run, arguments, console);
  }
  if (format == "torch") {
    return export_package(run, arguments, console);
  }
  if (format == "history") {
    return export_events(run, arguments, console);
  }
  if (format == "memory") {
    return give(archive::memory_of(run.fold(), run.source()).pretty() + "\n", arguments, console);
  }
  if (format == "frontier") {
    TbbExecutor executor;
    COPPICE_TRY(const search::Engine engine, engine_at_end(run, executor, console));
    return give(frontier_csv(engine.view().frontier(), run.against_baseline()), arguments, console);
  }
  return Error{ErrorCode::usage,
               "--format: expected one of kernel, torch, history, memory, frontier (dispatch: of a run "
               "that is made of tasks), found \"" +
                   format + "\""};
}

}  // namespace

Command export_command() {
  Command command;
  command.name = "export";
  command.summary =
      "the winner as C++ or a torch package, or the run as history, memory, frontier or dispatch "
      "table";
  command.example = "coppice export last --format kernel --output my_kernel";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false}};
  command.options = {
      {"--format",
       "NAME",
       "kernel, torch (Python package), history (jsonl), memory (json), frontier (csv); of a run "
       "that is made of tasks: dispatch (json)",
       "kernel, or dispatch",
       false},
      {"--output",
       "PATH",
       "folder (kernel, torch) or file",
       "RUN-kernel, coppice_OP, or stdout",
       false},
      {"--candidate", "N", "for --format kernel or torch", "best", false}};
  command.body = export_body;
  command.json = false;
  return command;
}

}  // namespace coppice::cli
