// The axes and restrictions of the two spaces, as their tables' description gives them.
#include "tests/support/autotune_spaces.h"

#include <cstdlib>
#include <filesystem>

namespace coppice::tests {

namespace {

Axis numbers(std::string name, std::vector<std::int64_t> levels) {
  Axis axis;
  axis.name = std::move(name);
  axis.levels.assign(levels.begin(), levels.end());
  return axis;
}

AxisSpace make(std::vector<Axis> axes, const std::vector<const char*>& restrictions) {
  std::vector<Expr> parsed;
  for (const char* text : restrictions) {
    parsed.push_back(*Expr::parse(text));
  }
  return *AxisSpace::create(std::move(axes), std::move(parsed));
}

}  // namespace

AxisSpace gemm_space() {
  return make({numbers("MWG", {16, 32, 64, 128}),
               numbers("NWG", {16, 32, 64, 128}),
               numbers("KWG", {32}),
               numbers("MDIMC", {8, 16, 32}),
               numbers("NDIMC", {8, 16, 32}),
               numbers("MDIMA", {8, 16, 32}),
               numbers("NDIMB", {8, 16, 32}),
               numbers("KWI", {2}),
               numbers("VWM", {1, 2, 4, 8}),
               numbers("VWN", {1, 2, 4, 8}),
               numbers("STRM", {0}),
               numbers("STRN", {0}),
               numbers("SA", {0, 1}),
               numbers("SB", {0, 1}),
               numbers("PRECISION", {32})},
              {"KWG % KWI == 0",
               "MWG % (MDIMC * VWM) == 0",
               "NWG % (NDIMC * VWN) == 0",
               "MWG % (MDIMA * VWM) == 0",
               "NWG % (NDIMB * VWN) == 0",
               "KWG % (MDIMC * NDIMC / MDIMA) == 0",
               "KWG % (MDIMC * NDIMC / NDIMB) == 0"});
}

AxisSpace convolution_space() {
  std::vector<std::int64_t> width;
  for (std::int64_t x = 16; x <= 256; x += 16) {
    width.push_back(x);
  }
  return make({numbers("block_size_x", width),
               numbers("block_size_y", {1, 2, 4, 8, 16}),
               numbers("tile_size_x", {1, 2, 3, 4}),
               numbers("tile_size_y", {1, 2, 3, 4}),
               numbers("read_only", {0, 1}),
               numbers("use_padding", {0, 1}),
               numbers("use_shmem", {0, 1}),
               numbers("use_cmem", {1}),
               numbers("filter_height", {15}),
               numbers("filter_width", {15})},
              {"use_padding==0 or block_size_x % 32 != 0",
               "block_size_x*block_size_y<=1024",
               "use_padding==0 or use_shmem != 0",
               "use_shmem == 0 or (((block_size_x*tile_size_x+(filter_width-1)))*"
               "((block_size_y*tile_size_y+(filter_height-1)))) < 12*1024"});
}

std::optional<std::string> autotune_folder() {
  if (const char* given = std::getenv("COPPICE_AUTOTUNE_DATA")) {
    return std::string(given);
  }
  std::filesystem::path at = COPPICE_SOURCE_DIR;
  for (; at.has_relative_path(); at = at.parent_path()) {
    const std::filesystem::path folder = at / "shared" / "data" / "autotune";
    std::error_code ignored;
    if (std::filesystem::is_directory(folder, ignored)) {
      return folder.string();
    }
  }
  return std::nullopt;
}

}  // namespace coppice::tests
