// history.jsonl: one line an attempt.
#include "archive/export_history.h"

#include "archive/durable_file.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

namespace coppice::archive {

namespace {

Json prediction_json(const Prediction& prediction) {
  return Json::object()
      .set("log_cost", prediction.log_cost)
      .set("spread", prediction.spread)
      .set("p_valid", prediction.p_valid)
      .set("gain", prediction.gain)
      .set("cost_seconds", prediction.cost_seconds);
}

Json performance_json(const Performance& performance) {
  return Json::object()
      .set("baseline", performance.baseline)
      .set("speedup", performance.speedup)
      .set("speedup_low", performance.speedup_low)
      .set("speedup_high", performance.speedup_high)
      .set("sol_score", performance.sol_score)
      .set("log_cost", performance.log_cost)
      .set("log_noise", performance.log_noise)
      .set("workloads", Json::array_of(performance.workloads, [](const WorkloadTiming& timing) {
             return Json::object()
                 .set("workload", timing.workload)
                 .set("median_ns", timing.median.count())
                 .set("baseline_ns", timing.baseline_median.count())
                 .set("speedup", timing.speedup)
                 .set("samples", timing.samples);
           }));
}

Json cost_json(const Cost& cost) {
  return Json::object()
      .set("compile_ns", cost.compile.count())
      .set("device_ns", cost.device.count())
      .set("llm_ns", cost.llm.count())
      .set("llm_tokens", cost.llm_tokens)
      .set("money", cost.money);
}

void add_spec(Json& out, const CandidateSpec& spec, const CandidateSource& source) {
  if (!spec.template_name.empty()) {
    out.set("template", spec.template_name);
    out.set("levels", Json::array_of(spec.genome.levels, [](std::uint16_t level) {
              return Json(static_cast<int>(level));
            }));
    if (source.axis_values) {
      if (const auto values = source.axis_values(spec); values.ok()) {
        Json axes = Json::object();
        for (const auto& [name, value] : values.value()) {
          axes.set(name, Json(value));
        }
        out.set("axes", std::move(axes));
      }
    }
  }
  if (spec.source) {
    out.set("source", spec.source->hex());
  }
  if (spec.plan) {
    out.set("plan", spec.plan->hex());
  }
}

void add_evidence(Json& out, const Attempt& attempt) {
  const Evidence& evidence = *attempt.evidence;
  out.set("precision", evidence.precision)
      .set("verdict",
           Json::object()
               .set("valid", evidence.verdict.valid)
               .set("gate", to_text(evidence.verdict.gate))
               .set("failure", to_text(evidence.verdict.failure))
               .set("message", evidence.verdict.message))
      .set("error", evidence.error)
      .set("cost", cost_json(evidence.cost))
      .set("at_seconds", to_seconds(attempt.at));
  if (evidence.performance) {
    out.set("performance", performance_json(*evidence.performance));
  }
  if (attempt.improved) {
    out.set("improved", true);
  }
}

}  // namespace

Json history_line(const Attempt& attempt, const CandidateSource& source) {
  const Proposed& proposal = attempt.proposal;
  Json events = Json::array().push(attempt.proposed_at.value);
  if (attempt.evaluated_at) {
    events.push(attempt.evaluated_at.value);
  }
  Json out = Json::object();
  out.set("v", 1)
      .set("attempt", proposal.attempt.value)
      .set("candidate", proposal.candidate.value)
      .set("parents",
           Json::array_of(proposal.parents, [](CandidateId id) { return Json(id.value); }))
      .set("mutator", proposal.mutator)
      .set("node", proposal.node.value)
      .set("fidelity", to_text(proposal.fidelity))
      .set("why", proposal.why)
      .set("state",
           attempt.evidence ? "done"
           : attempt.lost   ? "lost"
                            : "in_flight")
      .set("events", std::move(events));
  add_spec(out, proposal.spec, source);
  if (proposal.prediction) {
    out.set("prediction", prediction_json(*proposal.prediction));
  }
  if (attempt.evidence) {
    add_evidence(out, attempt);
  }
  return out;
}

Result<void> export_history(const RunFold& fold,
                            const CandidateSource& source,
                            const TextSink& sink) {
  for (const Attempt& attempt : fold.attempts()) {
    COPPICE_TRY_VOID(sink(history_line(attempt, source).dump() + "\n"));
  }
  return {};
}

Result<void> write_history(const RunFold& fold,
                           const CandidateSource& source,
                           const std::string& path) {
  const std::string beside = path + ".new";
  COPPICE_TRY(FileDescriptor file, FileDescriptor::open(beside, O_WRONLY | O_CREAT | O_TRUNC));
  constexpr std::size_t kBuffer = 1U << 18U;
  std::string buffer;
  COPPICE_TRY_VOID(export_history(fold, source, [&](std::string_view line) -> Result<void> {
    buffer += line;
    if (buffer.size() < kBuffer) {
      return {};
    }
    const auto written = write_all(file, buffer, beside);
    buffer.clear();
    return written;
  }));
  COPPICE_TRY_VOID(write_all(file, buffer, beside));
  COPPICE_TRY_VOID(sync_file(file, beside));
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return system_error(path, "replace", errno);
  }
  const auto folder = std::filesystem::path(path).parent_path();
  return sync_directory(folder.empty() ? "." : folder.string());
}

}  // namespace coppice::archive
