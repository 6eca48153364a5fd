// template_spaces: which templates of an operation this target can run, and what may be tuned in
// each.
#pragma once

#include "core/op.h"
#include "core/result.h"
#include "core/search_space.h"
#include "core/target.h"

#include <string>
#include <vector>

namespace coppice::cli {

struct LeftOut {
  std::string template_name;
  std::string reason;
};

struct TemplateSpaces {
  SearchSpace spaces;  // in the op's order
  std::vector<LeftOut> left_out;
};

// `wanted`: names of templates, empty for all of `backend`. Restrictions hold for every timed
// workload of the suite. A default level that this machine does not permit moves to the nearest
// permitted choice. Errors: an unknown template or suite, no template left, an expression that
// names something unknown.
Result<TemplateSpaces> template_spaces(const Op& op,
                                       const Suite& suite,
                                       const Target& target,
                                       const std::vector<std::string>& wanted);

// The names of the precision classes that exist in this suite, headline first.
std::vector<std::string> precision_classes(const Op& op, const Suite& suite);

// The expression with the given names replaced by their values.
Result<Expr> instantiate(const Expr& expression, const ValueMap& values);

}  // namespace coppice::cli
