// Op: the contract of an operation as read from its folder; the engine knows operations only
// through it.
#pragma once

#include "core/axis.h"
#include "core/digest.h"
#include "core/expr.h"
#include "core/json.h"
#include "core/plan.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice {

enum class DType { f64, f32, f16, bf16, e4m3, e5m2, i64, i32, i8, u8 };
std::size_t size_of(DType type);  // bytes of one element
std::string_view to_text(DType type);
Result<DType> dtype(std::string_view text);

enum class TensorRole {
  value,      // redrawn for every timed launch (activations, caches, weights)
  structure,  // integers that shape the work (routing, page tables): part of the workload, never
              // redrawn
  output,
};

// How the judge fills a `value` tensor. Deviates are exact on CPU and GPU: sums of hashed 16-bit
// integers.
struct Fill {
  enum class Kind { normal, uniform, constant };
  Kind kind = Kind::normal;
  double scale = 1.0;   // standard deviation, half-width, or the constant
  double offset = 0.0;  // added afterwards
};

struct TensorSpec {
  std::string name;
  TensorRole role = TensorRole::value;
  std::string dtype;        // a DType's name, or a key of Op::types ("T")
  std::vector<Expr> shape;  // over dims; row-major; outermost first
  Fill fill;                // value tensors
  bool weight = false;  // constant over many calls of a real model: baselines may prepack, apart
};

// Limits on candidate output d against the fp64 reference r (shared verification rules,
// section 2.2): nRMSE = RMS(d - r)/RMS(r) <= nrmse for the tensor and <= row_factor * nrmse for
// each row; |d - r| <= relative*|r| + scaled*RMS(row) for each element; or |d - r| <= absolute
// where given.
struct Tolerance {
  double nrmse = 1e-5;
  double relative = 1e-4;
  double scaled = 1e-4;
  double row_factor = 2.0;
  std::optional<double> absolute;  // replaces the other rules for this output (e.g. log-sum-exp)
};

// A permitted way to trade accuracy for speed. Each class keeps its own best; the first is the
// headline.
struct PrecisionClass {
  std::string name;
  // Permitted only where the suite's types equal these ({"T": "f32"}); empty: in every suite.
  std::map<std::string, std::string, std::less<>> types;
  Tolerance tolerance;
  std::map<std::string, Tolerance, std::less<>> per_output;
};

// A named distribution of values for the correctness rounds ("normal", "small", "needle_last",
// ...).
struct ValueCase {
  std::string name;
  std::map<std::string, Fill, std::less<>> fills;  // overrides by tensor
  bool adjust =
      false;  // afterwards the op's coppice_adjust(case) hook edits the tensors (host side)
};

struct Workload {
  std::string name;
  DimMap dims;         // every dim of the op
  ValueMap structure;  // parameters of the op's structure hook (skew, lengths, ...)
  std::uint64_t structure_seed = 1;
};

// Workloads that belong together: one search, one objective (geometric mean over them).
struct Suite {
  std::string name;
  std::map<std::string, std::string, std::less<>> types;  // "T" -> "f32"
  std::vector<Workload> workloads;                        // timed
  std::vector<Workload> hidden;  // correctness only: odd sizes, edge structures (gate 10)
};

// One way to write the operation: source with axes, and the plan that launches it.
struct Template {
  std::string name;
  std::string backend;      // "cpu" or "cuda"
  std::string source_name;  // "kernel.cpp"
  std::string source;       // axis values reach it as #define <AXIS> (docs/op-format.md)
  std::vector<Axis> axes;
  std::vector<Expr> restrictions;  // over axes, dims of the suite's workloads, and target.* facts
  std::optional<Expr> precision;   // gives the class name from axis values; absent: the first class
  std::vector<std::string> requires_features;  // target features: "avx2", "avx512f", "sm_90a"
  std::map<std::string, Expr, std::less<>>
      features;  // derived numbers for the world model (bytes, flops..)
  LaunchPlan plan;
  std::vector<std::string> flags;  // for the compiler, besides its own; part of the identity
  std::string summary;             // one sentence: the idea
};

struct BaselineSpec {
  std::string name;  // "openblas"
  std::string backend;
  std::string library;  // what must be present: "openblas", "onednn", "cublaslt", "none"
  std::string source_name;
  std::string source;              // trusted host code (cpu), or a kernel with plan (cuda)
  std::optional<LaunchPlan> plan;  // cuda
  std::vector<std::map<std::string, std::string, std::less<>>> variants;  // environment per variant
  bool prepacked = false;  // uses prepared weights: reported apart, never the bar
};

// A kernel that the gates must accept (good) or refuse (bad) before the op may be used.
struct Twin {
  std::string name;
  bool good = false;
  std::string backend;
  std::string source_name;
  std::string source;
  std::optional<LaunchPlan> plan;  // absent: the named template's
  std::string from_template;       // and its default genome
  std::string expect_gate;         // bad twins: the gate that must refuse it
};

// Costs of one workload, over dims and the structure hook's derived scalars.
struct CostModel {
  Expr flops;
  Expr bytes;           // least traffic: inputs touched once, outputs written once
  std::string compute;  // which ceiling: "f32_fma", "bf16_tensor", ...
};

struct Op {
  std::string name;
  std::string family;  // attention, moe, gemm, norm, policy
  std::string summary;
  std::vector<std::string> dims;  // declared names
  std::map<std::string, std::vector<std::string>, std::less<>> types;
  std::vector<TensorSpec> tensors;   // inputs in call order, then outputs
  std::vector<std::string> scalars;  // host scalars derived by the structure hook, usable in plans
  ValueMap constants;  // fixed numbers of the contract (eps, sm_scale), visible to sources
  std::vector<Expr> constraints;  // over dims; each workload must satisfy them
  std::vector<PrecisionClass> precision;
  std::vector<ValueCase> cases;
  std::vector<Suite> suites;
  CostModel cost;
  std::vector<Template> templates;
  std::vector<BaselineSpec> baselines;
  std::vector<Twin> twins;
  std::string reference_cpp;  // trusted; the C ABI of experiments/include/coppice_op.h
  std::string reference_cu;   // trusted device code with reference_plan; empty when absent
  std::optional<LaunchPlan> reference_plan;
  // Every file of the folder, relative path to text; the headers that sources include stand under
  // "include/" and belong to the op's identity.
  std::map<std::string, std::string, std::less<>> files;
  Digest digest;  // of the canonical JSON {relative path: digest of its text}

  const Suite* suite(std::string_view name) const;
  const Template* find_template(std::string_view name) const;
  const PrecisionClass* precision_class(std::string_view name) const;
};

}  // namespace coppice
