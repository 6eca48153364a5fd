// The log's tables: how they are made, and the check that a file has exactly these.
#pragma once

#include "archive/sqlite.h"
#include "core/result.h"

#include <string_view>

namespace coppice::archive {

inline constexpr int kLogSchema = 1;
inline constexpr int kLogApplicationId = 0x434f5031;  // "COP1"

enum class SchemaState { absent, present };

// absent: an empty database, or one whose creation was interrupted. Errors: environment (made by a
// newer version), corrupt (tables, triggers or indexes differ from ours: rules were removed, or it
// is another program's file).
Result<SchemaState> check_log_schema(const Database& database);
// In one transaction.
Result<void> create_log_schema(const Database& database);

}  // namespace coppice::archive
