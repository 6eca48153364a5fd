// Where a workload's tensors lie in shared memory, with room for canaries and guard pages.
//
// Each tensor has a region of whole pages. Its last byte (rounded up to 64) ends where the region
// ends, so that the next byte is a guard page wherever the region is mapped; `shift` moves it back
// by that many 64-byte lines, which changes its address and alignment. Bytes of an output's region
// outside the tensor are canaries.
#pragma once

#include "core/json.h"
#include "core/op_shapes.h"
#include "core/plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

constexpr std::uint64_t kPageBytes = 4096;  // machines with larger pages round up further
constexpr int kLargestShift = 15;
constexpr std::uint32_t kCanary = 0xa5c3965aU;

struct Place {
  TensorShape tensor;
  std::uint64_t region = 0;        // offset of the region in its memory file (outputs: in a slot)
  std::uint64_t region_bytes = 0;  // whole pages
  std::uint64_t data = 0;          // offset of the first element, same origin as `region`
};

struct Layout {
  std::vector<Place> inputs;  // contract order, outputs left out
  std::vector<Place> outputs;
  std::uint64_t inputs_bytes = 0;
  std::uint64_t slot_bytes = 0;   // one copy of all outputs
  std::uint64_t entry_bytes = 0;  // one packed copy of all value tensors (see packed())
  int shift = 0;
};

Layout make_layout(const std::vector<TensorShape>& tensors, int shift);

// Offset of each value tensor in a packed entry of the pool (64-byte aligned); same order as
// `inputs`, structure tensors excluded (-1).
std::vector<std::int64_t> packed(const Layout& layout);

// Workspace: all slices in one region, each 256-byte aligned, the last ending at the region's end.
struct WorkspaceLayout {
  std::vector<std::pair<std::string, std::uint64_t>> slices;  // name, offset in the file
  std::uint64_t bytes = 0;                                    // whole pages; 0: none
};
WorkspaceLayout workspace_layout(const ResolvedPlan& plan);

std::uint64_t whole_pages(std::uint64_t bytes);

Json to_json(const Layout& layout);
Result<Layout> layout(const JsonReader& json);  // places only: names, sizes, offsets

}  // namespace coppice::evaluators::cpu
