// The two public search spaces that tests replay, and where their recorded tables lie.
#pragma once

#include "core/axis.h"

#include <optional>
#include <string>

namespace coppice::tests {

// CLBlast's Xgemm: 17,956 of 82,944 combinations are valid.
AxisSpace gemm_space();
// A two-dimensional convolution: 4,362 of 10,240 are.
AxisSpace convolution_space();

// The folder with the recorded tables: $COPPICE_AUTOTUNE_DATA, or shared/data/autotune in the
// checkout or beside one of the folders above it. Nothing: the caller skips, visibly.
std::optional<std::string> autotune_folder();

}  // namespace coppice::tests
