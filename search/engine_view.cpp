// What the engine shows of itself: for progress lines and reports, never for decisions.
#include "search/engine_state.h"

namespace coppice::search {

void Engine::State::refresh_view() {
  const Book& book = shared.book;
  view.attempts = book.attempts;
  view.valid = book.valid;
  view.in_flight = static_cast<std::int64_t>(book.in_flight.size());
  // What passed promotion is the answer; before that, the best of the search.
  view.best = promoted[0] ? promoted[0] : book.best(0);
  view.best_log_cost = view.best ? book.at(*view.best).log_cost : 0.0;
  for (std::size_t i = 0; i < shared.domain.classes().size(); ++i) {
    if (const auto best = promoted[i] ? promoted[i] : book.best(i)) {
      view.best_by_precision[shared.domain.classes()[i]] = *best;
    }
  }
  view.rejected = book.rejected;
}

std::vector<NodeView> EngineView::nodes() const {
  std::vector<NodeView> out;
  for (const Node& node : static_cast<const Engine::State*>(state)->shared.tree.nodes()) {
    NodeView seen;
    seen.id = node.id;
    seen.parent = node.parent;
    seen.kind = node.kind;
    seen.state = node.state;
    seen.template_name = node.template_name;
    seen.title = node.title;
    seen.reason = node.reason;
    seen.fixed = node.fixed;
    seen.priority = node.priority;
    seen.best = node.best;
    seen.best_log_cost = node.best_log_cost;
    seen.attempts = node.attempts;
    seen.valid = node.valid;
    seen.stagnation = node.stagnation;
    out.push_back(std::move(seen));
  }
  return out;
}

std::vector<MutatorView> EngineView::mutators() const {
  const Ledger& ledger = static_cast<const Engine::State*>(state)->shared.ledger;
  const std::vector<double> weights = ledger.weights();
  std::vector<MutatorView> out;
  for (std::size_t i = 0; i < ledger.accounts().size(); ++i) {
    const MutatorAccount& account = ledger.accounts()[i];
    out.push_back({account.name,
                   account.tried,
                   account.valid,
                   account.improved,
                   account.gain,
                   account.seconds,
                   weights[i]});
  }
  return out;
}

std::vector<FrontierEntry> EngineView::frontier() const {
  const auto* whole = static_cast<const Engine::State*>(state);
  std::vector<FrontierEntry> out;
  for (const planner::LevelRecord& record : whole->chooser->frontier()) {
    const TemplateSpace& entry = whole->shared.domain.space()[record.template_index];
    const Axis& axis = entry.space.axis(record.axis);
    FrontierEntry seen;
    seen.template_name = entry.name;
    seen.axis = axis.name;
    seen.kind = axis.kind;
    seen.level = axis.levels[record.level];
    seen.state = std::string(planner::to_text(record.state));
    seen.attempts = record.attempts;
    seen.valid = record.valid;
    seen.best_log_cost = record.best_log_cost;
    seen.expected_gain = record.expected_gain;
    out.push_back(std::move(seen));
  }
  return out;
}

std::vector<CandidateId> EngineView::elites() const {
  return static_cast<const Engine::State*>(state)->chooser->elites();
}

}  // namespace coppice::search
