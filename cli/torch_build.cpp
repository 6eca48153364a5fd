// The compilers behind a torch package, and its certificate.
#include "cli/torch_build.h"

#include "archive/comparison_file.h"
#include "cli/export_torch.h"
#include "cli/make_evaluator.h"
#include "core/codec.h"
#include "evaluators/agent_evaluator.h"
#include "evaluators/cuda/host_reference.h"
#include "evaluators/cuda/layout.h"

namespace coppice::cli {
namespace {

namespace cuda = evaluators::cuda;

Result<std::map<std::string, PackedStructure>> structures_of(const Op& op, const Suite& suite) {
  COPPICE_TRY(const auto host, cuda::HostReference::build(op));
  std::map<std::string, PackedStructure> out;
  for (const auto* group : {&suite.workloads, &suite.hidden}) {
    for (const Workload& workload : *group) {
      COPPICE_TRY(const auto tensors, cuda::tensor_infos(op, suite, workload));
      COPPICE_TRY(cuda::HostReference::Structure made, host->structure(workload, tensors));
      out[workload.name] = {std::move(made.tensors), std::move(made.scalars)};
    }
  }
  return out;
}

Result<std::string> compiled_or_error(evaluators::Toolchain& toolchain,
                                      const evaluators::CompileJob& job) {
  COPPICE_TRY(evaluators::Compiled compiled, toolchain.compile(job, {}));
  if (compiled.failure != FailureClass::none) {
    return Error{ErrorCode::config, job.source_name + ": " + compiled.message};
  }
  return std::move(compiled.binary);
}

// The contract's own kernel must be one piece of code for all shapes of the suite.
Result<std::string> contract_code(const Op& op,
                                  const Suite& suite,
                                  const std::map<std::string, PackedStructure>& structures,
                                  evaluators::Toolchain& toolchain) {
  std::optional<evaluators::CompileJob> only;
  for (const auto* group : {&suite.workloads, &suite.hidden}) {
    for (const Workload& workload : *group) {
      ValueMap values = workload_values(op, suite, workload);
      for (const auto& [name, value] : structures.at(workload.name).scalars) {
        values.insert_or_assign(name, value);
      }
      COPPICE_TRY(const ResolvedPlan plan, resolve(*op.reference_plan, values, op.scalars));
      evaluators::CompileJob job;
      job.source_name = "reference.cu";
      job.source =
          evaluators::source_prefix(plan.defines, suite.types, job.source_name) + op.reference_cu;
      job.headers = evaluators::op_headers(op);
      if (only && only->source != job.source) {
        return Error{ErrorCode::config,
                     "op " + op.name + ": its reference.cu depends on the shape at compile time"};
      }
      only = std::move(job);
    }
  }
  return compiled_or_error(toolchain, *only);
}

Json archive_json(const RunReader& run) {
  Json out = Json::object();
  const auto head = archive::head_of(run.log());
  const auto events = run.log().size();
  out.set("run", run.name()).set("head", head.ok() ? Json(head->hex()) : Json());
  out.set("events", events.ok() ? Json(*events) : Json());
  out.set("decision_version", run.material().decision_version);
  out.set("seed", run.material().config.seed);
  return out;
}

}  // namespace

Result<Json> torch_certificate(const RunReader& run,
                               const archive::Attempt& attempt,
                               const Candidate& candidate) {
  const RunMaterial& material = run.material();
  COPPICE_TRY(const Evidence evidence, run.evidence(attempt));
  Json out = Json::object();
  out.set("schema", 1).set("op", material.op.name).set("op_digest", material.op.digest.hex());
  out.set("suite", material.config.suite).set("target", material.target.name);
  out.set("precision", candidate.precision).set("archive", archive_json(run));
  out.set("candidate", candidate.id.value).set("label", candidate.label);
  out.set("identity", candidate.identity().hex());
  out.set("source", sha256(candidate.source).hex());
  out.set("axes", coppice::to_json(candidate.axis_values))
      .set("evidence", coppice::to_json(evidence));
  out.set("baselines", Json::array_of(run.fold().baselines(), [](const BaselineFrozen& baseline) {
            return Json::object()
                .set("workload", baseline.workload)
                .set("name", baseline.name)
                .set("median_ns", baseline.median.count())
                .set("chosen", baseline.chosen);
          }));
  COPPICE_TRY(const auto against, archive::read_comparison(run.log()));
  out.set("compared", Json::array_of(against, [](const archive::ComparedRun& item) {
            return Json::object()
                .set("strategy", item.strategy)
                .set("run", item.run)
                .set("ratio", item.ratio ? Json(*item.ratio) : Json())
                .set("basis", item.basis);
          }));
  out.set("replay", "coppice replay " + run.name());
  return out;
}

Result<std::map<std::string, std::string>> build_torch_package(const RunReader& run,
                                                               const archive::Attempt& attempt) {
  const RunMaterial& material = run.material();
  const Suite& suite = material.suite();
  COPPICE_TRY(const Candidate candidate, run.candidate(attempt));
  if (candidate.backend != "cuda" || !material.op.reference_plan) {
    return Error{ErrorCode::usage,
                 "--format torch: run " + run.name() + " is not of a CUDA device"};
  }
  COPPICE_TRY(const auto structures, structures_of(material.op, suite));
  std::map<std::string, ValueMap> scalars;
  for (const auto& [name, packed] : structures) {
    scalars[name] = packed.scalars;
  }
  const evaluators::Prepared prepared =
      evaluators::prepare(candidate, {material.op, suite, &material.target, scalars, {}});
  if (prepared.refused) {
    return Error{ErrorCode::config, prepared.refused->message};
  }
  COPPICE_TRY(const auto toolchain,
              evaluators::open_toolchain("cuda", cache_folder(), architecture_of(material.target)));
  std::vector<std::string> cubins;
  for (const evaluators::CompileJob& job : prepared.jobs) {
    COPPICE_TRY(cubins.emplace_back(), compiled_or_error(*toolchain, job));
  }
  COPPICE_TRY(const std::string contract,
              contract_code(material.op, suite, structures, *toolchain));
  COPPICE_TRY(Json certificate, torch_certificate(run, attempt, candidate));
  certificate.set("toolchain", toolchain->version());
  certificate.set("architecture", architecture_of(material.target));
  return torch_package({material.op,
                        suite,
                        candidate,
                        prepared,
                        std::move(cubins),
                        contract,
                        structures,
                        material.target,
                        std::move(certificate)});
}

}  // namespace coppice::cli
