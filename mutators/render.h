// Renders a template under a genome into a Candidate: axis values in front of the source.
#pragma once

#include "core/axis.h"
#include "core/candidate.h"
#include "core/op.h"
#include "core/result.h"

#include <map>
#include <string>
#include <string_view>

namespace coppice::mutators {

// The suite's tensor types: "T" -> "f32".
using TensorTypes = std::map<std::string, std::string, std::less<>>;

// The #define lines of docs/op-format.md: axes in the space's order, then tensor types by name.
// Errors: two axes or types that would define the same macro.
Result<std::string> define_block(const AxisSpace& space,
                                 const Genome& genome,
                                 const TensorTypes& types);

// Pure: the same arguments give the same bytes. `space` is made from the template's axes;
// `headline` is the class of a template that names none. Plan defines are added per workload by the
// evaluator. Errors name the template: an invalid genome, a precision that is not text.
Result<Candidate> render(const Template& source,
                         const AxisSpace& space,
                         const Genome& genome,
                         const TensorTypes& types,
                         std::string_view headline);

}  // namespace coppice::mutators
