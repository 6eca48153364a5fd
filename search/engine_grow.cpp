// Kernels of language models that are right become templates of the run: their axes enter the
// space, the world model and the frontier, and the rules tune them like any other.
#include "core/check.h"
#include "search/engine_state.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

constexpr std::size_t kMostGrown = 8;
// A first version that is further behind the best is not worth tuning, in log cost.
constexpr double kWorthTuning = 0.35;

bool has_choices(const AxisSpace& space) {
  return std::ranges::any_of(space.axes(), [](const Axis& axis) { return axis.levels.size() > 1; });
}

}  // namespace

void Engine::State::offer(const LlmReplied& reply) {
  if (!reply.idea || reply.idea->space.is_null()) {
    return;
  }
  auto space = template_space(reply.idea->space.reader("the reply's axes"));
  if (space.ok() && has_choices(space->space) && space->space.valid(reply.idea->spec.genome)) {
    std::string name = space->name;
    offers.try_emplace(std::move(name), Offer{std::move(*space), reply.idea->spec, std::nullopt});
  }
}

// The template of an offer joins the space; its node is in the tree already.
bool Engine::State::grow(const std::string& name) {
  const auto found = offers.find(name);
  if (found == offers.end() || !found->second.first) {
    return false;
  }
  auto [attempt, lesson] = *found->second.first;
  const auto t = static_cast<std::uint32_t>(shared.domain.space().size());
  const Point point{t, found->second.spec.genome};
  if (!shared.domain.grow(found->second.space).ok()) {
    return false;
  }
  shared.book.identify(attempt.proposed.candidate, point);
  attempt.point = point;
  chooser->grow(attempt, lesson);
  return true;
}

// Called with each result; in a run that is only followed the recorded edit does the rest.
void Engine::State::grow_wanted(const Attempt& attempt,
                                const Lesson& lesson,
                                std::vector<Event>& out) {
  if (attempt.point || !lesson.valid || !chooser->can_grow()) {
    return;
  }
  const auto found = std::ranges::find_if(
      offers, [&](const auto& offer) { return offer.second.spec == attempt.proposed.spec; });
  if (found == offers.end() || found->second.first) {
    return;
  }
  found->second.first.emplace(attempt, lesson);
  const auto grown =
      static_cast<std::size_t>(std::ranges::count_if(shared.template_nodes, [&](NodeId id) {
        return offers.contains(shared.tree.at(id).template_name);
      }));
  const auto best = shared.book.best_log_cost(0);
  if (!llm || grown >= kMostGrown || lesson.precision != 0 || !best ||
      lesson.log_cost > *best + kWorthTuning || !shared.domain.can_grow(found->second.space)) {
    return;
  }
  Insert insert;
  insert.node = shared.tree.next_id();
  insert.parent = {1};
  insert.kind = NodeKind::template_root;
  insert.template_name = found->first;
  insert.title = found->first;
  insert.priority = 1.0;
  insert.reason = fmt::format("candidate {} of node {} is right: its {} axes are tuned from now on",
                              attempt.proposed.candidate.value,
                              attempt.proposed.node.value,
                              found->second.space.space.size());
  shared.template_nodes.push_back(insert.node);
  shared.edit(std::move(insert), out);
  COPPICE_CHECK(grow(found->first));
}

}  // namespace coppice::search
