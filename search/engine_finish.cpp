// The end of a run: finalists are timed again, the best is promoted, and the engine stops.
#include "core/check.h"
#include "search/engine_state.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {

void Engine::State::end_search(StopReason why, std::string text) {
  reason = why;
  switch (why) {
    case StopReason::budget_attempts:
      text = fmt::format("{} attempts are spent", shared.book.attempts);
      break;
    case StopReason::budget_seconds:
      text = fmt::format("{:.1f} s are spent", to_seconds(elapsed));
      if (elapsed < setup.options.budget.seconds) {
        text += fmt::format(" of {:.0f} s, and another attempt takes about {:.2g} s",
                            to_seconds(setup.options.budget.seconds),
                            to_seconds(pace.typical()));
      }
      break;
    case StopReason::budget_money:
      text = fmt::format("{:.2f} of {:.2f} in money are spent", money, setup.options.budget.money);
      break;
    case StopReason::exhausted:
    case StopReason::user:
    case StopReason::failed:
      break;
  }
  message = std::move(text);
  phase = Phase::draining;
}

void Engine::State::choose_finalists() {
  if (reason == StopReason::failed) {
    return;  // the machine can't time them either
  }
  const std::size_t classes = shared.domain.classes().size();
  // Without finalists the promotion still needs somebody to fall back on.
  const auto headline = static_cast<std::size_t>(std::max(setup.options.finalists, 3));
  for (std::size_t precision = 0; precision < classes; ++precision) {
    std::vector<CandidateId> leaders = shared.book.leaders(precision);
    const std::size_t wanted = precision == 0 ? headline : 1;
    leaders.resize(std::min(leaders.size(), wanted));
    for (std::size_t i = 0; i < leaders.size(); ++i) {
      Finalist finalist;
      finalist.candidate = leaders[i];
      finalist.precision = precision;
      finalist.log_cost = shared.book.at(leaders[i]).log_cost;
      // Of the headline class `finalists` are timed again; others only wait as a fall-back.
      finalist.asked = setup.options.finalists == 0 ||
                       (precision == 0 && i >= static_cast<std::size_t>(setup.options.finalists));
      finalists.push_back(finalist);
    }
  }
}

Proposed Engine::State::again(const Finalist& finalist, Fidelity fidelity, std::string why) const {
  const CandidateRecord& record = shared.book.at(finalist.candidate);
  Proposed proposed;
  proposed.candidate = finalist.candidate;
  proposed.node = record.node;
  if (record.point && !record.from_text) {
    proposed.spec.template_name = shared.domain.space()[record.point->template_index].name;
    proposed.spec.genome = record.point->genome;
  } else {
    proposed.spec = setup.seeds[record.stored];
  }
  proposed.parents = {finalist.candidate};
  proposed.mutator = std::string(to_text(fidelity));
  proposed.fidelity = fidelity;
  proposed.why = std::move(why);
  return proposed;
}

std::optional<Proposed> Engine::State::next_final() {
  if (phase == Phase::finalists) {
    int rank = 0;
    for (Finalist& finalist : finalists) {
      rank = &finalist != finalists.data() && finalist.precision == (&finalist - 1)->precision
                 ? rank + 1
                 : 1;
      if (!finalist.asked) {
        finalist.asked = true;
        return again(finalist,
                     Fidelity::finalist,
                     fmt::format("number {} of the search, timed again", rank));
      }
    }
    if (!shared.book.in_flight.empty()) {
      return std::nullopt;
    }
    phase = Phase::promoting;
    std::stable_sort(finalists.begin(), finalists.end(), [](const Finalist& a, const Finalist& b) {
      return a.precision != b.precision ? a.precision < b.precision : a.log_cost < b.log_cost;
    });
  }
  return setup.options.promote ? next_promotion() : std::nullopt;
}

// The best of each class that has no promoted candidate and none on the way.
std::optional<Proposed> Engine::State::next_promotion() {
  for (std::size_t precision = 0; precision < promoted.size(); ++precision) {
    const bool on_the_way = std::any_of(
        shared.book.in_flight.begin(), shared.book.in_flight.end(), [&](const auto& entry) {
          return shared.book.at(entry.second.proposed.candidate).precision == precision;
        });
    if (promoted[precision] || on_the_way) {
      continue;
    }
    for (Finalist& finalist : finalists) {
      if (finalist.precision == precision && !finalist.failed && !finalist.promotion) {
        finalist.promotion = true;
        return again(finalist,
                     Fidelity::promote,
                     "the best finalist must pass with fresh seeds and fresh processes");
      }
    }
  }
  return std::nullopt;
}

void Engine::State::take_final(const Attempt& attempt,
                               const Evidence& evidence,
                               std::vector<Event>& out) {
  for (Finalist& finalist : finalists) {
    if (finalist.candidate != attempt.proposed.candidate) {
      continue;
    }
    const bool valid = evidence.verdict.valid && evidence.performance.has_value();
    if (!valid) {
      finalist.failed = true;
    } else if (attempt.proposed.fidelity == Fidelity::finalist) {
      finalist.log_cost = evidence.performance->log_cost;
      finalist.timed = true;
    } else if (!promoted[finalist.precision]) {
      promoted[finalist.precision] = finalist.candidate;
      out.emplace_back(Promoted{finalist.candidate,
                                attempt.proposed.attempt,
                                shared.domain.classes()[finalist.precision]});
    }
    return;
  }
}

Event Engine::State::stop() {
  if (!shared.book.best(0) && reason != StopReason::user) {
    message += "; no candidate passed the gates";
  } else if (reason != StopReason::user && setup.options.promote && !promoted[0]) {
    message += "; no candidate passed promotion";
  }
  phase = Phase::done;
  view.stopped = Stopped{reason, message};
  return *view.stopped;
}

}  // namespace coppice::search
