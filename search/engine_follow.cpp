// Following a recorded run: its decisions are taken over, none is made again.
#include "search/engine_state.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

Error unfit(std::string what) {
  return Error{ErrorCode::corrupt, "does not fit what came before: " + std::move(what)};
}

}  // namespace

Result<void> Engine::State::follow(const Event& event) {
  llm.reset();  // what it asked and concluded stands in the log
  if (const auto* edit = std::get_if<EditApplied>(&event)) {
    return follow_edit(edit->edit);
  }
  if (const auto* proposed = std::get_if<Proposed>(&event)) {
    return follow_proposal(*proposed);
  }
  if (const auto* passed = std::get_if<Promoted>(&event)) {
    const auto& classes = shared.domain.classes();
    const auto named = std::find(classes.begin(), classes.end(), passed->precision);
    if (named == classes.end() || !shared.book.contains(passed->candidate)) {
      return unfit(fmt::format("candidate {} is promoted", passed->candidate.value));
    }
    promoted[static_cast<std::size_t>(named - classes.begin())] = passed->candidate;
  } else if (const auto* stopped = std::get_if<Stopped>(&event)) {
    phase = Phase::done;
    view.stopped = *stopped;
  } else if (is_input(event) && !std::holds_alternative<WorkRequested>(event)) {
    if (std::holds_alternative<Resumed>(event)) {
      view.stopped.reset();
    }
    observe(event);
  }
  return {};
}

Result<void> Engine::State::follow_edit(const Edit& edit) {
  COPPICE_TRY_VOID(shared.tree.apply(edit).within("edit"));
  planted = true;
  const auto* insert = std::get_if<Insert>(&edit);
  if (insert != nullptr && insert->kind == NodeKind::template_root &&
      !insert->template_name.empty()) {
    shared.template_nodes.push_back(insert->node);
    if (!shared.domain.find_template(insert->template_name) && !grow(insert->template_name)) {
      return unfit("template " + insert->template_name + " has no axes");
    }
  }
  chooser->follow(edit);
  return {};
}

Result<void> Engine::State::follow_proposal(Proposed proposed) {
  if (proposed.attempt.value <= attempts_named || !shared.tree.contains(proposed.node)) {
    return unfit(fmt::format("attempt {}", proposed.attempt.value));
  }
  attempts_named = proposed.attempt.value;
  int repeats = 0;
  const auto again = std::find_if(retries.begin(), retries.end(), [&](const auto& retry) {
    return retry.first.proposed.candidate == proposed.candidate &&
           retry.first.proposed.fidelity == proposed.fidelity;
  });
  if (again != retries.end()) {
    repeats = again->first.repeats;
    retries.erase(again);
  } else if (proposed.fidelity == Fidelity::search) {
    COPPICE_TRY_VOID(follow_candidate(proposed));
  }
  if (!shared.book.contains(proposed.candidate)) {
    return unfit(fmt::format("candidate {} is unknown", proposed.candidate.value));
  }
  shared.book.attempts += proposed.fidelity == Fidelity::search ? 1 : 0;
  std::optional<Point> point = shared.book.at(proposed.candidate).point;
  const AttemptId id = proposed.attempt;
  shared.book.in_flight.emplace(id, Attempt{std::move(proposed), std::move(point), repeats});
  return {};
}

// Enters a candidate that is proposed for the first time.
Result<void> Engine::State::follow_candidate(const Proposed& proposed) {
  CandidateId entered;
  if (next_seed < setup.seeds.size() && proposed.spec == setup.seeds[next_seed]) {
    entered = shared.book.enter_stored(next_seed++, proposed.node);
  } else if (proposed.spec.template_name.empty() && proposed.spec.source) {
    // A language model's: it has no place before it is proposed.
    setup.seeds.insert(setup.seeds.begin() + next_seed, proposed.spec);
    entered = shared.book.enter_stored(next_seed++, proposed.node);
  } else {
    const auto t = shared.domain.find_template(proposed.spec.template_name);
    if (!t || !shared.domain.axes(*t).valid(proposed.spec.genome)) {
      return unfit(fmt::format("candidate {} has no place in template '{}'",
                               proposed.candidate.value,
                               proposed.spec.template_name));
    }
    entered = shared.book.enter({*t, proposed.spec.genome}, proposed.node);
  }
  if (entered != proposed.candidate) {
    return unfit(
        fmt::format("candidate {} comes as number {}", proposed.candidate.value, entered.value));
  }
  return {};
}

}  // namespace coppice::search
