// Enumerates a landscape's space and writes its outcomes down.
#include "evaluators/landscape.h"

#include "core/check.h"
#include "core/space_walk.h"
#include "evaluators/landscape_parts.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::evaluators {
namespace detail {

Axis numbers(std::string name, std::vector<std::int64_t> levels) {
  Axis axis;
  axis.name = std::move(name);
  axis.type = AxisType::ordinal;
  for (const std::int64_t level : levels) {
    axis.levels.emplace_back(level);
  }
  return axis;
}

Axis kinds(std::string name, std::size_t count) {
  Axis axis;
  axis.name = std::move(name);
  axis.type = AxisType::categorical;
  for (std::size_t i = 0; i < count; ++i) {
    axis.levels.emplace_back(fmt::format("k{}", i));
  }
  return axis;
}

Axis flag(std::string name) {
  Axis axis = numbers(std::move(name), {0, 1});
  axis.type = AxisType::boolean;
  return axis;
}

double share_of(const Genome& genome, std::uint64_t salt) {
  std::uint64_t hash = mix64(salt);
  for (const std::uint16_t level : genome.levels) {
    hash = mix64(hash ^ (level + 1U));
  }
  return static_cast<double>(hash >> 11U) * 0x1.0p-53;
}

}  // namespace detail

std::vector<std::string> landscape_names() {
  std::vector<std::string> out;
  for (const std::string_view name : detail::trait_names()) {
    out.emplace_back(name);
  }
  for (const std::string_view name : detail::kernel_names()) {
    out.emplace_back(name);
  }
  return out;
}

Result<RecordedTable> generate_landscape(std::string_view name, std::uint64_t instance) {
  constexpr std::size_t kMostPoints = 50000;
  const auto traits = detail::trait_names();
  const auto kernels = detail::kernel_names();
  const bool trait = std::find(traits.begin(), traits.end(), name) != traits.end();
  if (!trait && std::find(kernels.begin(), kernels.end(), name) == kernels.end()) {
    return Error{
        ErrorCode::usage,
        fmt::format(
            "synthetic:{}: expected one of {}, or all", name, fmt::join(landscape_names(), ", "))};
  }
  const detail::Landscape land =
      trait ? detail::trait_landscape(name, instance) : detail::kernel_landscape(name, instance);
  std::vector<Expr> restrictions;
  for (const std::string& text : land.restrictions) {
    COPPICE_TRY(Expr expr, Expr::parse(text));
    restrictions.push_back(std::move(expr));
  }
  COPPICE_TRY(const AxisSpace space, AxisSpace::create(land.axes, std::move(restrictions)));
  auto genomes = SpaceWalker(space).enumerate(kMostPoints);
  COPPICE_CHECK(genomes);
  std::vector<RecordedOutcome> outcomes;
  const std::uint64_t salt = mix64(hash_text(name) ^ instance);
  for (const Genome& genome : *genomes) {
    RecordedOutcome outcome;
    const double milliseconds = land.milliseconds(space, genome);
    outcome.valid = milliseconds > 0.0;
    const double z = pinned::normal_quantile(detail::share_of(genome, salt) * 0.9998 + 0.0001);
    outcome.milliseconds = outcome.valid ? milliseconds * pinned::exp(land.noise * z) : 0.0;
    outcome.log_noise = land.noise;
    outcome.failure = outcome.valid ? FailureClass::none : FailureClass::crash;
    outcomes.push_back(outcome);
  }
  return RecordedTable::create(fmt::format("synthetic:{}/{}", name, instance),
                               land.axes,
                               std::move(*genomes),
                               std::move(outcomes));
}

}  // namespace coppice::evaluators
