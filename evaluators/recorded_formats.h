// The two file formats of recorded tables, read into plain rows. Private to RecordedTable.
#pragma once

#include "core/json.h"
#include "evaluators/recorded_table.h"

#include <string>
#include <vector>

namespace coppice::evaluators::detail {

struct RecordedRow {
  std::vector<Value> values;  // in the order of RecordedRows::parameters
  RecordedOutcome outcome;
};

struct RecordedParameter {
  std::string name;
  std::vector<Value> levels;  // in ordinal order; empty: to be found from the rows
};

struct RecordedRows {
  std::string name;
  std::vector<RecordedParameter> parameters;
  std::vector<RecordedRow> rows;
};

Result<RecordedRows> read_kernel_tuner(const JsonReader& root);
Result<RecordedRows> read_t4(const JsonReader& root);
Result<RecordedRows> read_ktt(const JsonReader& root);

// Parses what Python wrote: NaN and Infinity become null, and a document that was cut off after or
// inside a cache entry is closed after its last whole entry (`torn` says so).
Result<Json> parse_python_json(std::string text, std::string_view name, bool& torn);

}  // namespace coppice::evaluators::detail
