// Packing a run into one file for somebody else, and taking such a file in.
#pragma once

#include "archive/run_store.h"
#include "core/digest.h"
#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace coppice::archive {

struct PackedRun {
  std::string name;
  std::uint64_t events = 0;
  Digest head;
  std::uint64_t bytes = 0;  // of the packed file
};

// Writes a consistent snapshot of the run (what is committed now; its writer may go on) with its
// checkpoints to `path`, which must not exist. Chain, checkpoints and texts are verified first: a
// damaged run is not handed on.
Result<PackedRun> pack_run(const RunStore& store, std::string_view run, const std::string& path);

// What a packed file says it holds; its content is not yet verified.
Result<PackedRun> describe_pack(const std::string& path);

// Takes a packed run in, as `name` or, when empty, under its own name. Digests, database, chain,
// checkpoints and every text are verified before the run appears; an existing run is never
// overwritten. On an error nothing is left behind.
Result<PackedRun> unpack_run(const RunStore& store,
                             const std::string& path,
                             std::string_view name = "",
                             std::uint64_t limit = 64ULL << 30U);

}  // namespace coppice::archive
