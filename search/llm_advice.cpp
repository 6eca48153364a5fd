// Questions about the search itself: when they are due, and what becomes of the answers.
#include "search/llm_slot.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {

// On a schedule, twice as often while the run's best stands still.
bool LlmSlot::advice_due() const {
  if (gone_ || advising_ || options_.advise <= 0 || !shared_.book.best(0) ||
      shared_.book.attempts < resume_at_) {
    return false;
  }
  const auto best = static_cast<std::int64_t>(shared_.book.best(0)->value);
  const bool stands = static_cast<std::int64_t>(shared_.book.candidates()) - best > options_.advise;
  const std::int64_t period = stands ? (options_.advise + 1) / 2 : options_.advise;
  return shared_.book.attempts - advised_at_ >= period;
}

// Edits were checked where the reply was read, against the tree as it is now.
void LlmSlot::take_advice(const LlmReplied& reply, std::vector<Event>& out) {
  advising_ = false;
  if (!reply.advice) {
    failed();
    return;
  }
  failures_in_a_row_ = 0;
  for (const Edit& edit : reply.advice->edits) {
    if (!shared_.tree.check(edit).ok()) {
      continue;
    }
    shared_.edit(edit, out);
    const auto* insert = std::get_if<Insert>(&edit);
    const auto* update = std::get_if<Update>(&edit);
    const NodeId node = insert != nullptr   ? insert->node
                        : update != nullptr ? update->node
                                            : NodeId{};
    if (node && shared_.tree.at(node).kind == NodeKind::idea &&
        shared_.tree.at(node).state == NodeState::open &&
        std::ranges::find(planned_, node) == planned_.end()) {
      planned_.push_back(node);
    }
  }
  // Not open: the rules have nothing to do with them. Ids are given out by then.
  for (const NodeId node : planned_) {
    if (shared_.tree.at(node).state == NodeState::open) {
      Update waits;
      waits.node = node;
      waits.state = NodeState::active;
      waits.reason = "waits for its code";
      shared_.edit(std::move(waits), out);
    }
  }
  shared_.advice.take(reply.advice->priors, shared_.domain, shared_.book);
}

// The idea with the highest priority, ties by id.
std::optional<LlmSlot::Ask> LlmSlot::next_planned() {
  std::erase_if(planned_,
                [this](NodeId node) { return shared_.tree.at(node).state != NodeState::active; });
  if (planned_.empty()) {
    return std::nullopt;
  }
  const auto first = std::ranges::max_element(planned_, {}, [this](NodeId node) {
    return std::pair(shared_.tree.at(node).priority, -static_cast<std::int64_t>(node.value));
  });
  const NodeId node = *first;
  planned_.erase(first);
  // From the best of the template that the idea hangs under, else from the best of all.
  CandidateId parent = *shared_.book.best(0);
  const std::string& wanted = shared_.tree.at(node).template_name;
  const auto t = shared_.domain.find_template(wanted);
  for (const CandidateId leader : shared_.book.leaders(0)) {
    const auto& point = shared_.book.at(leader).point;
    if (t && point && point->template_index == *t) {
      parent = leader;
      break;
    }
  }
  return Ask{node,
             "rewrite",
             {parent},
             fmt::format("node {} is an idea that waits for its code", node.value),
             true};
}

}  // namespace coppice::search
