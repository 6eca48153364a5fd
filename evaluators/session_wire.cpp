// JSON of sessions and tasks; strict readers, since an agent may run on another machine and
// version.

#include "evaluators/session_wire.h"

#include "core/codec.h"

#include <fmt/format.h>

namespace coppice::evaluators {
namespace {

constexpr std::string_view kRoles[] = {"value", "structure", "output"};
constexpr std::string_view kFills[] = {"normal", "uniform", "constant"};
constexpr std::string_view kCodes[] = {
    "usage", "config", "missing", "environment", "io", "busy", "corrupt", "interrupted"};

Result<TensorRole> role_named(std::string_view text) {
  return enum_named<TensorRole>("role", kRoles, text);
}
Result<Fill::Kind> fill_named(std::string_view text) {
  return enum_named<Fill::Kind>("fill", kFills, text);
}

Json texts(const std::vector<std::string>& items) {
  return Json::array_of(items, [](const std::string& item) { return Json(item); });
}
Json expressions(const std::vector<Expr>& items) {
  return Json::array_of(items, [](const Expr& item) { return coppice::to_json(item); });
}
template <class T, class Convert>
Json object_of(const std::map<std::string, T, std::less<>>& items, Convert convert) {
  Json out = Json::object();
  for (const auto& [key, value] : items) {
    out.set(key, convert(value));
  }
  return out;
}
Json text_map(const std::map<std::string, std::string, std::less<>>& items) {
  return object_of(items, [](const std::string& item) { return Json(item); });
}

Json fill_json(const Fill& fill) {
  return Json::object()
      .set("kind", kFills[static_cast<std::size_t>(fill.kind)])
      .set("scale", fill.scale)
      .set("offset", fill.offset);
}

Json tensor_json(const TensorSpec& tensor) {
  return Json::object()
      .set("name", tensor.name)
      .set("role", kRoles[static_cast<std::size_t>(tensor.role)])
      .set("dtype", tensor.dtype)
      .set("shape", expressions(tensor.shape))
      .set("fill", fill_json(tensor.fill))
      .set("weight", tensor.weight);
}

Json tolerance_json(const Tolerance& t) {
  Json out = Json::object();
  out.set("nrmse", t.nrmse).set("relative", t.relative).set("scaled", t.scaled);
  out.set("row_factor", t.row_factor);
  set_if(out, "absolute", t.absolute.has_value(), Json(t.absolute.value_or(0.0)));
  return out;
}

Json workload_json(const Workload& w) {
  Json dims = Json::object();
  for (const auto& [name, extent] : w.dims) {
    dims.set(name, extent);
  }
  return Json::object()
      .set("name", w.name)
      .set("dims", std::move(dims))
      .set("structure", coppice::to_json(w.structure))
      .set("structure_seed", w.structure_seed);
}

Json suite_json(const Suite& suite) {
  return Json::object()
      .set("name", suite.name)
      .set("types", text_map(suite.types))
      .set("workloads", Json::array_of(suite.workloads, workload_json))
      .set("hidden", Json::array_of(suite.hidden, workload_json));
}

Json precision_json(const PrecisionClass& p) {
  return Json::object()
      .set("name", p.name)
      .set("types", text_map(p.types))
      .set("tolerance", tolerance_json(p.tolerance))
      .set("outputs", object_of(p.per_output, tolerance_json));
}

Json case_json(const ValueCase& c) {
  return Json::object()
      .set("name", c.name)
      .set("fills", object_of(c.fills, fill_json))
      .set("adjust", c.adjust);
}

Json baseline_json(const BaselineSpec& b) {
  Json out = Json::object();
  out.set("name", b.name).set("backend", b.backend).set("library", b.library);
  out.set("source_name", b.source_name).set("source", b.source).set("prepacked", b.prepacked);
  out.set("variants", Json::array_of(b.variants, text_map));
  if (b.plan) {
    out.set("plan", coppice::to_json(*b.plan));
  }
  return out;
}

Json op_json(const Op& op, const Suite& suite) {
  Json files = Json::object();
  for (const auto& [path, text] : op.files) {
    if (path.compare(0, 8, "include/") == 0) {
      files.set(path, text);
    }
  }
  Json types = Json::object();
  for (const auto& [name, choices] : op.types) {
    types.set(name, texts(choices));
  }
  Json out = Json::object();
  out.set("name", op.name).set("family", op.family).set("dims", texts(op.dims));
  out.set("types", std::move(types)).set("tensors", Json::array_of(op.tensors, tensor_json));
  out.set("scalars", texts(op.scalars)).set("constants", coppice::to_json(op.constants));
  out.set("precision", Json::array_of(op.precision, precision_json));
  out.set("cases", Json::array_of(op.cases, case_json)).set("suite", suite_json(suite));
  out.set("flops", coppice::to_json(op.cost.flops)).set("bytes", coppice::to_json(op.cost.bytes));
  out.set("compute", op.cost.compute);
  out.set("baselines", Json::array_of(op.baselines, baseline_json));
  out.set("reference_cpp", op.reference_cpp).set("reference_cu", op.reference_cu);
  if (op.reference_plan) {
    out.set("reference_plan", coppice::to_json(*op.reference_plan));
  }
  return out.set("files", std::move(files)).set("digest", op.digest.hex());
}

// ---- reading ----

template <class T, class Convert>
Result<std::vector<T>> list(const JsonReader& json, std::string_view key, Convert convert) {
  COPPICE_TRY(const JsonReader array, json.at(key));
  COPPICE_TRY(const std::vector<JsonReader> items, array.items());
  std::vector<T> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(T value, convert(item));
    out.push_back(std::move(value));
  }
  return out;
}

template <class T, class Convert>
Result<std::map<std::string, T, std::less<>>> map_of(const JsonReader& json,
                                                     std::string_view key,
                                                     Convert convert) {
  COPPICE_TRY(const JsonReader object, json.at(key));
  COPPICE_TRY(const auto members, object.members());
  std::map<std::string, T, std::less<>> out;
  for (const auto& [name, member] : members) {
    COPPICE_TRY(T value, convert(member));
    out.emplace(name, std::move(value));
  }
  return out;
}

Result<Fill> read_fill(const JsonReader& json) {
  Fill fill;
  Fields fields(json, {"kind", "scale", "offset"});
  fields.need_enum("kind", fill.kind, fill_named).need("scale", fill.scale);
  return fields.need("offset", fill.offset).done(fill);
}

Result<TensorSpec> read_tensor(const JsonReader& json) {
  TensorSpec t;
  Fields fields(json, {"name", "role", "dtype", "shape", "fill", "weight"});
  fields.need("name", t.name).need_enum("role", t.role, role_named).need("dtype", t.dtype);
  fields.need("shape", t.shape).need("weight", t.weight);
  COPPICE_TRY(t, fields.done(std::move(t)));
  COPPICE_TRY(const JsonReader fill, json.at("fill"));
  COPPICE_TRY(t.fill, read_fill(fill));
  return t;
}

Result<Tolerance> read_tolerance(const JsonReader& json) {
  Tolerance t;
  Fields fields(json, {"nrmse", "relative", "scaled", "row_factor", "absolute"});
  fields.need("nrmse", t.nrmse).need("relative", t.relative).need("scaled", t.scaled);
  return fields.need("row_factor", t.row_factor).maybe("absolute", t.absolute).done(t);
}

Result<Workload> read_workload(const JsonReader& json) {
  Workload w;
  Fields fields(json, {"name", "dims", "structure", "structure_seed"});
  fields.need("name", w.name).need("dims", w.dims).need("structure", w.structure);
  return fields.need("structure_seed", w.structure_seed).done(std::move(w));
}

Result<Suite> read_suite(const JsonReader& json) {
  Suite s;
  Fields fields(json, {"name", "types", "workloads", "hidden"});
  fields.need("name", s.name).need("types", s.types);
  COPPICE_TRY(s, fields.done(std::move(s)));
  COPPICE_TRY(s.workloads, list<Workload>(json, "workloads", read_workload));
  COPPICE_TRY(s.hidden, list<Workload>(json, "hidden", read_workload));
  return s;
}

Result<PrecisionClass> read_precision(const JsonReader& json) {
  PrecisionClass p;
  Fields fields(json, {"name", "types", "tolerance", "outputs"});
  fields.need("name", p.name).need("types", p.types);
  COPPICE_TRY(p, fields.done(std::move(p)));
  COPPICE_TRY(const JsonReader tolerance, json.at("tolerance"));
  COPPICE_TRY(p.tolerance, read_tolerance(tolerance));
  COPPICE_TRY(p.per_output, map_of<Tolerance>(json, "outputs", read_tolerance));
  return p;
}

Result<ValueCase> read_case(const JsonReader& json) {
  ValueCase c;
  Fields fields(json, {"name", "fills", "adjust"});
  COPPICE_TRY(c, fields.need("name", c.name).need("adjust", c.adjust).done(std::move(c)));
  COPPICE_TRY(c.fills, map_of<Fill>(json, "fills", read_fill));
  return c;
}

Result<BaselineSpec> read_baseline(const JsonReader& json) {
  BaselineSpec b;
  Fields fields(
      json,
      {"name", "backend", "library", "source_name", "source", "prepacked", "variants", "plan"});
  fields.need("name", b.name).need("backend", b.backend).need("library", b.library);
  fields.need("source_name", b.source_name).need("source", b.source);
  COPPICE_TRY(b, fields.need("prepacked", b.prepacked).need("variants", b.variants).done(b));
  if (const auto plan = json.find("plan")) {
    COPPICE_TRY(LaunchPlan read, launch_plan(*plan));
    b.plan = std::move(read);
  }
  return b;
}

Result<Op> read_op(const JsonReader& json) {
  Op op;
  Fields fields(json,
                {"name",
                 "family",
                 "dims",
                 "types",
                 "tensors",
                 "scalars",
                 "constants",
                 "precision",
                 "cases",
                 "suite",
                 "flops",
                 "bytes",
                 "compute",
                 "baselines",
                 "reference_cpp",
                 "reference_cu",
                 "reference_plan",
                 "files",
                 "digest"});
  fields.need("name", op.name).need("family", op.family).need("dims", op.dims);
  fields.need("types", op.types).need("scalars", op.scalars).need("constants", op.constants);
  fields.need("flops", op.cost.flops).need("bytes", op.cost.bytes);
  fields.need("compute", op.cost.compute).need("reference_cpp", op.reference_cpp);
  fields.need("reference_cu", op.reference_cu).need("files", op.files);
  COPPICE_TRY(op, fields.need("digest", op.digest).done(std::move(op)));
  COPPICE_TRY(op.tensors, list<TensorSpec>(json, "tensors", read_tensor));
  COPPICE_TRY(op.precision, list<PrecisionClass>(json, "precision", read_precision));
  COPPICE_TRY(op.cases, list<ValueCase>(json, "cases", read_case));
  COPPICE_TRY(op.baselines, list<BaselineSpec>(json, "baselines", read_baseline));
  COPPICE_TRY(const JsonReader suite, json.at("suite"));
  COPPICE_TRY(Suite read, read_suite(suite));
  op.suites.push_back(std::move(read));
  if (const auto plan = json.find("reference_plan")) {
    COPPICE_TRY(LaunchPlan reference, launch_plan(*plan));
    op.reference_plan = std::move(reference);
  }
  return op;
}

Json workloads_json(const std::vector<DeviceWorkload>& workloads) {
  return Json::array_of(workloads, [](const DeviceWorkload& w) {
    return Json::object()
        .set("workload", w.workload)
        .set("plan", coppice::to_json(w.plan))
        .set("binary", w.binary.hex());
  });
}

Result<DeviceWorkload> read_device_workload(const JsonReader& json) {
  DeviceWorkload w;
  Fields fields(json, {"workload", "plan", "binary"});
  COPPICE_TRY(w, fields.need("workload", w.workload).need("binary", w.binary).done(std::move(w)));
  COPPICE_TRY(const JsonReader plan, json.at("plan"));
  COPPICE_TRY(w.plan, resolved_plan(plan));
  return w;
}

}  // namespace

Json to_json(const DeviceSession& session) {
  const Suite* suite = session.op.suite(session.suite);
  static const Suite kNone;
  Json out = Json::object();
  out.set("op", op_json(session.op, suite != nullptr ? *suite : kNone));
  set_if(out, "thorough", session.thorough, session.thorough);
  out.set("lane_threads", session.lane_threads).set("isolation", session.isolation);
  const auto number = [](double rate) {
    return Json(rate);
  };
  out.set("peaks", object_of(session.peaks, number));
  out.set("ceilings", object_of(session.ceilings, number));
  out.set("cache_folder", session.cache_folder);
  out.set("skip_gates",
          Json::array_of(session.skip_gates, [](Gate gate) { return Json(to_text(gate)); }));
  return out;
}

Result<DeviceSession> device_session(const JsonReader& json) {
  DeviceSession s;
  std::vector<std::string> skip;
  Fields fields(json,
                {"op",
                 "thorough",
                 "lane_threads",
                 "isolation",
                 "cache_folder",
                 "peaks",
                 "ceilings",
                 "skip_gates"});
  fields.maybe("thorough", s.thorough)
      .need("lane_threads", s.lane_threads)
      .need("isolation", s.isolation);
  fields.need("cache_folder", s.cache_folder).need("skip_gates", skip);
  fields.need("peaks", s.peaks).need("ceilings", s.ceilings);
  COPPICE_TRY(s, fields.done(std::move(s)));
  for (const std::string& name : skip) {
    COPPICE_TRY(const Gate skipped, gate(name));
    s.skip_gates.push_back(skipped);
  }
  COPPICE_TRY(const JsonReader op, json.at("op"));
  COPPICE_TRY(s.op, read_op(op));
  s.suite = s.op.suites.front().name;
  return s;
}

Message task_message(const DeviceTask& task) {
  Message message;
  Json& json = message.json;
  json.set("call", "evaluate").set("attempt", task.attempt.value);
  json.set("candidate", task.candidate.value).set("fidelity", to_text(task.fidelity));
  json.set("precision", task.precision).set("secret_seed", task.secret_seed);
  json.set("best_log_cost", task.best_log_cost).set("timed", workloads_json(task.timed));
  json.set("hidden", workloads_json(task.hidden));
  message.attachments.push_back(task.source);
  for (const auto& [digest, bytes] : task.binaries) {
    message.attachments.push_back(bytes);
  }
  return message;
}

Result<DeviceTask> device_task(const Message& message) {
  DeviceTask task;
  const JsonReader json = message.json.reader("task");
  Fields fields(json,
                {"call",
                 "attempt",
                 "candidate",
                 "fidelity",
                 "precision",
                 "secret_seed",
                 "best_log_cost",
                 "timed",
                 "hidden"});
  fields.need("attempt", task.attempt).need("candidate", task.candidate);
  fields.need_enum("fidelity", task.fidelity, fidelity).need("precision", task.precision);
  fields.need("secret_seed", task.secret_seed).need("best_log_cost", task.best_log_cost);
  COPPICE_TRY(task, fields.done(std::move(task)));
  COPPICE_TRY(task.timed, list<DeviceWorkload>(json, "timed", read_device_workload));
  COPPICE_TRY(task.hidden, list<DeviceWorkload>(json, "hidden", read_device_workload));
  if (message.attachments.empty()) {
    return json.complain("the source is missing");
  }
  task.source = message.attachments.front();
  for (std::size_t i = 1; i < message.attachments.size(); ++i) {
    task.binaries.emplace(sha256(message.attachments[i]), message.attachments[i]);
  }
  for (const auto* workloads : {&task.timed, &task.hidden}) {
    for (const DeviceWorkload& w : *workloads) {
      if (task.binaries.find(w.binary) == task.binaries.end()) {
        return json.complain(fmt::format("binary {} of {} is missing", w.binary.hex(), w.workload));
      }
    }
  }
  return task;
}

Json to_json(const BaselineFrozen& f) {
  return Json::object()
      .set("workload", f.workload)
      .set("name", f.name)
      .set("median", static_cast<std::int64_t>(f.median.count()))
      .set("chosen", f.chosen)
      .set("prepacked", f.prepacked)
      .set("details", f.details);
}

Result<BaselineFrozen> baseline_frozen(const JsonReader& json) {
  BaselineFrozen f;
  Fields fields(json, {"workload", "name", "median", "chosen", "prepacked", "details"});
  fields.need("workload", f.workload).need("name", f.name).need("median", f.median);
  fields.need("chosen", f.chosen).need("prepacked", f.prepacked).maybe("details", f.details);
  return fields.done(std::move(f));
}

Json error_json(const Error& error) {
  Json inner = Json::object();
  inner.set("code", kCodes[static_cast<std::size_t>(error.code)]).set("message", error.message);
  return Json::object().set("error", std::move(inner));
}

std::optional<Error> error_of(const JsonReader& json) {
  const auto found = json.find("error");
  if (!found) {
    return std::nullopt;
  }
  Error error{ErrorCode::corrupt, "malformed error"};
  std::string code;
  Fields fields(*found, {"code", "message"});
  fields.need("code", code).need("message", error.message);
  const Result<ErrorCode> named = enum_named<ErrorCode>("code", kCodes, code);
  if (named.ok()) {
    error.code = *named;
  }
  return error;
}

}  // namespace coppice::evaluators
