// export_kernel: a candidate as C++ that compiles and runs without this program.
#pragma once

#include "core/candidate.h"
#include "core/evidence.h"
#include "core/op.h"
#include "core/result.h"
#include "core/target.h"

#include <map>
#include <string>

namespace coppice::cli {

struct KernelExport {
  const Op& op;
  const Suite& suite;
  const Target& target;
  const Candidate& candidate;
  const Evidence& evidence;
  std::string run;  // where it comes from
};

// File name to text. CPU: <op>.h (tensors, one struct a workload with its shape and run()),
// <op>_<n>.cpp (source and launches), check.cpp (fills inputs, runs, compares with the fp64
// reference), coppice_launch.h, the headers it includes, plan.json, contract.json, evidence.json,
// Makefile. CUDA: the source with its plan, contract and evidence.
Result<std::map<std::string, std::string>> export_kernel(const KernelExport& what);

}  // namespace coppice::cli
