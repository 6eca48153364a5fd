// LaunchPlan: how device code is launched, as data; the engine, not the candidate, makes the calls.
#pragma once

#include "core/expr.h"
#include "core/json.h"
#include "core/result.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice {

enum class StepKind {
  kernel,
  fill,  // sets a workspace slice or output to a byte value
};

enum class ArgKind {
  tensor,      // pointer to a tensor of the contract
  workspace,   // pointer into the workspace
  dim,         // int64 value of an expression
  scalar,      // f32 value of an expression (contract constants, host scalars)
  tensor_map,  // TMA descriptor over a tensor (cuda)
};

// A TMA descriptor: sizes, strides and box of a view on a tensor (innermost first, as the driver
// wants).
struct TensorMapSpec {
  std::string dtype;
  std::vector<Expr> sizes;         // elements
  std::vector<Expr> stride_bytes;  // of dims 1.. (rank - 1 entries)
  std::vector<Expr> box;           // elements
  std::string swizzle = "none";    // none, 32, 64, 128
  std::string l2_promotion = "256";
};

struct PlanArg {
  ArgKind kind = ArgKind::tensor;
  std::string name;  // tensor or workspace name; empty for dim and scalar
  Expr value;        // dim, scalar; for workspace: byte offset inside the slice
  std::optional<TensorMapSpec> map;
};

struct PlanStep {
  StepKind kind = StepKind::kernel;
  bool prepare = false;  // reads structure tensors only; timed apart, counted in the headline
  std::string entry;     // kernel: name of the function
  // Blocks (cuda) or tasks (cpu); missing ones are 1.
  std::array<Expr, 3> grid{Expr::constant(1), Expr::constant(1), Expr::constant(1)};
  std::array<Expr, 3> block{Expr::constant(1), Expr::constant(1), Expr::constant(1)};  // cuda
  std::array<Expr, 3> cluster;  // cuda; 0 = none
  Expr shared_bytes;            // cuda dynamic shared memory
  bool cooperative = false;
  bool dependent = false;  // programmatic dependent launch on the step before
  std::vector<PlanArg> args;
  std::string target;        // fill: workspace or output name
  int byte = 0;              // fill: the value
  std::optional<Expr> when;  // step is dropped where this is false
};

struct WorkspaceSlice {
  std::string name;
  Expr bytes;  // rounded up to 256
};

struct LaunchPlan {
  std::vector<WorkspaceSlice> workspace;
  std::map<std::string, Expr, std::less<>> defines;  // compile-time constants, besides axes
  Expr threads;                 // cpu: worker threads wanted; 0 = all that the lane has
  std::vector<Expr> claims;     // shapes it is right for; a workload outside is "not claimed"
  std::vector<PlanStep> steps;  // in order; each starts after the one before has ended
};

// ---- A plan with all numbers filled in, for one workload. This is what crosses to the device
// agent. ----

struct ResolvedTensorMap {
  std::string tensor;
  std::string dtype;
  std::vector<std::int64_t> sizes, stride_bytes, box;
  std::string swizzle, l2_promotion;
};

struct ResolvedArg {
  ArgKind kind = ArgKind::tensor;
  std::string name;          // tensor or workspace slice
  std::int64_t integer = 0;  // dim value, or offset in bytes
  double real = 0.0;         // scalar (passed as f32)
  std::optional<ResolvedTensorMap> map;
};

struct ResolvedStep {
  StepKind kind = StepKind::kernel;
  bool prepare = false;
  std::string entry;
  std::array<std::int64_t, 3> grid{1, 1, 1};
  std::array<std::int64_t, 3> block{1, 1, 1};
  std::array<std::int64_t, 3> cluster{0, 0, 0};
  std::int64_t shared_bytes = 0;
  bool cooperative = false;
  bool dependent = false;
  std::vector<ResolvedArg> args;
  std::string target;
  int byte = 0;
};

struct ResolvedPlan {
  std::vector<std::pair<std::string, std::int64_t>> workspace;  // name, bytes (rounded up to 256)
  std::map<std::string, std::string, std::less<>> defines;      // name to text
  std::int64_t threads = 0;
  bool graph_safe = true;  // no number of it came from a host scalar
  std::vector<ResolvedStep> steps;
  friend bool operator==(const ResolvedPlan& a, const ResolvedPlan& b);
};

// Fills in a plan. `values`: dims, axis values, constants and host scalars. Errors name step,
// field, expression and value (negative grid, unknown name, overflow). `host_scalars`: names that
// make it graph-unsafe.
Result<ResolvedPlan> resolve(const LaunchPlan& plan,
                             const ValueMap& values,
                             const std::vector<std::string>& host_scalars);

// The text of the first claim that does not hold for `values`; nothing when the plan claims the
// shape. A claim that can't be evaluated is an error.
Result<std::optional<std::string>> unclaimed(const LaunchPlan& plan, const ValueMap& values);

Json to_json(const LaunchPlan& plan);
Result<LaunchPlan> launch_plan(const JsonReader& json);  // strict: unknown keys refused
Json to_json(const ResolvedPlan& plan);
Result<ResolvedPlan> resolved_plan(const JsonReader& json);

}  // namespace coppice
