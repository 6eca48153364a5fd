// Gate 2: what a candidate's source may not contain, found before anything is compiled.
#pragma once

#include "core/evidence.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

struct ScanRules {
  std::string backend;                       // "cpu", "cuda": inline assembly is a cuda right
  std::vector<std::string> allowed_headers;  // besides the backend's own list
};

// Nothing when the source is clean; else what was found, with its line. Looks at the text as the
// compiler will after trigraphs, digraphs and line continuations; comments and strings are skipped
// where code is meant. The scan makes attacks expensive and messages early; it is not the wall:
// the compiler's dependency list, the binary's imports and the sandbox are.
std::optional<Verdict> scan_source(std::string_view source, const ScanRules& rules);

}  // namespace coppice::evaluators
