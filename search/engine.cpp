// The engine: budgets, phases and the bookkeeping of attempts; what to try is the chooser's.
#include "search/engine.h"

#include "core/check.h"
#include "search/engine_state.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

// A machine that fails this often without a break in between is not worth more attempts.
constexpr int kMostInfrastructureFailures = 20;
constexpr int kRepeats = 1;

// What the options let the search use of the warm-start data.
Result<std::vector<planner::WarmSource>> warm_sources(const EngineSetup& setup) {
  std::vector<planner::WarmSource> out;
  for (std::size_t i = 0; i < setup.warm.size(); ++i) {
    COPPICE_TRY(
        planner::WarmSource source,
        planner::warm_source(setup.warm[i].reader(fmt::format("warm-start data {}", i + 1))));
    if (setup.options.warm) {
      out.push_back(std::move(source));
    }
  }
  return out;
}

}  // namespace

Engine::State::State(EngineSetup given,
                     Domain domain,
                     std::vector<planner::WarmSource> warm,
                     Executor& executor)
    : setup(std::move(given)),
      shared(setup.seed, setup.options, std::move(domain), std::move(warm)),
      chooser(make_chooser(shared, executor)),
      promoted(shared.domain.classes().size()) {
  if (setup.options.llm.on) {
    llm.emplace(shared, setup.options.llm);
  }
  view.state = this;
}

Result<Engine> Engine::create(EngineSetup setup, Executor& executor) {
  if (setup.options.lanes < 1) {
    return Error{ErrorCode::config,
                 fmt::format("lanes: expected 1 or more, found {}", setup.options.lanes)};
  }
  if (setup.options.stagnation < 1) {
    return Error{ErrorCode::config,
                 fmt::format("stagnation: expected 1 or more, found {}", setup.options.stagnation)};
  }
  COPPICE_TRY(Domain domain, Domain::create(setup.templates, setup.precision_classes));
  COPPICE_TRY(std::vector<planner::WarmSource> warm, warm_sources(setup));
  return Engine(
      std::make_unique<State>(std::move(setup), std::move(domain), std::move(warm), executor));
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

void Engine::rest() {
  state_->chooser->rest();
}

const EngineView& Engine::view() const {
  return state_->view;
}

std::vector<Event> Engine::propose(int lane) {
  std::vector<Event> out = state_->propose(lane);
  state_->refresh_view();
  return out;
}

std::vector<Event> Engine::observe(const Event& input) {
  std::vector<Event> out = state_->observe(input);
  state_->refresh_view();
  return out;
}

std::vector<Event> Engine::handle(const Event& input) {
  if (const auto* request = std::get_if<WorkRequested>(&input)) {
    return propose(request->lane);
  }
  return observe(input);
}

Result<void> Engine::follow(const Event& event) {
  const Result<void> followed = state_->follow(event);
  state_->refresh_view();
  return followed;
}

std::vector<Event> Engine::State::propose(int lane) {
  std::vector<Event> out;
  if (phase == Phase::done) {
    out.push_back(*view.stopped);
    return out;
  }
  if (!planted) {
    planted = true;
    plant(shared, out);
  }
  if (shared.book.in_flight.size() >= static_cast<std::size_t>(setup.options.lanes)) {
    out.emplace_back(Idle{lane});
    return out;
  }
  if (!user_stop) {
    if (auto work = next_work(lane, out)) {
      out.push_back(std::move(*work));
      return out;
    }
  }
  // The rules may be through with every point while a model's answer still brings work.
  const bool answer_due = !user_stop && phase == Phase::searching && llm && llm->waiting();
  if (!shared.book.in_flight.empty() || answer_due) {
    out.emplace_back(Idle{lane});
    return out;
  }
  if (user_stop) {
    reason = StopReason::user;
    message = *user_stop;
  }
  out.push_back(stop());
  return out;
}

// What to do for a lane; nothing when it has to wait, or when all is done.
std::optional<Event> Engine::State::next_work(int lane, std::vector<Event>& out) {
  const bool busy = std::any_of(
      shared.book.in_flight.begin(), shared.book.in_flight.end(), [&](const auto& entry) {
        return entry.second.proposed.lane == lane;
      });
  if (!busy) {
    pace.asks(lane, elapsed);
  }
  if (phase == Phase::searching) {
    if (limit) {
      end_search(*limit->spent, message);
      message = limit->reason;
    } else if (const auto spent = budget_spent()) {
      end_search(*spent, message);
    }
  }
  const bool repeats = phase != Phase::draining || reason == StopReason::budget_attempts ||
                       reason == StopReason::exhausted;
  if (!repeats) {
    retries.clear();  // lost attempts came back into a run that has nothing left for them
  }
  if (!retries.empty()) {
    return send_again(lane);
  }
  std::optional<Proposed> proposed;
  if (phase == Phase::searching) {
    if (llm) {
      llm->ask(out);
    }
    proposed = next_search(out);
    if (!proposed && shared.book.in_flight.empty() && !(llm && llm->waiting())) {
      end_search(StopReason::exhausted, "every point was tried");
    }
  }
  if (phase == Phase::draining && shared.book.in_flight.empty()) {
    phase = Phase::finalists;
    choose_finalists();
  }
  if (phase == Phase::finalists || phase == Phase::promoting) {
    proposed = next_final();
  }
  if (!proposed) {
    return std::nullopt;
  }
  std::optional<Point> point = shared.book.at(proposed->candidate).point;
  return send(std::move(*proposed), lane, std::move(point));
}

std::optional<StopReason> Engine::State::budget_spent() const {
  const Budget& budget = setup.options.budget;
  if (infrastructure_in_a_row >= kMostInfrastructureFailures) {
    return StopReason::failed;
  }
  if (budget.attempts > 0 && shared.book.attempts >= budget.attempts) {
    return StopReason::budget_attempts;
  }
  // An attempt that would end after the budget is not begun.
  if (budget.seconds.count() > 0 &&
      (elapsed >= budget.seconds || elapsed + pace.typical() > budget.seconds)) {
    return StopReason::budget_seconds;
  }
  if (budget.money > 0.0 && money >= budget.money) {
    return StopReason::budget_money;
  }
  return std::nullopt;
}

std::optional<Proposed> Engine::State::next_search(std::vector<Event>& out) {
  if (auto stored = next_stored(out)) {
    return stored;
  }
  if (auto own = next_of_model()) {
    return own;
  }
  auto choice = chooser->next(out);
  if (!choice) {
    return std::nullopt;
  }
  COPPICE_CHECK(!shared.book.known(choice->point));
  Proposed proposed;
  proposed.candidate = shared.book.enter(choice->point, choice->node);
  proposed.node = choice->node;
  proposed.spec.template_name = shared.domain.space()[choice->point.template_index].name;
  proposed.spec.genome = choice->point.genome;
  proposed.parents = std::move(choice->parents);
  proposed.mutator = std::move(choice->mutator);
  proposed.prediction = choice->prediction;
  proposed.why = std::move(choice->why);
  return proposed;
}

// The user's own kernels come first, each under a node of its own.
std::optional<Proposed> Engine::State::next_stored(std::vector<Event>& out) {
  if (next_seed == setup.seeds.size()) {
    return std::nullopt;
  }
  const std::uint32_t seed = next_seed++;
  Insert insert;
  insert.node = shared.tree.next_id();
  insert.parent = {1};
  insert.kind = NodeKind::template_root;
  insert.title = fmt::format("kernel {} of the user", seed + 1);
  insert.reason = "the user starts from this kernel";
  Update closed;
  closed.node = insert.node;
  closed.state = NodeState::closed;
  closed.reason = "a single kernel without axes: there is nothing to refine";
  Proposed proposed;
  proposed.node = insert.node;
  proposed.candidate = shared.book.enter_stored(seed, insert.node);
  proposed.spec = setup.seeds[seed];
  proposed.mutator = "seed";
  proposed.why = insert.title;
  shared.edit(std::move(insert), out);
  shared.edit(std::move(closed), out);
  return proposed;
}

// A candidate of the language model: stored text, as the user's kernels are.
std::optional<Proposed> Engine::State::next_of_model() {
  auto work = llm ? llm->next() : std::nullopt;
  if (!work) {
    return std::nullopt;
  }
  setup.seeds.push_back(work->spec);
  const std::uint32_t place = next_seed++;
  COPPICE_CHECK(place + 1 == setup.seeds.size());  // the user's own came first
  Proposed proposed;
  proposed.node = work->node;
  proposed.candidate = shared.book.enter_stored(place, work->node);
  llm->sent(*work, proposed.candidate);
  proposed.spec = std::move(work->spec);
  proposed.parents = std::move(work->parents);
  proposed.mutator = std::move(work->mutator);
  proposed.why = std::move(work->why);
  return proposed;
}

Event Engine::State::send(Proposed proposed, int lane, std::optional<Point> point) {
  proposed.attempt = {++attempts_named};
  proposed.lane = lane;
  if (proposed.fidelity == Fidelity::search) {
    ++shared.book.attempts;
    pace.begins(lane, elapsed);
  }
  shared.book.in_flight.emplace(proposed.attempt, Attempt{proposed, std::move(point), 0});
  return proposed;
}

// The same work as before under a new attempt id.
Event Engine::State::send_again(int lane) {
  auto [attempt, why] = std::move(retries.front());
  retries.pop_front();
  attempt.proposed.why = std::move(why);
  const int repeats = attempt.repeats;
  Event event = send(std::move(attempt.proposed), lane, std::move(attempt.point));
  shared.book.in_flight.at({attempts_named}).repeats = repeats;
  return event;
}

std::vector<Event> Engine::State::observe(const Event& input) {
  std::vector<Event> out;
  if (const auto* evaluated = std::get_if<Evaluated>(&input)) {
    take(evaluated->evidence, out);
  } else if (const auto* tick = std::get_if<Tick>(&input)) {
    elapsed = std::max(elapsed, tick->elapsed);
  } else if (const auto* request = std::get_if<StopRequested>(&input)) {
    if (request->spent) {
      limit = *request;
    } else if (!user_stop && phase != Phase::done) {
      user_stop = request->reason.empty() ? "stopped by the user" : request->reason;
    }
  } else if (const auto* resumed = std::get_if<Resumed>(&input)) {
    take_lost(resumed->lost);
    if (llm) {
      llm->lost();
    }
  } else if (const auto* replied = std::get_if<LlmReplied>(&input)) {
    money += replied->cost.money;
    if (llm && phase == Phase::searching && !user_stop) {
      llm->take(*replied, out);
    }
  }
  return out;
}

void Engine::State::take(const Evidence& evidence, std::vector<Event>& out) {
  const auto found = shared.book.in_flight.find(evidence.attempt);
  if (found == shared.book.in_flight.end()) {
    return;
  }
  Attempt attempt = std::move(found->second);
  shared.book.in_flight.erase(found);
  money += evidence.cost.money;
  if (!evidence.verdict.valid && evidence.verdict.failure == FailureClass::infrastructure) {
    take_infrastructure(std::move(attempt), evidence);
    return;
  }
  infrastructure_in_a_row = 0;
  if (attempt.proposed.fidelity != Fidelity::search) {
    take_final(attempt, evidence, out);
    return;
  }
  const Lesson lesson = shared.book.learn(attempt, evidence);
  if (lesson.valid && attempt.point) {
    forget_contradicted(shared, *attempt.point, lesson.candidate, out);
  }
  chooser->learn(attempt, lesson, out);
  if (llm) {
    llm->learn(attempt, lesson, out);
  }
}

// Our fault or the machine's: not charged, and tried once more.
void Engine::State::take_infrastructure(Attempt attempt, const Evidence& evidence) {
  ++infrastructure_in_a_row;
  if (attempt.proposed.fidelity == Fidelity::search) {
    --shared.book.attempts;
  }
  ++shared.book.rejected[std::string(to_text(FailureClass::infrastructure))];
  message = fmt::format("the evaluator failed {} times in a row, last with: {}",
                        infrastructure_in_a_row,
                        evidence.verdict.message);
  if (attempt.repeats < kRepeats) {
    ++attempt.repeats;
    const std::string why = fmt::format("again: attempt {} failed through no fault of its own",
                                        attempt.proposed.attempt.value);
    retries.emplace_back(std::move(attempt), why);
    return;
  }
  for (Finalist& finalist : finalists) {
    finalist.failed = finalist.failed || (attempt.proposed.fidelity != Fidelity::search &&
                                          finalist.candidate == attempt.proposed.candidate);
  }
}

void Engine::State::take_lost(const std::vector<AttemptId>& lost) {
  pace.forget();
  for (const AttemptId id : lost) {
    const auto found = shared.book.in_flight.find(id);
    if (found == shared.book.in_flight.end()) {
      continue;
    }
    if (found->second.proposed.fidelity == Fidelity::search) {
      --shared.book.attempts;
    }
    retries.emplace_back(std::move(found->second),
                         fmt::format("again: attempt {} was lost in an interruption", id.value));
    shared.book.in_flight.erase(found);
  }
}

}  // namespace coppice::search
