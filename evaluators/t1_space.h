// T1: other tuners' descriptions of a search space, read without executing anything in them.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "core/search_space.h"

namespace coppice::evaluators {

// `ConfigurationSpace` of a T1 document: parameters with their values (a list, or a Python list or
// range in a text), conditions as restrictions. Errors name the place: values or a condition that
// are not among the expressions that Coppice reads.
Result<TemplateSpace> t1_space(const JsonReader& root);

}  // namespace coppice::evaluators
