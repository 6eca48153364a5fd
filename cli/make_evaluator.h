// make_evaluator: the evaluator that a run's configuration asks for.
#pragma once

#include "cli/run_material.h"
#include "evaluators/evaluator.h"

#include <memory>
#include <string>

namespace coppice::cli {

// Errors are of the environment: no compiler, no device, isolation that is not to be had.
// `thorough`: to check an op rather than to search, with more effort on its references.
Result<std::unique_ptr<evaluators::Evaluator>> make_evaluator(const RunMaterial& material,
                                                              bool thorough = false);

// What the compiler is told: the table's `architecture` ("sm_90a"), else its name.
std::string architecture_of(const Target& target);

// Where compiled code and measured ceilings are kept between runs; empty where there is no place.
std::string cache_folder();

}  // namespace coppice::cli
