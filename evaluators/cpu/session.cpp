// Opening a session, and how much memory each workload's station may have.

#include "evaluators/cpu/session.h"

#include "evaluators/compile_cache.h"
#include "evaluators/prepare.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::evaluators::cpu {
namespace {

// Launches of one process before it is replaced by a fresh one: it sees each set of values once.
constexpr std::uint64_t kMostLaunches = 12;
constexpr std::uint64_t kFewestLaunches = 2;

const std::string& smallest_timed(const CpuSession& s) {
  const Workload* best = nullptr;
  std::uint64_t best_bytes = 0;
  for (const Workload& w : s.suite->workloads) {
    std::uint64_t bytes = 0;
    if (const auto tensors = tensor_shapes(s.config.op, *s.suite, w); tensors.ok()) {
      for (const TensorShape& tensor : *tensors) {
        bytes += tensor.bytes;
      }
    }
    if (best == nullptr || bytes < best_bytes) {
      best = &w;
      best_bytes = bytes;
    }
  }
  static const std::string kNone;
  return best != nullptr ? best->name : kNone;
}

StationSize station_size(const CpuSession& s, const std::string& name, const Layout& layout) {
  const auto workloads =
      static_cast<std::uint64_t>(std::max<std::size_t>(s.suite->workloads.size(), 1));
  const std::uint64_t cases = s.config.op.cases.size() + 1;
  StationSize out;
  if (!s.is_timed(name)) {
    out.timed_entries = 1;
    out.case_entries = cases;
    out.slots = cases + 1;
    return out;
  }
  // At most a third of the free memory for all timed workloads together.
  const std::uint64_t share =
      std::min<std::uint64_t>(s.machine.available_bytes / 3, 6ULL << 30) / workloads;
  const std::uint64_t per_launch = layout.entry_bytes + layout.slot_bytes;
  out.timed_entries =
      std::clamp(share / std::max<std::uint64_t>(per_launch, 1), kFewestLaunches, kMostLaunches);
  const bool has_cases = name == smallest_timed(s);
  const std::uint64_t left = share - std::min(share, out.timed_entries * per_launch);
  out.case_entries = has_cases
                         ? std::clamp<std::uint64_t>(
                               left / std::max<std::uint64_t>(layout.entry_bytes, 1), 1, cases)
                         : 0;
  out.slots = std::max(out.timed_entries, out.case_entries + 1);
  return out;
}

}  // namespace

const Workload* CpuSession::workload(std::string_view name) const {
  for (const auto* list : {&suite->workloads, &suite->hidden}) {
    for (const Workload& w : *list) {
      if (w.name == name) {
        return &w;
      }
    }
  }
  return nullptr;
}

bool CpuSession::is_timed(std::string_view name) const {
  return std::any_of(suite->workloads.begin(), suite->workloads.end(), [&](const Workload& w) {
    return w.name == name;
  });
}

Result<Station*> CpuSession::station(const std::string& name) {
  if (const auto found = stations.find(name); found != stations.end()) {
    return &found->second;
  }
  const Workload* w = workload(name);
  if (w == nullptr) {
    return Error{ErrorCode::config,
                 fmt::format("suite '{}' has no workload '{}'", suite->name, name)};
  }
  COPPICE_TRY(auto tensors, tensor_shapes(config.op, *suite, *w));
  const StationSize size = station_size(*this, name, make_layout(tensors, 0));
  COPPICE_TRY(Station opened, Station::open(*judge, *w, std::move(tensors), size));
  return &stations.emplace(name, std::move(opened)).first->second;
}

Result<WorkloadCost> CpuSession::cost(const std::string& name) const {
  const Workload* w = workload(name);
  if (w == nullptr) {
    return Error{ErrorCode::config, fmt::format("no workload '{}'", name)};
  }
  ValueMap values = workload_values(config.op, *suite, *w);
  if (const auto found = scalars.find(name); found != scalars.end()) {
    for (const auto& [key, value] : found->second) {
      values.insert_or_assign(key, value);
    }
  }
  for (const auto& [key, type] : suite->types) {
    values.insert_or_assign(key, Value(type));
  }
  WorkloadCost out;
  COPPICE_TRY(out.flops, config.op.cost.flops.real(values));
  COPPICE_TRY(out.bytes, config.op.cost.bytes.real(values));
  return out;
}

bool CpuSession::skips(Gate gate) const {
  return std::find(config.skip_gates.begin(), config.skip_gates.end(), gate) !=
         config.skip_gates.end();
}

Nanoseconds CpuSession::launch_deadline(const std::string& name) const {
  const auto found = chosen.find(name);
  const Nanoseconds floor = std::chrono::seconds(2);
  if (found == chosen.end()) {
    return std::chrono::seconds(10);
  }
  return std::max(floor, found->second.median * 50);
}

Result<void> CpuSession::renew_launcher() {
  launcher.reset();
  COPPICE_TRY(CandidateLauncher fresh, CandidateLauncher::start());
  launcher.emplace(std::move(fresh));
  return {};
}

Result<std::string> build_trusted(CpuSession& s,
                                  const std::string& source_name,
                                  const std::string& source,
                                  const std::string& library,
                                  bool& missing,
                                  std::stop_token stop) {
  CompileJob job;
  job.source_name = source_name;
  job.source = source_prefix({}, s.suite->types, source_name) + source;
  job.headers = op_headers(s.config.op);
  std::vector<std::string> libraries;
  if (library == "openblas") {
    libraries = {"openblas"};
  } else if (library == "onednn") {
    libraries = {"dnnl"};
  }
  const Digest key = cache_key(job, s.toolchain->version() + " trusted " + library);
  if (auto kept = read_cache(s.config.cache_folder, key)) {
    return std::move(kept->binary);
  }
  COPPICE_TRY(Compiled built, s.toolchain->compile_trusted(job, libraries, std::move(stop)));
  if (built.failure != FailureClass::none) {
    missing =
        built.log.find("cannot find -l") != std::string::npos ||
        (!libraries.empty() && built.log.find("No such file or directory") != std::string::npos);
    return Error{missing ? ErrorCode::missing : ErrorCode::config,
                 missing ? fmt::format("{}: library '{}' is not installed", source_name, library)
                         : built.message};
  }
  write_cache(s.config.cache_folder, key, built);
  return std::move(built.binary);
}

Result<std::unique_ptr<CpuSession>> open_session(DeviceSession config, std::stop_token stop) {
  auto s = std::make_unique<CpuSession>();
  s->config = std::move(config);
  s->suite = s->config.op.suite(s->config.suite);
  if (s->suite == nullptr) {
    return Error{ErrorCode::config,
                 fmt::format("op '{}' has no suite '{}'", s->config.op.name, s->config.suite)};
  }
  s->machine = look_at_machine();
  s->threads = s->config.lane_threads > 0 ? std::min(s->config.lane_threads, s->machine.cores)
                                          : s->machine.cores;
  COPPICE_TRY(s->toolchain, HostToolchain::open({}));
  bool missing = false;
  COPPICE_TRY(const std::string reference,
              build_trusted(*s, "reference.cpp", s->config.op.reference_cpp, "", missing, stop)
                  .within("reference"));
  COPPICE_TRY(JudgeClient judge, JudgeClient::start(s->config, reference, s->scalars));
  s->judge.emplace(std::move(judge));
  COPPICE_TRY_VOID(s->renew_launcher());
  if (s->config.isolation != "best") {
    COPPICE_TRY(const Isolation wanted, isolation(s->config.isolation));
    if (s->launcher->level() < wanted) {
      return Error{ErrorCode::environment,
                   fmt::format("isolation: this system reaches '{}', the run demands '{}'",
                               to_text(s->launcher->level()),
                               s->config.isolation)};
    }
  }
  const CeilingRecord record = look_up_ceilings(s->ceiling_source(), Measuring::when_due);
  s->ceilings = record.best();
  s->ceiling_measurements = record.entries().size();
  return s;
}

}  // namespace coppice::evaluators::cpu
