// Kernel Tuner cache files and T4 results, as other people's programs write them.
#include "evaluators/recorded_formats.h"

#include <cmath>

namespace coppice::evaluators::detail {

namespace {

constexpr double kSecondsPerMs = 1e-3;

// Replaces the words that Python's json writes and JSON does not know, outside of text.
void replace_words(std::string& text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      quoted = !quoted;
    } else if (quoted && text[i] == '\\') {
      ++i;
    } else if (!quoted) {
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (text.compare(i, word.size(), word) == 0) {
          text.replace(i, word.size(), "null");
          break;
        }
      }
    }
  }
}

// The runs of one configuration; merged files nest them by one level.
Result<std::vector<double>> runs_of(const JsonReader& reader) {
  std::vector<double> runs;
  COPPICE_TRY(const std::vector<JsonReader> items, reader.items());
  for (const JsonReader& item : items) {
    if (item.is_array()) {
      COPPICE_TRY(const std::vector<double> inner, runs_of(item));
      runs.insert(runs.end(), inner.begin(), inner.end());
    } else if (!item.is_null()) {
      COPPICE_TRY(const double run, item.real());
      runs.push_back(run);
    }
  }
  return runs;
}

// Standard error of the mean, relative to it.
double relative_error(const std::vector<double>& runs) {
  if (runs.size() < 2) {
    return 0.0;
  }
  const double n = static_cast<double>(runs.size());
  double mean = 0.0;
  for (const double run : runs) {
    mean += run / n;
  }
  double square = 0.0;
  for (const double run : runs) {
    square += (run - mean) * (run - mean);
  }
  return mean > 0.0 ? std::sqrt(square / (n - 1.0) / n) / mean : 0.0;
}

RecordedOutcome failed(Gate gate, FailureClass failure) {
  RecordedOutcome outcome;
  outcome.gate = gate;
  outcome.failure = failure;
  return outcome;
}

Result<RecordedOutcome> failure_of(const JsonReader& where, const std::string& word) {
  if (word.find("Compilation") != std::string::npos || word == "compile") {
    return failed(Gate::build, FailureClass::compile_error);
  }
  if (word.find("Runtime") != std::string::npos || word == "runtime") {
    return failed(Gate::smoke, FailureClass::crash);
  }
  if (word.find("Invalid") != std::string::npos || word == "constraints") {
    return failed(Gate::resources, FailureClass::plan_invalid);
  }
  if (word == "timeout") {
    return failed(Gate::smoke, FailureClass::hang);
  }
  if (word.find("Correctness") != std::string::npos || word == "correctness") {
    return failed(Gate::correctness, FailureClass::wrong_result);
  }
  return where.error("a failure class");
}

Result<double> milliseconds(const JsonReader& entry, std::string_view key) {
  const auto member = entry.find(key);
  if (!member || !member->is_number()) {
    return 0.0;
  }
  return member->real();
}

Result<RecordedOutcome> timed(const JsonReader& time, const std::vector<double>& runs) {
  RecordedOutcome outcome;
  COPPICE_TRY(outcome.milliseconds, time.real());
  if (!(outcome.milliseconds > 0.0) || !std::isfinite(outcome.milliseconds)) {
    return time.error("a positive time");
  }
  outcome.valid = true;
  outcome.log_noise = relative_error(runs);
  return outcome;
}

Result<RecordedOutcome> kernel_tuner_outcome(const JsonReader& entry) {
  RecordedOutcome outcome;
  const auto error = entry.find("__error__");
  const auto time = entry.find("time");
  if (error || (time && time->is_string())) {
    const JsonReader& where = error ? *error : *time;
    COPPICE_TRY(const std::string word, where.text());
    COPPICE_TRY(outcome, failure_of(where, word));
  } else if (!time) {
    return entry.complain("expected \"time\" or \"__error__\", found neither");
  } else {
    std::vector<double> runs;
    if (const auto times = entry.find("times")) {
      COPPICE_TRY(runs, runs_of(*times));
    }
    COPPICE_TRY(outcome, timed(*time, runs));
  }
  COPPICE_TRY(const double compile, milliseconds(entry, "compile_time"));
  COPPICE_TRY(const double verify, milliseconds(entry, "verification_time"));
  COPPICE_TRY(const double benchmark, milliseconds(entry, "benchmark_time"));
  outcome.compile_seconds = compile * kSecondsPerMs;
  outcome.run_seconds = (verify + benchmark) * kSecondsPerMs;
  return outcome;
}

Result<RecordedOutcome> t4_outcome(const JsonReader& result) {
  RecordedOutcome outcome;
  COPPICE_TRY(const JsonReader invalidity, result.at("invalidity"));
  COPPICE_TRY(const std::string word, invalidity.text());
  const auto times = result.find("times");
  std::vector<double> runs;
  if (times) {
    if (const auto list = times->find("runtimes"); list && list->is_array()) {
      COPPICE_TRY(runs, runs_of(*list));
    }
  }
  if (word != "correct") {
    COPPICE_TRY(outcome, failure_of(invalidity, word));
  } else {
    COPPICE_TRY(const JsonReader measurements, result.at("measurements"));
    COPPICE_TRY(const std::vector<JsonReader> list, measurements.items());
    bool found = false;
    for (const JsonReader& measurement : list) {
      COPPICE_TRY(const std::string name, measurement.text_or("name", ""));
      if (name == "time" && !found) {
        COPPICE_TRY(const JsonReader value, measurement.at("value"));
        COPPICE_TRY(outcome, timed(value, runs));
        found = true;
      }
    }
    if (!found) {
      return measurements.complain("expected a measurement named \"time\", found none");
    }
  }
  if (times) {
    for (const char* key : {"compilation", "compilation_time"}) {
      COPPICE_TRY(const double compile, milliseconds(*times, key));
      outcome.compile_seconds += compile * kSecondsPerMs;
    }
    double sum = 0.0;
    for (const double run : runs) {
      sum += run;
    }
    outcome.run_seconds = sum * kSecondsPerMs;
  }
  return outcome;
}

Result<std::vector<Value>> row_values(const JsonReader& entry,
                                      const std::vector<RecordedParameter>& parameters) {
  std::vector<Value> values;
  for (const RecordedParameter& parameter : parameters) {
    COPPICE_TRY(const JsonReader reader, entry.at(parameter.name));
    COPPICE_TRY(Value value, reader.value());
    values.push_back(std::move(value));
  }
  return values;
}

}  // namespace

Result<RecordedRows> read_kernel_tuner(const JsonReader& root) {
  RecordedRows out;
  COPPICE_TRY(const std::string kernel, root.text_or("kernel_name", "kernel"));
  COPPICE_TRY(const std::string device, root.text_or("device_name", "device"));
  out.name = kernel + " on " + device;
  COPPICE_TRY(const JsonReader keys, root.at("tune_params_keys"));
  COPPICE_TRY(const std::vector<std::string> names, keys.texts());
  COPPICE_TRY(const JsonReader levels, root.at("tune_params"));
  for (const std::string& name : names) {
    RecordedParameter parameter{name, {}};
    COPPICE_TRY(const JsonReader list, levels.at(name));
    COPPICE_TRY(const std::vector<JsonReader> items, list.items());
    for (const JsonReader& item : items) {
      COPPICE_TRY(Value level, item.value());
      parameter.levels.push_back(std::move(level));
    }
    out.parameters.push_back(std::move(parameter));
  }
  COPPICE_TRY(const JsonReader cache, root.at("cache"));
  COPPICE_TRY(const auto entries, cache.members());
  for (const auto& [key, entry] : entries) {
    RecordedRow row;
    COPPICE_TRY(row.values, row_values(entry, out.parameters));
    COPPICE_TRY(row.outcome, kernel_tuner_outcome(entry));
    out.rows.push_back(std::move(row));
  }
  return out;
}

Result<RecordedRows> read_t4(const JsonReader& root) {
  RecordedRows out;
  out.name = "T4 results";
  COPPICE_TRY(const JsonReader list, root.at("results"));
  COPPICE_TRY(const std::vector<JsonReader> results, list.items());
  for (const JsonReader& result : results) {
    COPPICE_TRY(const JsonReader configuration, result.at("configuration"));
    if (out.parameters.empty()) {
      COPPICE_TRY(const auto members, configuration.members());
      for (const auto& member : members) {
        out.parameters.push_back(RecordedParameter{member.first, {}});
      }
    }
    RecordedRow row;
    COPPICE_TRY(row.values, row_values(configuration, out.parameters));
    COPPICE_TRY(row.outcome, t4_outcome(result));
    out.rows.push_back(std::move(row));
  }
  return out;
}

Result<Json> parse_python_json(std::string text, std::string_view name, bool& torn) {
  torn = false;
  if (text.find("NaN") != std::string::npos || text.find("Infinity") != std::string::npos) {
    replace_words(text);
  }
  Result<Json> whole = Json::parse(text, name);
  if (whole.ok() || text.find("\"cache\"") == std::string::npos) {
    return whole;
  }
  // Cut off: after an entry, with or without its comma, or inside the next one.
  const std::size_t end = text.rfind('}');
  if (end == std::string::npos) {
    return whole;
  }
  const bool between = text.find_first_not_of(" \t\r\n,", end + 1) == std::string::npos;
  Result<Json> closed = Json::parse(text.substr(0, end + 1) + "}}", name);
  torn = closed.ok() && !between;
  return closed.ok() ? std::move(closed) : std::move(whole);
}

}  // namespace coppice::evaluators::detail
