// Opening a lane: structure, layouts, references compiled, judge started, values drawn.
#include "core/op_shapes.h"
#include "core/random.h"
#include "evaluators/cuda/lane.h"
#include "evaluators/prepare.h"

#include <algorithm>

namespace coppice::evaluators::cuda {
namespace {

std::vector<DrawFill> fills_of(const std::vector<TensorInfo>& tensors,
                               const ValueCase& value_case) {
  std::vector<DrawFill> out;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.role == TensorRole::value) {
      const auto override = value_case.fills.find(tensor.name);
      const Fill& fill = override == value_case.fills.end() ? tensor.fill : override->second;
      out.push_back({static_cast<std::int32_t>(fill.kind), 0, fill.scale, fill.offset});
    }
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<CudaLane>> CudaLane::open(const Op& op,
                                                 const Suite& suite,
                                                 LaneOptions options) {
  if (op.reference_cu.empty() || !op.reference_plan) {
    return Error{ErrorCode::config,
                 "op " + op.name +
                     ": has no reference.cu and reference.plan.json, which a CUDA "
                     "device needs"};
  }
  std::unique_ptr<CudaLane> lane(new CudaLane(op, suite, std::move(options)));
  COPPICE_TRY(lane->host_, HostReference::build(op));
  COPPICE_TRY(lane->toolchain_, NvrtcToolchain::open(lane->options_.architecture));
  COPPICE_TRY_VOID(lane->add_workloads());
  COPPICE_TRY(JudgeSetup setup, lane->judge_setup());
  lane->candidate_setup_.device = lane->options_.device;
  lane->candidate_setup_.tighten = lane->options_.tighten;
  for (const LaneWorkload& workload : lane->workloads_) {
    lane->candidate_setup_.workloads.push_back(workload.layout);
  }
  COPPICE_TRY(JudgeClient judge, JudgeClient::start(std::move(setup), std::chrono::seconds(60)));
  lane->judge_.emplace(std::move(judge));
  for (std::uint64_t w = 0; w < lane->workloads_.size(); ++w) {
    COPPICE_TRY(const SharedRegions regions, lane->judge_->open(w));
    lane->regions_.push_back(regions);
  }
  return lane;
}

Result<void> CudaLane::add_workloads() {
  const std::size_t count = suite_.workloads.size() + suite_.hidden.size();
  const std::uint64_t share =
      options_.pool_bytes / std::max<std::size_t>(suite_.workloads.size(), 1);
  for (std::size_t i = 0; i < count; ++i) {
    LaneWorkload w;
    w.hidden = i >= suite_.workloads.size();
    w.workload = w.hidden ? &suite_.hidden[i - suite_.workloads.size()] : &suite_.workloads[i];
    COPPICE_TRY(w.tensors, tensor_infos(op_, suite_, *w.workload));
    COPPICE_TRY(w.structure, host_->structure(*w.workload, w.tensors));
    const std::uint64_t bytes = make_layout("", w.tensors, 1, 1).set_stride;
    // Two sets at least: values must differ from launch to launch.
    w.timed_sets = w.hidden ? 1 : std::clamp<std::uint64_t>(share / bytes, 2, options_.timed_sets);
    static const ValueCase kPlain{"normal", {}, false};
    const ValueCase* first = op_.cases.empty() ? &kPlain : &op_.cases.front();
    w.cases.assign(w.timed_sets, first);
    for (const ValueCase& one : op_.cases) {
      const bool fits = (w.cases.size() + 1) * bytes <= std::max(share, 4 * bytes);
      if (&one != first && fits && (!one.adjust || bytes <= options_.adjust_bytes)) {
        w.cases.push_back(&one);
      }
    }
    w.layout = make_layout(w.workload->name, w.tensors, w.cases.size(), w.cases.size());
    workloads_.push_back(std::move(w));
  }
  return {};
}

Result<std::string> CudaLane::compile(
    const std::string& source,
    const std::string& name,
    const std::map<std::string, std::string, std::less<>>& defines) {
  CompileJob job;
  job.source_name = name;
  job.source = source_prefix(defines, suite_.types, name) + source;
  job.headers = op_headers(op_);
  COPPICE_TRY(Compiled compiled, toolchain_->compile(job, {}));
  if (compiled.failure != FailureClass::none) {
    return Error{ErrorCode::config, "op " + op_.name + ": " + name + ": " + compiled.message};
  }
  return std::move(compiled.binary);
}

Result<JudgeSetup> CudaLane::judge_setup() {
  JudgeSetup out;
  out.device = options_.device;
  CompileJob trusted;
  trusted.source_name = "trusted.cu";
  trusted.source = kTrustedSource;
  COPPICE_TRY(Compiled compiled, toolchain_->compile(trusted, {}));
  if (compiled.failure != FailureClass::none) {
    return Error{ErrorCode::environment, "the judge's kernels do not compile: " + compiled.message};
  }
  trusted_cubin_ = std::move(compiled.binary);
  out.trusted_cubin = trusted_cubin_;
  std::map<std::map<std::string, std::string, std::less<>>, std::string> binaries;
  for (const LaneWorkload& w : workloads_) {
    ValueMap values = workload_values(op_, suite_, *w.workload);
    for (const auto& [name, value] : w.structure.scalars) {
      values.insert_or_assign(name, value);
    }
    JudgeWorkload one;
    COPPICE_TRY(one.reference, resolve(*op_.reference_plan, values, op_.scalars));
    std::string& binary = binaries[one.reference.defines];
    if (binary.empty()) {
      COPPICE_TRY(binary, compile(op_.reference_cu, "reference.cu", one.reference.defines));
    }
    one.reference_cubin = binary;
    one.layout = w.layout;
    one.structure = w.structure.tensors;
    out.workloads.push_back(std::move(one));
  }
  return out;
}

std::optional<std::uint64_t> CudaLane::find(std::string_view name) const {
  for (std::size_t i = 0; i < workloads_.size(); ++i) {
    if (workloads_[i].workload->name == name) {
      return i;
    }
  }
  return std::nullopt;
}

std::map<std::string, ValueMap> CudaLane::host_scalars() const {
  std::map<std::string, ValueMap> out;
  for (const LaneWorkload& w : workloads_) {
    out[w.workload->name] = w.structure.scalars;
  }
  return out;
}

Result<void> CudaLane::adjust_set(std::uint64_t workload, std::uint64_t set, std::uint64_t seed) {
  const LaneWorkload& w = workloads_[workload];
  HostReference::Inputs inputs = w.structure.tensors;
  for (const TensorInfo& tensor : w.tensors) {
    if (tensor.role == TensorRole::value) {
      COPPICE_TRY(inputs[tensor.name], judge_->read(workload, set, tensor.name, false));
    }
  }
  const HostReference::Inputs before = inputs;
  COPPICE_TRY_VOID(host_->adjust(*w.workload, w.tensors, w.cases[set]->name, seed, inputs));
  for (const TensorInfo& tensor : w.tensors) {
    if (tensor.role == TensorRole::value && before.at(tensor.name) != inputs.at(tensor.name)) {
      COPPICE_TRY_VOID(judge_->write(workload, set, tensor.name, inputs.at(tensor.name)));
    }
  }
  return {};
}

Result<void> CudaLane::draw_set(std::uint64_t workload,
                                std::uint64_t set,
                                std::uint64_t seed,
                                DrawCost& cost) {
  const LaneWorkload& w = workloads_[workload];
  const std::uint64_t own =
      mix64(seed + mix64(hash_text(w.workload->name) + 0x9e3779b97f4a7c15ull * (set + 1)));
  COPPICE_TRY(const double drawn,
              judge_->draw(workload, set, own, fills_of(w.tensors, *w.cases[set])));
  cost.draw += drawn;
  if (w.cases[set]->adjust) {
    const auto begin = std::chrono::steady_clock::now();
    COPPICE_TRY_VOID(adjust_set(workload, set, own));
    cost.adjust += seconds_since(begin);
  }
  COPPICE_TRY(const double expected, judge_->expect(workload, set));
  cost.expect += expected;
  return {};
}

Result<CudaLane::DrawCost> CudaLane::draw(std::uint64_t seed) {
  DrawCost cost;
  if (drawn_ == seed) {
    return cost;
  }
  for (std::uint64_t w = 0; w < workloads_.size(); ++w) {
    for (std::uint64_t set = 0; set < workloads_[w].cases.size(); ++set) {
      COPPICE_TRY_VOID(draw_set(w, set, seed, cost));
    }
    COPPICE_TRY_VOID(judge_->arm(w));
    COPPICE_TRY([[maybe_unused]] const StateCheck state, judge_->verify(w, 0, {}));
  }
  drawn_ = seed;
  return cost;
}

}  // namespace coppice::evaluators::cuda
