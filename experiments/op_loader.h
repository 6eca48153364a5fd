// Reads and checks an operation's folder (docs/op-format.md).
#pragma once

#include "core/op.h"
#include "core/op_shapes.h"
#include "core/result.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::experiments {

// `folder`: in the repository or anywhere. Errors name file, place, value and what was expected.
Result<Op> load_op(const std::string& folder);
// The same from texts (what an archive holds): relative path to content.
Result<Op> load_op(const std::map<std::string, std::string, std::less<>>& files,
                   const std::string& name);
// All problems of a folder that can be found without compiling anything, not just the first.
std::vector<Error> lint_op(const std::string& folder);

// Finds an op by name or path: an existing folder, else <search path>/<name> for each search path.
Result<std::string> find_op(const std::string& name_or_path,
                            const std::vector<std::string>& search_paths);

// The suite's tensors for one workload: core/op_shapes.h's tensor_shapes.
Result<std::vector<TensorShape>> shapes(const Op& op, const Suite& suite, const Workload& workload);

}  // namespace coppice::experiments
