// Axis, AxisSpace, Genome: what may be tuned, which combinations are legal, and one choice of all.
#pragma once

#include "core/expr.h"
#include "core/result.h"
#include "core/value.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

// How a model may read the levels.
enum class AxisType {
  integer,      // numbers; distance is the difference
  ordinal,      // ordered levels; distance is in steps (use log scale for powers of two)
  categorical,  // no order
  boolean,      // two levels
};

// What the axis is about: the frontier groups by it.
enum class AxisKind {
  tile,
  stage,
  fusion,
  precision,
  threads,
  vector,
  split,
  layout,
  algorithm,
  other
};

struct Axis {
  std::string name;
  AxisType type = AxisType::ordinal;
  AxisKind kind = AxisKind::other;
  std::vector<Value> levels;      // at least one; distinct
  std::size_t default_level = 0;  // index into levels
  bool structural = false;        // fixed by a node of the search tree, not by local refinement
  std::optional<Expr> when;  // active only where this holds over earlier axes; else at its default
};

// One level index per axis, in the space's order.
struct Genome {
  std::vector<std::uint16_t> levels;
  friend auto operator<=>(const Genome&, const Genome&) = default;
};

// An immutable set of axes and restrictions. Thread-safe to read.
class AxisSpace {
 public:
  AxisSpace() = default;
  // Errors: duplicate names, empty or repeated levels, a default out of range, a restriction or
  // `when` that names no axis and no given constant, `when` that looks forward. `constants` are
  // names (dims, target facts) that restrictions may use besides the axes; they are fixed for the
  // life of the space.
  static Result<AxisSpace> create(std::vector<Axis> axes,
                                  std::vector<Expr> restrictions,
                                  ValueMap constants = {});

  // Exactly these genomes are valid (a recorded table that knows no restrictions). Errors: as
  // above, and a genome that does not fit the axes or occurs twice.
  static Result<AxisSpace> create_listed(std::vector<Axis> axes, std::vector<Genome> genomes);

  std::size_t size() const { return axes_.size(); }
  const std::vector<Axis>& axes() const { return axes_; }
  const Axis& axis(std::size_t i) const { return axes_[i]; }
  const std::vector<Expr>& restrictions() const { return restrictions_; }
  const ValueMap& constants() const { return constants_; }
  std::optional<std::size_t> find(std::string_view name) const;

  // Number of raw combinations, before restrictions; saturates at 2^63 - 1.
  std::uint64_t raw_size() const;
  Genome default_genome() const;

  bool active(const Genome& genome, std::size_t axis) const;
  Genome canonical(Genome genome) const;  // inactive axes set to their defaults
  // Satisfies all restrictions and is canonical. An expression that fails to evaluate counts as
  // "no".
  bool valid(const Genome& genome) const;
  // The genomes of a listed space, ascending; null for others.
  const std::vector<Genome>* listed() const { return listed_.get(); }
  // The first restriction that the genome breaks, or -1.
  int first_broken(const Genome& genome) const;
  // Restriction i alone, with the axes known so far: axes >= known are unassigned; returns true
  // when the restriction can't be judged yet. Lets a search over partial assignments prune early.
  bool holds_so_far(const Genome& genome, std::size_t known, std::size_t restriction) const;
  // The axes that a restriction, or an axis's `when`, names; ascending.
  std::vector<std::size_t> axes_of_restriction(std::size_t restriction) const;
  std::vector<std::size_t> axes_of_when(std::size_t axis) const;

  const Value& value(const Genome& genome, std::size_t axis) const;
  ValueMap values(const Genome& genome) const;          // axis name to value, without constants
  Result<Genome> genome(const ValueMap& values) const;  // missing axes take their defaults
  std::string describe(const Genome& genome) const;     // "tile_kv=64 stages=3 ..."; axis order

 private:
  struct Bound;  // expression with its slots resolved to axes and constants
  static std::vector<std::size_t> axes_of(const Bound& bound);
  Expr::Truth judge(const Bound& bound, const Genome& genome, std::size_t known) const;

  std::vector<Axis> axes_;
  std::vector<Expr> restrictions_;
  ValueMap constants_;
  std::shared_ptr<const std::vector<Bound>> bound_restrictions_;
  std::shared_ptr<const std::vector<Bound>> bound_when_;
  std::shared_ptr<const std::vector<Genome>> listed_;
};

std::string_view to_text(AxisType type);
std::string_view to_text(AxisKind kind);
Result<AxisType> axis_type(std::string_view text);
Result<AxisKind> axis_kind(std::string_view text);

}  // namespace coppice
