// NVRTC by dlopen: compiles CUDA C++ to a cubin without a GPU; own minimal declarations (12 and
// 13).
#pragma once

#include "core/result.h"

#include <string>

namespace coppice::evaluators::cuda {

using NvrtcProgram = struct NvrtcProgramOpaque*;

struct NvrtcApi {
  int (*version)(int*, int*) = nullptr;
  int (*create)(NvrtcProgram*,
                const char*,
                const char*,
                int,
                const char* const*,
                const char* const*) = nullptr;
  int (*compile)(NvrtcProgram, int, const char* const*) = nullptr;
  int (*log_size)(NvrtcProgram, std::size_t*) = nullptr;
  int (*log)(NvrtcProgram, char*) = nullptr;
  int (*cubin_size)(NvrtcProgram, std::size_t*) = nullptr;
  int (*cubin)(NvrtcProgram, char*) = nullptr;
  int (*ptx_size)(NvrtcProgram, std::size_t*) = nullptr;
  int (*ptx)(NvrtcProgram, char*) = nullptr;
  int (*destroy)(NvrtcProgram*) = nullptr;
  const char* (*error_string)(int) = nullptr;
  std::string path;  // the file that was opened
  int major = 0, minor = 0;
};

// Opens NVRTC: COPPICE_NVRTC when set (a file), else libnvrtc.so.13, .12 and .so by the loader's
// search path, $CUDA_HOME and /usr/local/cuda. An `environment` error says how to get it.
Result<const NvrtcApi*> load_nvrtc();

}  // namespace coppice::evaluators::cuda
