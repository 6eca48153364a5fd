// Gate 5 on PTX: what a candidate's kernels may not have, named by variable or function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cuda {

// Device variables that could carry something from one launch to the next: those without an initial
// value, and those with one that code refers to. (The compiler leaves folded constants behind as
// variables that nothing refers to.)
std::vector<std::string> stateful_variables(std::string_view ptx);

// Functions that somebody else would have to bring: printf, malloc, launches from the device.
std::vector<std::string> foreign_functions(std::string_view ptx);

// One sentence, or nothing when the code is clean.
std::string forbidden_in_ptx(std::string_view ptx);

}  // namespace coppice::evaluators::cuda
