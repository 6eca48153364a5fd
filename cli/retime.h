// retime: winners of several runs timed in turn on this machine, so that their ratio is a fair one.
#pragma once

#include "cli/run_answer.h"
#include "evaluators/evaluator.h"

#include <stop_token>
#include <vector>

namespace coppice::cli {

// How `run`'s winner stands against each of `others`, from three rounds in which all winners are
// timed one after the other. Where a winner fails this time, the logs' numbers are used and the
// basis says so.
std::vector<Against> retime_winners(const RunReader& run,
                                    const std::vector<RunReader>& others,
                                    evaluators::Evaluator& evaluator,
                                    std::stop_token stop);

}  // namespace coppice::cli
