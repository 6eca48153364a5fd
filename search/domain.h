// Domain: the points that a run may propose, template by template, with their classes and
// structural signatures.
#pragma once

#include "core/random.h"
#include "core/result.h"
#include "core/search_space.h"
#include "core/space_walk.h"
#include "mutators/mutator.h"
#include "search/elites.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::search {

using mutators::Pin;

// Immutable but for grow(). Small spaces are enumerated once.
class Domain {
 public:
  // `classes`: permitted precision classes, headline first; empty means one class without a name.
  // Errors: no template, two of one name, no template with a valid point of a permitted class.
  static Result<Domain> create(SearchSpace space, std::vector<std::string> classes);

  // One more template, behind the others; an error leaves all as it was. Spaces that were handed
  // out before stay alive.
  Result<void> grow(TemplateSpace added);
  bool can_grow(const TemplateSpace& added) const;

  const SearchSpace& space() const { return *space_; }
  const AxisSpace& axes(std::uint32_t t) const { return (*space_)[t].space; }
  const SpaceWalker& walker(std::uint32_t t) const { return *walkers_[t]; }
  const std::vector<std::string>& classes() const { return classes_; }
  std::optional<std::uint32_t> find_template(std::string_view name) const;

  // All permitted points in lexicographic order, or nothing where there are too many to list.
  const std::vector<Genome>* listed(std::uint32_t t) const;
  // No permitted point at all, with the reason in words; empty when there is one.
  const std::string& hopeless(std::uint32_t t) const { return templates_[t].hopeless; }
  // Where a listed genome stands.
  std::optional<std::uint32_t> place(std::uint32_t t, const Genome& genome) const;

  // Index of the precision class; nothing when it is not permitted here.
  std::optional<std::size_t> class_of(const Point& point) const;
  bool permitted(const Point& point) const;  // valid and of a permitted class

  const std::vector<std::size_t>& structural(std::uint32_t t) const {
    return templates_[t].structural;
  }
  Signature signature(const Point& point) const;
  // Pins for axis values; an error when an axis or level is unknown.
  Result<std::vector<Pin>> pins(std::uint32_t t, const ValueMap& fixed) const;

 private:
  struct Precision {
    std::vector<std::size_t> axes;  // that the expression names
    std::vector<std::uint64_t> strides;
    std::vector<int> table;  // combination of their levels to class; -1 = not permitted
  };
  struct Entry {
    std::optional<std::vector<Genome>> points;
    std::vector<std::size_t> structural;
    Precision precision;
    std::string hopeless;
  };
  Result<void> tabulate_precision(std::uint32_t t);
  Result<void> list_points(std::uint32_t t);

  // Behind a pointer: the world model keeps a reference to it.
  std::shared_ptr<const SearchSpace> space_;
  std::vector<std::shared_ptr<const SearchSpace>> before_;   // what it was before it grew
  std::vector<std::shared_ptr<const SpaceWalker>> walkers_;  // refer to *space_
  std::vector<std::string> classes_;
  std::vector<Entry> templates_;
};

// The untried points under a set of pins, drawn at random without repetition.
class Subspace {
 public:
  Subspace(const Domain& domain, std::uint32_t t, std::vector<Pin> pins);
  using Tried = std::function<bool(const Genome&)>;
  // A random untried genome; points found tried are forgotten. Nothing when none is left, or, in a
  // space too large to list, when a bounded number of tries found none.
  std::optional<Genome> draw(const Domain& domain, const Tried& tried, Rng& rng);
  // Up to `limit` distinct untried genomes; all of them where they are few.
  std::vector<Genome> sample(const Domain& domain, const Tried& tried, std::size_t limit, Rng& rng);
  const std::vector<Pin>& pins() const { return pins_; }
  std::uint32_t template_index() const { return template_; }
  // Listed points not yet found tried; an upper bound.
  std::optional<std::size_t> remaining() const;

 private:
  std::optional<Genome> draw_unlisted(const Domain& domain, const Tried& tried, Rng& rng) const;
  std::uint32_t template_;
  std::vector<Pin> pins_;
  bool listed_;
  std::vector<std::uint32_t> rest_;  // places of listed points
};

}  // namespace coppice::search
