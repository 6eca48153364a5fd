// Places: where operations, configurations and target tables are looked for.
#pragma once

#include "core/result.h"

#include <string>
#include <vector>

namespace coppice::cli {

// In this order: the current folder, the source tree that the program was built from, and
// <program's folder>/../share/coppice.
struct Places {
  std::vector<std::string> roots;
  static Places standard();

  std::vector<std::string> op_folders() const;  // <root>/experiments/ops
  // A config by path, or by name with or without ".json" in <root>/configs.
  Result<std::string> find_config(const std::string& name_or_path) const;
  Result<std::string> find_op(const std::string& name_or_path) const;
  // <root>/configs/targets/<name>.json; `missing` when there is none.
  Result<std::string> find_target(const std::string& name) const;
  std::vector<std::string> op_names() const;  // every op that can be found by name, sorted
};

}  // namespace coppice::cli
