// Builds and asks dispatch tables.
#include "cli/dispatch.h"

#include "cli/template_spaces.h"
#include "core/op_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace coppice::cli {
namespace {

const WorkloadTiming* timing_of(const archive::Attempt* attempt, const std::string& workload) {
  if (attempt == nullptr || !attempt->evidence || !attempt->evidence->performance) {
    return nullptr;
  }
  const auto& rows = attempt->evidence->performance->workloads;
  const auto found = std::ranges::find(rows, workload, &WorkloadTiming::workload);
  return found == rows.end() ? nullptr : &*found;
}

std::string baseline_of(const RunReader& run, const std::string& workload) {
  for (const BaselineFrozen& baseline : run.fold().baselines()) {
    if (baseline.workload == workload && baseline.chosen) {
      return baseline.name;
    }
  }
  return "";
}

DispatchBucket bucket_of(const RunReader& run, const std::string& task, const Workload& workload) {
  DispatchBucket out;
  out.workload = workload.name;
  out.dims = workload.dims;
  out.task = task;
  out.run = run.name();
  out.baseline = baseline_of(run, workload.name);
  const std::string instead = out.baseline.empty() ? "reference" : "baseline";
  const archive::Attempt* best = run.best();
  const bool verified = best != nullptr && best->proposal.fidelity == Fidelity::promote;
  const WorkloadTiming* timing = timing_of(best, workload.name);
  if (best == nullptr) {
    out.use = instead;
    out.why = "no candidate passed the gates";
    return out;
  }
  if (!verified || timing == nullptr) {
    out.use = instead;
    out.why = fmt::format("candidate {} is the best so far, but has not passed promotion",
                          best->proposal.candidate.value);
    return out;
  }
  out.attempt = best;
  out.reader = &run;
  out.timing = *timing;
  const bool compared = timing->baseline_median.count() > 0;
  if (compared && timing->speedup <= 1.0) {
    out.use = "baseline";
    out.why = fmt::format("the baseline is faster here: candidate {} has {:.2f}x its speed",
                          best->proposal.candidate.value,
                          timing->speedup);
    return out;
  }
  out.use = "candidate";
  out.why = compared ? fmt::format("{:.2f}x the baseline ({:.2f} to {:.2f})",
                                   timing->speedup,
                                   timing->speedup_low,
                                   timing->speedup_high)
                     : "there is no baseline";
  return out;
}

// The better of two answers for the same workload.
bool better(const DispatchBucket& a, const DispatchBucket& b) {
  if ((a.use == "candidate") != (b.use == "candidate")) {
    return a.use == "candidate";
  }
  const double mine = a.timing && a.timing->baseline_median.count() > 0 ? a.timing->speedup : 0.0;
  const double other = b.timing && b.timing->baseline_median.count() > 0 ? b.timing->speedup : 0.0;
  if (mine > 0.0 && other > 0.0 && mine != other) {
    return mine > other;
  }
  if (a.timing && b.timing && a.timing->median != b.timing->median) {
    return a.timing->median < b.timing->median;
  }
  return a.timing.has_value() && !b.timing.has_value();
}

void add_bucket(DispatchOp& op, DispatchBucket bucket) {
  for (DispatchBucket& known : op.buckets) {
    if (known.dims == bucket.dims && known.workload == bucket.workload) {
      if (better(bucket, known)) {
        known = std::move(bucket);
      }
      return;
    }
  }
  op.buckets.push_back(std::move(bucket));
}

std::string types_text(const Suite& suite) {
  std::string out;
  for (const auto& [name, type] : suite.types) {
    out += (out.empty() ? "" : ", ") + name + "=" + type;
  }
  return out;
}

double distance_between(const DimMap& a, const DimMap& b) {
  double sum = 0.0;
  for (const auto& [name, extent] : a) {
    const auto other = b.find(name);
    sum += std::abs(std::log(static_cast<double>(std::max<std::int64_t>(1, extent)) /
                             static_cast<double>(std::max<std::int64_t>(1, other->second))));
  }
  return sum;
}

bool same_names(const DimMap& a, const DimMap& b) {
  return a.size() == b.size() &&
         std::ranges::all_of(a, [&](const auto& dim) { return b.find(dim.first) != b.end(); });
}

// Whether a bucket's winner may run at other dims: its plan claims them, and its template's
// restrictions hold there. Text: why not.
std::string refuses(const DispatchBucket& bucket, const DimMap& dims) {
  const RunMaterial& material = bucket.reader->material();
  if (material.is_table()) {
    return "a table answers for itself alone";
  }
  Suite suite = material.suite();
  suite.workloads.resize(1);
  suite.workloads.front().dims = dims;
  const CandidateSpec& spec = bucket.attempt->proposal.spec;
  const Result<Candidate> candidate = bucket.reader->candidate(*bucket.attempt);
  if (!candidate.ok()) {
    return candidate.error().message;
  }
  ValueMap values = workload_values(material.op, suite, suite.workloads.front());
  for (const auto& [name, value] : candidate->axis_values) {
    values.insert_or_assign(name, value);
  }
  const auto outside = unclaimed(candidate->plan, values);
  if (!outside.ok() || outside->has_value()) {
    return outside.ok() ? "its plan claims only " + **outside : outside.error().message;
  }
  if (spec.template_name.empty()) {
    return "";
  }
  const auto spaces = template_spaces(material.op, suite, material.target, {spec.template_name});
  const bool fits =
      spaces.ok() && !spaces->spaces.empty() && spaces->spaces.front().space.valid(spec.genome);
  return fits ? "" : "its template's restrictions do not hold there";
}

}  // namespace

std::vector<DispatchOp> dispatch_of(const SharedReader& run) {
  std::vector<DispatchOp> out;
  for (const SharedTaskView& task : run.tasks()) {
    if (!task.run) {
      continue;
    }
    const RunMaterial& material = task.run->material();
    const std::string types = types_text(material.suite());
    const std::string digest = material.op.digest.hex();
    auto op = std::ranges::find_if(out, [&](const DispatchOp& one) {
      return one.digest == digest && one.target == material.target.name && one.types == types;
    });
    if (op == out.end()) {
      DispatchOp fresh;
      fresh.op = material.op.name;
      fresh.target = material.target.name;
      fresh.types = types;
      fresh.digest = digest;
      out.push_back(std::move(fresh));
      op = out.end() - 1;
    }
    for (const Workload& workload : material.suite().workloads) {
      add_bucket(*op, bucket_of(*task.run, task.config.name, workload));
    }
  }
  for (DispatchOp& op : out) {
    std::ranges::stable_sort(op.buckets,
                             [](const auto& a, const auto& b) { return a.dims < b.dims; });
    const bool any = std::ranges::any_of(
        op.buckets, [](const DispatchBucket& bucket) { return !bucket.baseline.empty(); });
    op.fallback = any ? "baseline" : "reference";
  }
  return out;
}

Result<DimMap> read_dims(const std::vector<std::string>& words) {
  DimMap out;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    std::int64_t extent = 0;
    const char* first = word.data() + (equals == word.npos ? word.size() : equals + 1);
    const auto [end, error] = std::from_chars(first, word.data() + word.size(), extent);
    if (equals == word.npos || equals == 0 || error != std::errc() ||
        end != word.data() + word.size() || extent < 1) {
      return Error{ErrorCode::usage, "--shape: expected DIM=N, found \"" + word + "\""};
    }
    out[word.substr(0, equals)] = extent;
  }
  return out;
}

Result<std::vector<DispatchAnswer>> ask_dispatch(const std::vector<DispatchOp>& table,
                                                 const DimMap& dims) {
  std::vector<DispatchAnswer> out;
  std::string known;
  for (const DispatchOp& op : table) {
    if (op.buckets.empty() || !same_names(op.buckets.front().dims, dims)) {
      known += (known.empty() ? "" : "; ") + op.op + ":";
      for (const auto& [name, extent] : op.buckets.empty() ? DimMap() : op.buckets.front().dims) {
        known += " " + name;
      }
      continue;
    }
    DispatchAnswer answer;
    answer.op = &op;
    answer.why = "no bucket has a verified winner for this shape: the fall-back, " + op.fallback;
    std::vector<std::pair<double, const DispatchBucket*>> near;
    for (const DispatchBucket& bucket : op.buckets) {
      near.emplace_back(distance_between(bucket.dims, dims), &bucket);
    }
    std::ranges::stable_sort(near, [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [distance, bucket] : near) {
      const bool exact = bucket->dims == dims;
      if (!exact && (bucket->use != "candidate" || !refuses(*bucket, dims).empty())) {
        continue;
      }
      answer.bucket = bucket;
      answer.exact = exact;
      answer.distance = distance;
      answer.why = exact ? bucket->why
                         : "the nearest verified bucket, " + bucket->workload +
                               "; its winner claims the shape, its speed there was not measured";
      break;
    }
    out.push_back(std::move(answer));
  }
  if (out.empty()) {
    return Error{ErrorCode::usage, "--shape: expected all dims of an op (" + known + ")"};
  }
  return out;
}

}  // namespace coppice::cli
