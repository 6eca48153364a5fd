// KTT's JSON output, as its tuner saves results.
#include "evaluators/recorded_formats.h"

#include <algorithm>
#include <cmath>

namespace coppice::evaluators::detail {

namespace {

Result<double> milliseconds_per_unit(const JsonReader& root) {
  const auto metadata = root.find("Metadata");
  const auto unit = metadata ? metadata->find("TimeUnit") : std::nullopt;
  if (!unit) {
    return 1e-3;  // microseconds
  }
  COPPICE_TRY(const std::string name, unit->text());
  const std::pair<std::string_view, double> known[] = {
      {"Nanoseconds", 1e-6}, {"Microseconds", 1e-3}, {"Milliseconds", 1.0}, {"Seconds", 1e3}};
  for (const auto& [text, factor] : known) {
    if (name == text) {
      return factor;
    }
  }
  return unit->error("Nanoseconds, Microseconds, Milliseconds or Seconds");
}

Result<RecordedOutcome> ktt_outcome(const JsonReader& result, double factor) {
  RecordedOutcome outcome;
  COPPICE_TRY(const JsonReader status, result.at("Status"));
  COPPICE_TRY(const std::string word, status.text());
  COPPICE_TRY(const double overhead, result.real_or("TotalOverhead", 0.0));
  outcome.compile_seconds = std::max(overhead, 0.0) * factor * 1e-3;
  if (word == "Ok") {
    COPPICE_TRY(const JsonReader duration, result.at("TotalDuration"));
    COPPICE_TRY(const double time, duration.real());
    if (!(time > 0.0) || !std::isfinite(time)) {
      return duration.error("a positive time");
    }
    outcome.valid = true;
    outcome.milliseconds = time * factor;
    outcome.run_seconds = outcome.milliseconds * 1e-3;
    return outcome;
  }
  const auto failed = [&](Gate gate, FailureClass failure) {
    outcome.gate = gate;
    outcome.failure = failure;
    return outcome;
  };
  if (word == "ComputationFailed") {
    return failed(Gate::smoke, FailureClass::crash);
  }
  if (word == "ValidationFailed") {
    return failed(Gate::correctness, FailureClass::wrong_result);
  }
  if (word == "CompilationFailed") {
    return failed(Gate::build, FailureClass::compile_error);
  }
  if (word == "DeviceLimitsExceeded") {
    return failed(Gate::resources, FailureClass::plan_invalid);
  }
  return status.error("a status of KTT");
}

// The parameters of one result, in the order of the first one.
Result<void> take_configuration(const JsonReader& result, RecordedRows& out, RecordedRow& row) {
  COPPICE_TRY(const JsonReader configuration, result.at("Configuration"));
  COPPICE_TRY(const std::vector<JsonReader> pairs, configuration.items());
  const bool first = out.rows.empty();
  if (!first && pairs.size() != out.parameters.size()) {
    return configuration.error("the parameters of the first result");
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    COPPICE_TRY(const JsonReader name_reader, pairs[i].at("Name"));
    COPPICE_TRY(std::string name, name_reader.text());
    if (first) {
      out.parameters.push_back(RecordedParameter{name, {}});
    } else if (out.parameters[i].name != name) {
      return name_reader.error("parameter " + out.parameters[i].name + ", as in the first result");
    }
    COPPICE_TRY(const JsonReader value_reader, pairs[i].at("Value"));
    COPPICE_TRY(Value value, value_reader.value());
    row.values.push_back(std::move(value));
  }
  return {};
}

}  // namespace

Result<RecordedRows> read_ktt(const JsonReader& root) {
  RecordedRows out;
  COPPICE_TRY(const double factor, milliseconds_per_unit(root));
  std::string device = "device";
  if (const auto metadata = root.find("Metadata")) {
    COPPICE_TRY(device, metadata->text_or("Device", device));
  }
  COPPICE_TRY(const JsonReader list, root.at("Results"));
  COPPICE_TRY(const std::vector<JsonReader> results, list.items());
  for (const JsonReader& result : results) {
    RecordedRow row;
    COPPICE_TRY_VOID(take_configuration(result, out, row));
    COPPICE_TRY(row.outcome, ktt_outcome(result, factor));
    if (out.rows.empty()) {
      COPPICE_TRY(const std::string kernel, result.text_or("KernelName", "kernel"));
      out.name = kernel + " on " + device;
    }
    out.rows.push_back(std::move(row));
  }
  return out;
}

}  // namespace coppice::evaluators::detail
