// Opens the device agents that a configuration asks for.
#include "cli/make_evaluator.h"

namespace coppice::cli {

Result<std::unique_ptr<evaluators::Evaluator>> make_evaluator(const RunMaterial& material) {
  return Error{ErrorCode::environment,
               "this program has no device agent for backend " + material.config.backend};
}

}  // namespace coppice::cli
