// What memory does to the tree: nodes that are given up before the first attempt, with their
// evidence, and taken back when it was wrong.
#include "search/chooser.h"

#include <fmt/format.h>

namespace coppice::search {

void recall_dead_ends(Shared& shared, std::vector<Event>& out) {
  const std::vector<DeadEnd> facts = shared.memory.facts();
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const DeadEnd& fact = facts[i];
    const NodeId parent = shared.template_nodes[fact.template_index];
    if (fact.maturity == Maturity::tentative || shared.tree.at(parent).state == NodeState::pruned) {
      continue;
    }
    const AxisSpace& space = shared.domain.axes(fact.template_index);
    const auto words = [&](std::size_t axis, std::uint16_t level) {
      return space.axis(axis).name + "=" + to_text(space.axis(axis).levels[level]);
    };
    Insert insert;
    insert.node = shared.tree.next_id();
    insert.parent = parent;
    insert.kind = NodeKind::axis_focus;
    insert.template_name = shared.domain.space()[fact.template_index].name;
    insert.title = words(fact.axis, fact.level);
    insert.fixed.emplace(space.axis(fact.axis).name, space.axis(fact.axis).levels[fact.level]);
    for (const auto& [axis, level] : fact.prerequisites) {
      insert.fixed.emplace(space.axis(axis).name, space.axis(axis).levels[level]);
      insert.title += ", " + words(axis, level);
    }
    insert.reason = fmt::format("memory: a dead end, {}", to_text(fact.maturity));
    shared.memory.told(i, insert.node);
    const NodeId node = insert.node;
    shared.edit(std::move(insert), out);
    shared.edit(
        Prune{node,
              fmt::format(
                  "memory: {} attempts and not one valid ({})", fact.attempts, fact.evidence)},
        out);
  }
}

void forget_contradicted(Shared& shared,
                         const Point& point,
                         CandidateId candidate,
                         std::vector<Event>& out) {
  for (const DeadEnd& fact : shared.memory.contradicted(point.template_index, point.genome)) {
    const bool told = fact.node && shared.tree.at(fact.node).state == NodeState::pruned;
    if (!told || shared.tree.at(shared.tree.at(fact.node).parent).state == NodeState::pruned) {
      continue;
    }
    Update back;
    back.node = fact.node;
    back.state = NodeState::open;
    back.reason = fmt::format("memory was wrong: candidate {} is valid here", candidate.value);
    shared.edit(back, out);
    back.state = NodeState::closed;
    back.reason += "; the template searches it with everything else";
    shared.edit(std::move(back), out);
  }
}

}  // namespace coppice::search
