// The operations that come with the program are sound.
#include "experiments/op_loader.h"
#include "tests/support/catch.h"

#include <filesystem>

namespace coppice::experiments {

TEST_CASE("every operation in the tree passes its own check") {
  namespace fs = std::filesystem;
  int count = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(COPPICE_SOURCE_DIR) / "experiments/ops")) {
    if (!fs::is_regular_file(entry.path() / "op.json")) {
      continue;
    }
    ++count;
    for (const Error& problem : lint_op(entry.path().string())) {
      FAIL_CHECK(problem.message);
    }
  }
  CHECK(count >= 4);
}

}  // namespace coppice::experiments
