// Recorded and synthetic tables in the place of an operation: runs that need no device.
#pragma once

#include "cli/run_material.h"

#include <string>

namespace coppice::cli {

// The file of a table run's "op folder".
inline constexpr const char* kTableFile = "table.json";
// Its space alone: what looking at such a run needs. Runs of older programs don't have it.
inline constexpr const char* kSpaceFile = "space.json";

// The text that such a run keeps in its log: a table by name (as simulate takes them) as a Kernel
// Tuner cache file.
Result<std::string> table_text(const std::string& name);
// Op, target, space and class of a table. `text` as above.
Result<void> take_table(RunMaterial& material, std::string text);
// The same from the files of such a run; the table itself is only read where its space isn't kept.
Result<void> recall_table(RunMaterial& material,
                          std::map<std::string, std::string, std::less<>> files);
// With its outcomes, read where that was not done yet.
Result<std::shared_ptr<const evaluators::RecordedTable>> table_of(const RunMaterial& material);
Result<Candidate> table_candidate(const RunMaterial& material,
                                  CandidateId id,
                                  const CandidateSpec& spec);

}  // namespace coppice::cli
