// Compiled code on disk, by what went into it; safe under concurrent writers and against damage.
//
// Grammar, version 1: <folder>/<first two hex>/<key hex>: a wire frame (wire.h) with one
// attachment, the binary, and JSON {"binary": sha256 hex, "failure", "message", "log"}.
#pragma once

#include "evaluators/toolchain.h"

#include <memory>
#include <optional>
#include <string>

namespace coppice::evaluators {

Digest cache_key(const CompileJob& job, const std::string& version);

// Nothing when there is no entry, or a damaged one (which is removed). An empty folder has none.
std::optional<Compiled> read_cache(const std::string& folder, const Digest& key);
// Successes and compile errors are kept; timeouts and lack of memory may pass. Failing to write is
// no error: the next build is slower.
void write_cache(const std::string& folder, const Digest& key, const Compiled& compiled);

// A toolchain that looks into the cache first. Thread-safe as its inner one.
std::unique_ptr<Toolchain> cached(std::unique_ptr<Toolchain> inner, std::string folder);

}  // namespace coppice::evaluators
