// export_torch: a CUDA winner as a Python package that needs torch and a driver, and no compiler.
#pragma once

#include "core/candidate.h"
#include "core/evidence.h"
#include "core/op.h"
#include "core/result.h"
#include "core/target.h"
#include "evaluators/prepare.h"

#include <map>
#include <string>
#include <vector>

namespace coppice::cli {

// Structure tensors and host scalars of one workload, as the search had them.
struct PackedStructure {
  std::map<std::string, std::string, std::less<>> tensors;  // name to bytes
  ValueMap scalars;
};

struct TorchExport {
  const Op& op;
  const Suite& suite;
  const Candidate& candidate;
  const evaluators::Prepared& prepared;               // of all workloads, hidden ones too
  std::vector<std::string> cubins;                    // of prepared.jobs, in order
  std::string contract_cubin;                         // of the op's reference.cu
  std::map<std::string, PackedStructure> structures;  // by workload
  const Target& target;
  Json certificate;  // what the archive says; the files' digests are added
};

// File name to bytes: __init__.py with one function named as the op, the runtime, kernels.json
// (plan, verified workloads), cubins, structure.bin, contract.json, certificate.json, fallback.py
// where the op ships torch_fallback.py.
Result<std::map<std::string, std::string>> torch_package(const TorchExport& what);

}  // namespace coppice::cli
