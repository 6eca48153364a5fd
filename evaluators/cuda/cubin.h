// What a cubin contains, read from its ELF sections: kernels, resources, and state it must not
// have.
#pragma once

#include "core/json.h"
#include "core/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cuda {

struct KernelResources {
  std::int64_t registers = 0;
  std::int64_t shared_bytes = 0;  // static, the system's reserved part taken off
  std::int64_t frame_bytes = 0;   // stack frame per thread
  std::int64_t spill_store_bytes = 0;
  std::int64_t spill_load_bytes = 0;
  std::int64_t code_bytes = 0;
};

struct CubinInfo {
  std::map<std::string, KernelResources, std::less<>> kernels;  // by entry name
  std::uint64_t writable_bytes = 0;         // __device__ / __managed__ variables
  std::vector<std::string> writable_names;  // their symbols
  std::uint64_t constant_bytes = 0;         // __constant__ variables
  std::vector<std::string> unresolved;      // symbols that another module would have to bring
};

// Errors: not an ELF file for CUDA, torn, or with offsets outside of itself.
Result<CubinInfo> inspect_cubin(std::string_view cubin);

// Adds spills and frames from the assembler's verbose report ("ptxas info ... spill stores").
void add_assembler_report(CubinInfo& info, std::string_view log);

Json to_json(const CubinInfo& info);

}  // namespace coppice::evaluators::cuda
