// A small sound operation as texts, for tests that break one thing in it.
#pragma once

#include "experiments/op_loader.h"
#include "tests/support/catch.h"

#include <map>
#include <string>
#include <string_view>

namespace coppice::experiments {

using Files = std::map<std::string, std::string, std::less<>>;

inline constexpr std::string_view kOpJson = R"json({
  "schema": 1,
  "name": "row_scale",
  "family": "norm",
  "summary": "Scales rows by a factor that their length decides.",
  "dims": ["rows", "columns"],
  "types": {"T": ["f32", "bf16"]},
  "constants": {"eps": 1e-5},
  "scalars": ["longest"],
  "constraints": ["columns % 4 == 0"],
  "tensors": [
    {"name": "x", "role": "value", "dtype": "T", "shape": ["rows", "columns"], "fill": {"kind": "normal", "scale": 2.0}},
    {"name": "weight", "role": "value", "dtype": "f32", "shape": ["columns"], "fill": {"kind": "uniform"}, "weight": true},
    {"name": "length", "role": "structure", "dtype": "i32", "shape": ["rows + 1"]},
    {"name": "out", "role": "output", "dtype": "T", "shape": ["rows", "columns"]},
    {"name": "norm", "role": "output", "dtype": "f32", "shape": ["rows"]}
  ],
  "precision": [
    {"name": "f32", "types": {"T": "f32"}, "nrmse": 1e-5, "relative": 1e-4, "scaled": 1e-4,
     "outputs": {"norm": {"absolute": 1e-3}}},
    {"name": "bf16", "types": {"T": "bf16"}, "nrmse": 4e-3, "relative": 1e-2, "scaled": 1e-2},
    {"name": "loose", "nrmse": 1e-2, "relative": 5e-2, "scaled": 5e-2}
  ],
  "cases": [
    {"name": "normal"},
    {"name": "small", "fills": {"x": {"kind": "constant", "scale": 0.01}}},
    {"name": "edge", "adjust": true}
  ],
  "cost": {"flops": "3 * rows * columns", "bytes": "2 * rows * columns * T.bytes + longest", "compute": "f32_fma"}
})json";

inline constexpr std::string_view kSuiteJson = R"json({
  "schema": 1,
  "types": {"T": "f32"},
  "workloads": [
    {"name": "wide", "dims": {"rows": 8, "columns": 64}, "structure": {"skew": 0.5}, "structure_seed": 7},
    {"name": "tall", "dims": {"rows": 64, "columns": 16}}
  ],
  "hidden": [{"name": "tiny", "dims": {"rows": 1, "columns": 4}}]
})json";

inline constexpr std::string_view kTemplateJson = R"json({
  "schema": 1,
  "summary": "One task for a band of rows.",
  "requires": ["avx2"],
  "flags": ["-ffast-math"],
  "axes": [
    {"name": "band", "type": "ordinal", "kind": "tile", "levels": [1, 2, 4, 8], "default": 4},
    {"name": "unroll", "type": "integer", "kind": "vector", "levels": [1, 2, 3], "default": 1},
    {"name": "fused", "type": "boolean", "kind": "fusion", "levels": [false, true], "default": false, "structural": true},
    {"name": "staging", "type": "categorical", "kind": "precision", "levels": ["exact", "half"], "default": "exact",
     "structural": true, "when": "band > 1"}
  ],
  "restrictions": ["band * unroll <= columns", "band <= rows", "unroll * 16 <= target.vector_bytes or unroll == 1"],
  "precision": "'loose' if staging == 'half' else 'f32'",
  "features": {"bytes_per_task": "band * columns * T.bytes"},
  "plan": {
    "defines": {"COLUMNS": "columns"},
    "threads": "target.cores",
    "claims": ["columns % 4 == 0"],
    "workspace": [{"name": "partial", "bytes": "rows * 8"}],
    "steps": [
      {"fill": "partial", "byte": 0},
      {"kernel": "scale_rows", "grid": ["ceil_div(rows, band)"],
       "args": [{"tensor": "x"}, {"tensor": "weight"}, {"tensor": "length"}, {"workspace": "partial"},
                {"tensor": "out"}, {"dim": "rows"}, {"scalar": "eps"}]
},
      {"kernel": "finish", "grid": ["rows"], "when": "not fused",
       "args": [{"workspace": "partial"}, {"tensor": "norm"}, {"scalar": "longest"}]}
    ]
}
})json";

inline constexpr std::string_view kReference = R"json(#include "coppice_op.h"
int coppice_structure(const coppice_problem*, std::uint64_t) { return 0; }
int coppice_reference(const coppice_problem*, double* const*, int, int) { return 0; }
int coppice_adjust(const coppice_problem*, const char*, std::uint64_t) { return 0; }
)json";

inline constexpr std::string_view kKernel = R"json(#include "coppice_cpu.h"
COPPICE_KERNEL(scale_rows) { (void)task; (void)args; }
COPPICE_KERNEL(finish) { (void)task; (void)args; }
)json";

inline Files good_op() {
  const std::string kernel(kKernel);
  return {
      {"op.json", std::string(kOpJson)},
      {"reference.cpp", std::string(kReference)},
      {"README.md", "Prose is welcome.\n"},
      {"suites/small.json", std::string(kSuiteJson)},
      {"templates/cpu/banded/template.json", std::string(kTemplateJson)},
      {"templates/cpu/banded/kernel.cpp", kernel},
      {"baselines/cpu/plain/baseline.json",
       R"({"schema": 1, "library": "openblas", "prepacked": false,
           "variants": [{"OPENBLAS_CORETYPE": ""}, {"OPENBLAS_CORETYPE": "Haswell"}]})"},
      {"baselines/cpu/plain/baseline.cpp",
       "int coppice_baseline_setup();\nint coppice_baseline_run() { return 0; }\n"},
      {"twins/cpu/honest/twin.json", R"({"schema": 1, "good": true, "template": "banded"})"},
      {"twins/cpu/honest/kernel.cpp", kernel},
      {"twins/cpu/forgets_tail/twin.json",
       R"({"schema": 1, "good": false, "template": "banded", "gate": "correctness"})"},
      {"twins/cpu/forgets_tail/kernel.cpp", kernel},
  };
}

// Replaces the one place where `from` stands.
inline void edit(Files& files,
                 const std::string& path,
                 std::string_view from,
                 std::string_view to) {
  const auto file = files.find(path);
  REQUIRE(file != files.end());
  const std::size_t at = file->second.find(from);
  REQUIRE(at != std::string::npos);
  file->second.replace(at, from.size(), to);
}

}  // namespace coppice::experiments
