// check_build: compiles an operation's twins and lets the gates judge them.
#pragma once

#include "cli/console.h"
#include "cli/places.h"
#include "core/result.h"

#include <string>
#include <vector>

namespace coppice::cli {

struct BuildCheck {
  std::vector<std::string> problems;
  std::vector<std::string> notes;
};

// Good twins and each template's default must pass every gate, bad twins must be refused at the
// gate that they name; a device's reference must agree with the fp64 one. `suite`: empty for the
// first that has a template there; `target`: a table in configs/targets whose backend judges, empty
// for this machine's processor. Errors are of the environment.
Result<BuildCheck> check_build(const std::string& op_folder,
                               const std::string& suite,
                               const std::string& target,
                               const Places& places,
                               Console& console);

}  // namespace coppice::cli
