// Writes dispatch tables, as JSON and for people.
#include "cli/dispatch.h"
#include "cli/words.h"

#include <fmt/format.h>

namespace coppice::cli {
namespace {

constexpr const char* kRule =
    "exact dims: the bucket; else the nearest bucket by the sum of |ln(a/b)| over the dims whose "
    "winner claims the shape; else the fall-back";

Json dims_json(const DimMap& dims) {
  Json out = Json::object();
  for (const auto& [name, extent] : dims) {
    out.set(name, extent);
  }
  return out;
}

std::string dims_text(const DimMap& dims) {
  std::string out;
  for (const auto& [name, extent] : dims) {
    out += (out.empty() ? "" : " ") + name + "=" + std::to_string(extent);
  }
  return out.empty() ? "-" : out;
}

Json bucket_json(const DispatchBucket& bucket) {
  Json out = Json::object();
  out.set("workload", bucket.workload).set("dims", dims_json(bucket.dims));
  out.set("use", bucket.use).set("why", bucket.why);
  out.set("task", bucket.task).set("run", bucket.run).set("baseline", bucket.baseline);
  const bool has = bucket.attempt != nullptr;
  out.set("candidate", has ? Json(bucket.attempt->proposal.candidate.value) : Json());
  if (!has) {
    return out;
  }
  out.set("label", bucket.reader->label(*bucket.attempt));
  out.set("precision", bucket.attempt->evidence->precision);
  if (const Result<Candidate> candidate = bucket.reader->candidate(*bucket.attempt);
      candidate.ok()) {
    out.set("source", sha256(candidate->source).hex());
    out.set("plan", sha256(to_json(candidate->plan).dump()).hex());
  }
  const WorkloadTiming& timing = *bucket.timing;
  const bool compared = timing.baseline_median.count() > 0;
  out.set("median_us", to_microseconds(timing.median));
  out.set("baseline_us", compared ? Json(to_microseconds(timing.baseline_median)) : Json());
  out.set("speedup", compared ? Json(timing.speedup) : Json());
  out.set("speedup_low", compared ? Json(timing.speedup_low) : Json());
  out.set("speedup_high", compared ? Json(timing.speedup_high) : Json());
  return out;
}

std::string use_text(const DispatchBucket& bucket) {
  if (bucket.use == "candidate") {
    return fmt::format("{} #{}", bucket.task, bucket.attempt->proposal.candidate.value);
  }
  return bucket.use == "baseline" ? bucket.baseline : bucket.use;
}

}  // namespace

Json to_json(const std::vector<DispatchOp>& table, const std::string& run) {
  Json out = Json::object();
  out.set("schema", 1).set("run", run).set("rule", kRule);
  out.set("ops", Json::array_of(table, [](const DispatchOp& op) {
            Json item = Json::object();
            item.set("op", op.op).set("op_digest", op.digest).set("target", op.target);
            item.set("types", op.types).set("fallback", op.fallback);
            item.set("buckets", Json::array_of(op.buckets, bucket_json));
            return item;
          }));
  return out;
}

std::string text_of(const std::vector<DispatchOp>& table) {
  std::string out;
  for (const DispatchOp& op : table) {
    out += fmt::format("{} on {}{}; other shapes: the nearest bucket that claims them, else {}\n",
                       op.op,
                       op.target,
                       op.types.empty() ? "" : " (" + op.types + ")",
                       op.fallback);
    Table rows({"  workload", "dims", "use", "time", "why"});
    for (const DispatchBucket& bucket : op.buckets) {
      rows.add({"  " + bucket.workload,
                dims_text(bucket.dims),
                use_text(bucket),
                bucket.timing ? time_text(bucket.timing->median) : "-",
                bucket.why});
    }
    out += rows.text();
  }
  return out.empty() ? "no task had a turn yet" : out;
}

Json to_json(const std::vector<DispatchAnswer>& answers) {
  Json out = Json::object();
  out.set("schema", 1);
  out.set("answers", Json::array_of(answers, [](const DispatchAnswer& answer) {
            Json item = Json::object();
            item.set("op", answer.op->op).set("target", answer.op->target);
            item.set("exact", answer.exact).set("distance", answer.distance);
            item.set("why", answer.why);
            item.set("use", answer.bucket ? Json(answer.bucket->use) : Json(answer.op->fallback));
            item.set("bucket", answer.bucket ? bucket_json(*answer.bucket) : Json());
            return item;
          }));
  return out;
}

std::string text_of(const std::vector<DispatchAnswer>& answers) {
  std::string out;
  for (const DispatchAnswer& answer : answers) {
    out += fmt::format("{} on {}: {} ({})\n",
                       answer.op->op,
                       answer.op->target,
                       answer.bucket ? use_text(*answer.bucket) : answer.op->fallback,
                       answer.why);
  }
  return out;
}

}  // namespace coppice::cli
