// `coppice doctor`: what is there, and what each missing piece costs.
#include "cli/commands.h"
#include "cli/host_target.h"
#include "cli/machine_probe.h"
#include "cli/make_evaluator.h"
#include "cli/words.h"
#include "evaluators/cpu/ceiling_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace coppice::cli {
namespace {

Json piece_json(const Piece& piece) {
  Json out = Json::object();
  out.set("name", piece.name).set("present", piece.present).set("needed", piece.needed);
  out.set("found", piece.found).set("costs", piece.costs).set("remedy", piece.remedy);
  return out;
}

std::string piece_line(const Piece& piece, const Console& console) {
  const std::string mark = piece.present  ? console.good("yes")
                           : piece.needed ? console.bad("NO ")
                                          : console.dim("no ");
  std::string text = mark + "  " + piece.name;
  if (!piece.found.empty()) {
    text += ": " + piece.found;
  }
  if (!piece.present) {
    text += "\n       without it: " + piece.costs;
    text += piece.remedy.empty() ? "" : "\n       to get it: " + piece.remedy;
  }
  return text;
}

// On all cores and on one; other work on the machine lowers what is measured.
std::string rates_text(const evaluators::cpu::Ceilings& ceilings) {
  return fmt::format(
      "reads {:.1f} GB/s from memory ({:.1f} with one core), multiplies and adds {:.0f} GFLOP/s in "
      "f32, {:.0f} in f64",
      ceilings.read_all / 1e9,
      ceilings.read_one / 1e9,
      ceilings.f32_fma / 1e9,
      ceilings.f64_fma / 1e9);
}

std::string ceilings_text(const evaluators::cpu::CeilingRecord& record) {
  return "measured now: " + rates_text(record.entries().back().ceilings) +
         fmt::format("\nused in scores, the best of {}: ", record.entries().size()) +
         rates_text(record.best());
}

Json rates_json(const evaluators::cpu::Ceilings& ceilings) {
  Json out = Json::object();  // bytes and operations a second
  out.set("read_all", ceilings.read_all).set("read_one", ceilings.read_one);
  out.set("f32_fma", ceilings.f32_fma).set("f64_fma", ceilings.f64_fma);
  return out;
}

Result<int> doctor_body(const Arguments& arguments, Console& console) {
  const Places places = Places::standard();
  COPPICE_TRY(const Target host, host_target(places));
  const std::vector<Piece> pieces =
      probe_machine(places, arguments.text("--archive", "coppice-archive"));
  const bool able = std::ranges::all_of(
      pieces, [](const Piece& piece) { return piece.present || !piece.needed; });
  std::optional<evaluators::cpu::CeilingRecord> ceilings;
  if (!arguments.has("--quick")) {
    console.show_progress("measuring what this machine can read and compute");
    evaluators::cpu::CeilingSource source;
    source.machine = evaluators::cpu::look_at_machine();
    source.folder = cache_folder();
    ceilings = evaluators::cpu::look_up_ceilings(source, evaluators::cpu::Measuring::now);
    console.clear_progress();
  }
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("able", able).set("cpu", cpu_model());
    if (ceilings) {
      out.set("measured", rates_json(ceilings->entries().back().ceilings));
      out.set("ceilings", rates_json(ceilings->best()));
      out.set("ceiling_measurements", ceilings->entries().size());
    }
    out.set("target", coppice::to_json(host));
    out.set("pieces", Json::array_of(pieces, [](const Piece& piece) { return piece_json(piece); }));
    console.answer(out.dump());
    return able ? 0 : exit_status(ErrorCode::environment);
  }
  std::string features;
  for (const std::string& feature : host.features) {
    features += " " + feature;
  }
  console.answer(console.bold(cpu_model()) + ", target " + host.name + ":" + features);
  if (ceilings) {
    console.answer(ceilings_text(*ceilings));
  }
  for (const Piece& piece : pieces) {
    console.answer(piece_line(piece, console));
  }
  console.answer(able ? "coppice can run here." : "coppice can't run here yet.");
  return able ? 0 : exit_status(ErrorCode::environment);
}

}  // namespace

Command doctor_command() {
  Command command;
  command.name = "doctor";
  command.summary = "what is there, and what each missing piece costs";
  command.example = "coppice doctor";
  command.options = {{"--quick", "", "leave out the second of measuring this machine", "", false}};
  command.body = doctor_body;
  return command;
}

}  // namespace coppice::cli
