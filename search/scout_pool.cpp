// The standing pools of points that the world model chooses from.
#include "core/pinned_math.h"
#include "search/scout.h"

#include <algorithm>
#include <set>

namespace coppice::search {
namespace {

constexpr std::size_t kMostPooled = 20000;  // in one node
constexpr std::size_t kLeastPooled = 500;
constexpr std::size_t kPooledInAll = 40000;
constexpr std::size_t kPooledOfUnlisted = 1500;  // where a node's points can't be listed
constexpr std::size_t kRenewed = 48;             // of those, per look: the least promising

// Never below the expected gain of the same belief, and much cheaper:
// E[max(0, best - x)] = s (z cdf(z) + pdf(z)) <= s (max(z, 0) + pdf(z)).
double gain_bound(const planner::Belief& belief, double best) {
  if (!(belief.spread > 0.0)) {
    return belief.p_valid * std::max(best - belief.mean, 0.0);
  }
  const double z = (best - belief.mean) / belief.spread;
  return belief.p_valid * belief.spread * (std::max(z, 0.0) + pinned::normal_pdf(z));
}

}  // namespace

Scout::Pool& Scout::pool(NodeId node) {
  Pool& pool = pools_[node];
  Subspace& space = subspace(node);
  const std::uint32_t t = space.template_index();
  std::erase_if(pool.points, [&](const Point& point) { return shared_.book.known(point); });
  if (!pool.points.empty() || pool.whole) {
    return pool;
  }
  std::size_t pooled = 0;
  for (const auto& [other, points] : pools_) {
    pooled += points.points.size();
  }
  if (pooled > kPooledInAll) {
    std::erase_if(pools_, [&](const auto& entry) { return entry.first != node; });
  }
  const std::size_t nodes = std::max<std::size_t>(shared_.tree.open_count(), 1);
  const std::size_t most = space.remaining()
                               ? std::clamp(kPooledInAll / nodes, kLeastPooled, kMostPooled)
                               : kPooledOfUnlisted;
  pool.whole = space.remaining() && *space.remaining() <= most;
  Rng rng = shared_.draw_stream("pool");
  for (Genome& genome : sample(node, most, rng)) {
    pool.points.push_back({t, std::move(genome)});
  }
  return pool;
}

void Scout::add_jumps(NodeId node, std::size_t wanted, std::vector<Option>& options) {
  const std::vector<Point>& points = pool(node).points;
  const std::vector<planner::Belief> beliefs = model_.predict(points);
  std::vector<double> bounds;
  bounds.reserve(points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t precision = shared_.domain.class_of(points[i]).value_or(0);
    const auto best = bar(precision);
    bounds.push_back(weight(precision, beliefs[i]) *
                     (best ? gain_bound(beliefs[i], *best) : beliefs[i].p_valid));
  }
  std::vector<std::size_t> order(points.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  // More than wanted: some are among the options already, and bounds are not the last word.
  const std::size_t looked = std::min(order.size(), 4 * wanted + options.size());
  std::partial_sort(order.begin(),
                    order.begin() + static_cast<std::ptrdiff_t>(looked),
                    order.end(),
                    [&](std::size_t a, std::size_t b) {
                      return bounds[a] != bounds[b] ? bounds[a] > bounds[b] : a < b;
                    });
  std::set<Genome> seen;
  for (const Option& option : options) {
    seen.insert(option.genome);
  }
  std::vector<Option> jumps;
  for (std::size_t i = 0; i < looked && jumps.size() < wanted; ++i) {
    const Point& point = points[order[i]];
    if (!seen.contains(point.genome)) {
      Option option;
      option.genome = point.genome;
      option.mutator = mutator("jump");
      jumps.push_back(std::move(option));
    }
  }
  const std::uint32_t t = subspace(node).template_index();
  score(t, jumps);
  options.insert(options.end(), jumps.begin(), jumps.end());
  renew(node, bounds);
}

// A pool that is only a sample trades its least promising points for new ones.
void Scout::renew(NodeId node, const std::vector<double>& bounds) {
  Pool& pool = pools_.at(node);
  if (pool.whole || pool.points.size() <= kRenewed) {
    return;
  }
  std::vector<std::size_t> order(pool.points.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::nth_element(
      order.begin(), order.begin() + kRenewed, order.end(), [&](std::size_t a, std::size_t b) {
        return bounds[a] != bounds[b] ? bounds[a] < bounds[b] : a < b;
      });
  std::sort(order.begin(), order.begin() + kRenewed);
  Rng rng = shared_.draw_stream("renew");
  std::vector<Genome> fresh = sample(node, kRenewed, rng);
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    pool.points[order[i]].genome = std::move(fresh[i]);
  }
}

}  // namespace coppice::search
