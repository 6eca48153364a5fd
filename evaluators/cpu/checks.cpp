// Gates 2 to 12: the source, the plan, the binary, then launches on known values.

#include "evaluators/cpu/elf_image.h"
#include "evaluators/cpu/examination.h"
#include "evaluators/prepare.h"
#include "evaluators/scan.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::evaluators::cpu {
namespace {

constexpr std::int64_t kMostTasks = 1LL << 32;

bool has_tensor(const Op& op, const std::string& name, bool output_only) {
  return std::any_of(op.tensors.begin(), op.tensors.end(), [&](const TensorSpec& t) {
    return t.name == name && (!output_only || t.role == TensorRole::output);
  });
}

bool has_slice(const ResolvedPlan& plan, const std::string& name) {
  return std::any_of(plan.workspace.begin(), plan.workspace.end(), [&](const auto& slice) {
    return slice.first == name;
  });
}

// Why a step can't be run here; empty when it can.
std::string wrong_step(const Op& op, const ResolvedPlan& plan, const ResolvedStep& step) {
  if (step.kind == StepKind::fill) {
    return has_slice(plan, step.target) || has_tensor(op, step.target, true)
               ? ""
               : fmt::format("fills '{}', which is neither workspace nor an output", step.target);
  }
  double tasks = 1.0;
  for (const std::int64_t extent : step.grid) {
    if (extent < 0) {
      return "has a negative grid";
    }
    tasks *= static_cast<double>(extent);
  }
  if (tasks > static_cast<double>(kMostTasks)) {
    return fmt::format("has {:.3g} tasks, at most {}", tasks, kMostTasks);
  }
  for (const ResolvedArg& arg : step.args) {
    if (arg.kind == ArgKind::tensor_map) {
      return "has a tensor map, which a CPU has not";
    }
    if (arg.kind == ArgKind::tensor && !has_tensor(op, arg.name, false)) {
      return fmt::format("names tensor '{}', which the contract has not", arg.name);
    }
    if (arg.kind == ArgKind::workspace && !has_slice(plan, arg.name)) {
      return fmt::format("names workspace '{}', which the plan has not", arg.name);
    }
  }
  return "";
}

}  // namespace

Refusal Examination::check_source() const {
  if (s_.skips(Gate::scan)) {
    return std::nullopt;
  }
  ScanRules rules;
  rules.backend = "cpu";
  rules.allowed_headers = op_header_names(s_.config.op);
  return scan_source(task_.source, rules);
}

Refusal Examination::check_plans() const {
  const std::uint64_t most = std::min<std::uint64_t>(s_.machine.memory_bytes / 4, 8ULL << 30);
  for (const auto* list : {&task_.timed, &task_.hidden}) {
    for (const DeviceWorkload& work : *list) {
      double bytes = 0.0;
      for (const auto& [name, size] : work.plan.workspace) {
        bytes += static_cast<double>(size);
      }
      if (bytes > static_cast<double>(most)) {
        return refuse(
            Gate::resources,
            FailureClass::plan_invalid,
            fmt::format("{}: {:.3g} bytes of workspace, at most {}", work.workload, bytes, most));
      }
      for (std::size_t i = 0; i < work.plan.steps.size(); ++i) {
        const std::string wrong = wrong_step(s_.config.op, work.plan, work.plan.steps[i]);
        if (!wrong.empty()) {
          return refuse(Gate::resources,
                        FailureClass::plan_invalid,
                        fmt::format("{}: step {} {}", work.workload, i, wrong));
        }
      }
    }
  }
  return std::nullopt;
}

Refusal Examination::check_binaries() const {
  if (s_.skips(Gate::binary)) {
    return std::nullopt;
  }
  for (const auto* list : {&task_.timed, &task_.hidden}) {
    for (const DeviceWorkload& work : *list) {
      std::vector<std::string> entries;
      for (const ResolvedStep& step : work.plan.steps) {
        if (step.kind == StepKind::kernel) {
          entries.push_back(step.entry);
        }
      }
      if (auto refused = check_binary(task_.binaries.at(work.binary), entries)) {
        return refused;
      }
    }
  }
  return std::nullopt;
}

Result<Refusal> Examination::check_on(Bench& b,
                                      std::uint64_t entry,
                                      Gate gate,
                                      const std::string& label) {
  COPPICE_TRY(const Refusal started, ensure_process(b, gate));
  if (started) {
    return started;
  }
  const std::uint32_t poison = fresh_poison();
  COPPICE_TRY(const Launch launched, launch(b, entry, poison));
  if (Refusal refused = refusal_of(launched, gate, label)) {
    return refused;
  }
  return judge(b, entry, poison, std::max(gate, Gate::correctness), label);
}

// Gates 6, 7 and 9: the smallest timed workload, each case of the contract that memory allows.
Result<Refusal> Examination::check_cases() {
  COPPICE_TRY(Bench b, bench(smallest(), 0));
  const StationSize& size = b.station->size();
  Gate gate = Gate::smoke;
  for (std::uint64_t i = 0; i < size.case_entries; ++i) {
    const bool named = i > 0 && i <= s_.config.op.cases.size();
    const std::string value_case = named ? s_.config.op.cases[i - 1].name : "";
    const std::uint64_t entry = size.timed_entries + i;
    const std::string label = fmt::format("{}, {}", b.work->workload, named ? value_case : "drawn");
    COPPICE_TRY_VOID(b.station->draw(
        *s_.judge, entry, value_case, seed_of(b.work->workload, value_case, 1000 + i)));
    COPPICE_TRY(const Refusal refused, check_on(b, entry, gate, label));
    if (refused) {
      return refused;
    }
    gate = Gate::correctness;
  }
  return Refusal();
}

// Gate 12: the same values twice in a process whose tensors lie elsewhere, less aligned.
Result<Refusal> Examination::check_state() {
  if (s_.skips(Gate::state)) {
    return Refusal();
  }
  const int shift = 1 + static_cast<int>(rng_.below(kLargestShift));
  COPPICE_TRY(Bench b, bench(smallest(), shift | 1));
  const std::uint64_t entry = b.station->size().timed_entries;
  for (int round = 0; round < 2; ++round) {
    const std::string label = fmt::format(
        "{}, {} launch at another address", b.work->workload, round == 0 ? "first" : "second");
    COPPICE_TRY(const Refusal refused, check_on(b, entry, Gate::state, label));
    if (refused) {
      return refused;
    }
  }
  return Refusal();
}

// Gate 10: shapes that are never timed, in every distribution.
Result<Refusal> Examination::check_hidden() {
  if (s_.skips(Gate::hidden_shapes)) {
    return Refusal();
  }
  int shift = 0;
  for (const DeviceWorkload& work : task_.hidden) {
    COPPICE_TRY(Bench b, bench(work, shift++ % (kLargestShift + 1)));
    for (std::uint64_t i = 0; i <= s_.config.op.cases.size(); ++i) {
      const std::string value_case = i > 0 ? s_.config.op.cases[i - 1].name : "";
      const std::uint64_t entry = b.station->size().timed_entries + i;
      COPPICE_TRY_VOID(b.station->draw(
          *s_.judge, entry, value_case, seed_of(work.workload, value_case, 2000 + i)));
      const std::string label = fmt::format("{}, {}", work.workload, i > 0 ? value_case : "drawn");
      COPPICE_TRY(const Refusal refused, check_on(b, entry, Gate::hidden_shapes, label));
      if (refused) {
        return refused;
      }
    }
  }
  return Refusal();
}

}  // namespace coppice::evaluators::cpu
