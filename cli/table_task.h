// Recorded and synthetic tables in the place of an operation: runs that need no device.
#pragma once

#include "cli/run_material.h"

#include <string>

namespace coppice::cli {

// The file of a table run's "op folder".
inline constexpr const char* kTableFile = "table.json";

// The text that such a run keeps in its log: a table by name (as simulate takes them) as a Kernel
// Tuner cache file.
Result<std::string> table_text(const std::string& name);
// Op, target, space and class of a table. `text` as above.
Result<void> take_table(RunMaterial& material, std::string text);
Result<Candidate> table_candidate(const RunMaterial& material,
                                  CandidateId id,
                                  const CandidateSpec& spec);

}  // namespace coppice::cli
