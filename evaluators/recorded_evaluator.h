// RecordedEvaluator: answers from a recorded table, so that whole runs need no device.
#pragma once

#include "evaluators/evaluator.h"
#include "evaluators/recorded_table.h"

#include <memory>

namespace coppice::evaluators {

// What the table says of a genome; null: it is outside the table. Attempt, candidate, fidelity and
// class are the caller's to fill in.
Evidence recorded_evidence(const RecordedOutcome* outcome);

// Every fidelity gets the same answer. There is no baseline: costs are ln(milliseconds). The table
// is shared and never changes; thread-safe.
std::unique_ptr<Evaluator> recorded_evaluator(std::shared_ptr<const RecordedTable> table);

}  // namespace coppice::evaluators
