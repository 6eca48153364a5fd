// T4 results and Kernel Tuner cache files.
#include "evaluators/recorded_write.h"

namespace coppice::evaluators {

namespace {

constexpr double kMillisecondsPerSecond = 1e3;

std::string_view invalidity_of(const RecordedOutcome& outcome) {
  if (outcome.valid) {
    return "correct";
  }
  if (outcome.gate == Gate::build) {
    return "compile";
  }
  if (outcome.failure == FailureClass::plan_invalid) {
    return "constraints";
  }
  if (outcome.failure == FailureClass::hang) {
    return "timeout";
  }
  return outcome.gate == Gate::correctness ? "correctness" : "runtime";
}

std::string_view cache_error_of(const RecordedOutcome& outcome) {
  const std::string_view word = invalidity_of(outcome);
  return word == "compile"       ? "CompilationFailedConfig"
         : word == "constraints" ? "InvalidConfig"
         : word == "correctness" ? "CorrectnessFailedConfig"
                                 : "RuntimeFailedConfig";
}

Json configuration_json(const AxisSpace& space, const Genome& genome) {
  Json out = Json::object();
  for (std::size_t a = 0; a < space.size(); ++a) {
    out.set(space.axis(a).name, Json(space.value(genome, a)));
  }
  return out;
}

}  // namespace

Json t4_json(const RecordedTable& table) {
  const AxisSpace& space = table.space().space;
  Json results = Json::array();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const RecordedOutcome& outcome = table.outcomes()[i];
    Json runtimes = Json::array();
    Json time = Json::object().set("name", "time").set("unit", "ms");
    if (outcome.valid) {
      runtimes.push(outcome.milliseconds);
      time.set("value", outcome.milliseconds);
    } else {
      time.set("value", invalidity_of(outcome));
    }
    Json times = Json::object();
    times.set("compilation_time", outcome.compile_seconds * kMillisecondsPerSecond);
    times.set("framework", 0).set("search_algorithm", 0).set("validation", 0);
    times.set("runtimes", std::move(runtimes));
    results.push(Json::object()
                     .set("configuration", configuration_json(space, (*space.listed())[i]))
                     .set("times", std::move(times))
                     .set("invalidity", invalidity_of(outcome))
                     .set("correctness", outcome.valid ? 1 : 0)
                     .set("measurements", Json::array().push(std::move(time)))
                     .set("objectives", Json::array().push("time")));
  }
  return Json::object()
      .set("schema_version", "1.0.0")
      .set("metadata", Json::object().set("timeunit", "miliseconds").set("name", table.name()))
      .set("results", std::move(results));
}

Json kernel_tuner_json(const RecordedTable& table) {
  const AxisSpace& space = table.space().space;
  Json keys = Json::array();
  Json levels = Json::object();
  for (const Axis& axis : space.axes()) {
    keys.push(axis.name);
    levels.set(axis.name, Json::array_of(axis.levels, [](const Value& v) { return Json(v); }));
  }
  Json cache = Json::object();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const Genome& genome = (*space.listed())[i];
    const RecordedOutcome& outcome = table.outcomes()[i];
    std::string key;
    for (std::size_t a = 0; a < space.size(); ++a) {
      key += (a == 0 ? "" : ",") + coppice::to_text(space.value(genome, a));
    }
    Json entry = configuration_json(space, genome);
    if (outcome.valid) {
      entry.set("time", outcome.milliseconds);
    } else {
      entry.set("__error__", cache_error_of(outcome));
    }
    entry.set("compile_time", outcome.compile_seconds * kMillisecondsPerSecond);
    entry.set("benchmark_time", outcome.run_seconds * kMillisecondsPerSecond);
    cache.set(key, std::move(entry));
  }
  const auto on = table.name().rfind(" on ");
  return Json::object()
      .set("kernel_name", table.name().substr(0, on))
      .set("device_name", on == std::string::npos ? "device" : table.name().substr(on + 4))
      .set("problem_size", "callable")
      .set("objective", "time")
      .set("tune_params_keys", std::move(keys))
      .set("tune_params", std::move(levels))
      .set("cache", std::move(cache));
}

}  // namespace coppice::evaluators
