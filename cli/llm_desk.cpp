// Questions out, answers in; money and refusals go into the log, keys nowhere.
#include "cli/llm_desk.h"

#include "llm/proposals.h"
#include "llm/reply.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::cli {
namespace {

constexpr std::size_t kMostWaiting = 256;

// The parts of a recipe that a reply may change.
Result<Json> open_recipe(const Json& recipe) {
  Json out = Json::object();
  const JsonReader root = recipe.reader("recipe");
  for (const char* part : {"axes", "restrictions", "precision", "plan"}) {
    if (const auto member = root.find(part)) {
      out.set(part, member->copy());
    }
  }
  return out;
}

// The parent's recipe with what the reply changed; derived features may name what is gone.
Result<std::string> new_recipe(const Json& parent, const Json& changed, const std::string& title) {
  Json out = Json::object();
  COPPICE_TRY(const auto members, parent.reader("recipe").members());
  for (const auto& [key, value] : members) {
    if (key != "features") {
      out.set(key, value.copy());
    }
  }
  COPPICE_TRY(const auto changes, changed.reader("recipe").members());
  for (const auto& [key, value] : changes) {
    out.set(key, value.copy());
  }
  out.set("summary", title);
  return out.dump();
}

}  // namespace

LlmDesk::LlmDesk(Parts parts)
    : parts_(std::move(parts)),
      setup_(*parts_.material.llm),
      ledger_(setup_.budget, parts_.spent),
      to_ask_(kMostWaiting),
      answers_(kMostWaiting) {}

Result<std::unique_ptr<LlmDesk>> LlmDesk::open(Parts parts) {
  std::unique_ptr<LlmDesk> desk(new LlmDesk(std::move(parts)));
  COPPICE_TRY_VOID(desk->open_gateways());
  for (int i = 0; i < desk->setup_.search.slots; ++i) {
    desk->threads_.emplace_back([self = desk.get()] { self->work(self->stop_.get_token()); });
  }
  return desk;
}

LlmDesk::~LlmDesk() {
  stop();
}

void LlmDesk::stop() {
  stop_.request_stop();
}

Result<void> LlmDesk::open_gateways() {
  std::vector<llm::Ensemble::Arm> arms;
  for (const LlmModel& model : setup_.models) {
    COPPICE_TRY(auto provider, open_provider(model, parts_.cassette, parts_.environment));
    llm::GatewayOptions options = model.gateway;
    options.retry.seed = parts_.material.config.seed;
    const llm::Usage typical{.in = setup_.prompt_tokens / 2, .out = model.call.max_tokens / 2};
    const llm::Money money =
        options.price ? llm::cost_of(*options.price, typical) : llm::Money{1'000'000};
    arms.push_back({model.name, money.dollars(), 30.0});
    gateways_.push_back(std::make_unique<llm::Gateway>(
        std::move(provider), options, llm::Gateway::Surroundings{ledger_, parts_.clock, waiter_}));
  }
  llm::EnsembleOptions options;
  options.seed = parts_.material.config.seed;
  ensemble_.emplace(std::move(arms), options);
  return {};
}

void LlmDesk::work(const std::stop_token& stop) {
  while (auto question = to_ask_.pop(stop)) {
    auto& [request, what] = *question;
    llm::Exchange exchange = gateways_[what.first]->ask(what.second, stop);
    answers_.push(Answer{request, std::move(exchange)}, std::stop_token());
  }
}

Result<void> LlmDesk::hear(const Event& event, RunRecorder& recorder) {
  remember(event);
  const auto* asked = std::get_if<LlmAsked>(&event);
  return asked != nullptr ? ask(*asked, recorder) : Result<void>();
}

void LlmDesk::remember(const Event& event) {
  facts_.take(event);
  if (const auto* proposed = std::get_if<Proposed>(&event)) {
    const auto owed = owed_.find(to_json(proposed->spec).dump());
    if (owed != owed_.end() && proposed->fidelity == Fidelity::search) {
      candidates_[proposed->candidate] = owed->second;
      owed->second.cost = {};  // paid once, however many variants come of it
    }
  } else if (const auto* evaluated = std::get_if<Evaluated>(&event)) {
    credit(evaluated->evidence);
  }
}

void LlmDesk::credit(const Evidence& evidence) {
  const bool timed =
      evidence.verdict.valid && evidence.performance && evidence.fidelity == Fidelity::search;
  const double cost = timed ? evidence.performance->log_cost : 0.0;
  const auto owed = candidates_.find(evidence.candidate);
  if (owed != candidates_.end()) {
    llm::Credit credit = owed->second.cost;
    credit.gain = timed && best_ && cost < *best_ ? *best_ - cost : 0.0;
    ensemble_->credit(owed->second.model, credit);
    candidates_.erase(owed);
  }
  if (timed && (!best_ || cost < *best_)) {
    best_ = cost;
  }
}

LlmReplied LlmDesk::refused(const LlmAsked& asked, std::string message, bool gone) const {
  LlmReplied out;
  out.request = asked.request;
  out.failed = true;
  out.message = std::move(message);
  out.gone = gone;
  return out;
}

Result<void> LlmDesk::ask(const LlmAsked& asked, RunRecorder& recorder) {
  const auto model = ensemble_->choose();
  if (!model) {
    ready_.push_back(refused(asked, "every model rests or is gone", false));
    return {};
  }
  const auto sections = facts_.sections(parts_.material, asked);
  const auto prompt =
      sections.ok()
          ? llm::build_prompt(parts_.prompts, asked.action, *sections, setup_.prompt_tokens)
          : Result<llm::Prompt>(sections.error());
  if (!prompt.ok()) {
    ready_.push_back(refused(asked, prompt.error().message, false));
    return {};
  }
  Question question{asked, setup_.models[*model].call, *model, {}};
  question.call.messages = prompt->messages;
  question.call.stable = prompt->stable;
  if (asked.action == "advise") {
    question.call.reply_schema = std::string(llm::proposals_schema());
  }
  question.call.sample = samples_[question.call.identity()]++;
  question.asked_at = recorded_now_.value_or(Nanoseconds{0});
  COPPICE_TRY(question.prompt, recorder.keep(llm::to_json(question.call).dump()));
  recorder.after_commit([this, request = asked.request, at = *model, call = question.call] {
    to_ask_.push({request, {at, call}}, stop_.get_token());
  });
  open_.emplace(asked.request, std::move(question));
  return {};
}

// After such a failure no model of the run can answer any more.
bool LlmDesk::all_gone(llm::FailureKind kind) const {
  const bool hopeless =
      kind == llm::FailureKind::budget || kind == llm::FailureKind::missing ||
      ((kind == llm::FailureKind::auth || kind == llm::FailureKind::tls) && ensemble_->size() == 1);
  return hopeless;
}

Result<void> LlmDesk::read_idea(const Question& question,
                                const llm::Reply& reply,
                                LlmReplied& out,
                                RunRecorder& recorder) {
  COPPICE_TRY(const CandidateSpec spec, facts_.spec(question.asked.parents.front()));
  COPPICE_TRY(const KernelText parent, kernel_text(parts_.material, spec));
  COPPICE_TRY(const Json recipe, Json::parse(parent.recipe, "recipe"));
  COPPICE_TRY(Json changeable, open_recipe(recipe));
  const auto read = llm::read_kernel_reply(reply.text, {parent.source, std::move(changeable)});
  if (const auto* problem = std::get_if<llm::ReplyProblem>(&read)) {
    out.refused = problem->refused;
    return Error{ErrorCode::config, problem->message};
  }
  const llm::KernelReply& kernel = std::get<llm::KernelReply>(read);
  out.refused = kernel.refused;
  COPPICE_TRY(const std::string text, new_recipe(recipe, kernel.recipe, kernel.title));
  COPPICE_TRY(const StoredTemplate stored, stored_template(parts_.material, kernel.source, text));
  COPPICE_TRY(const StoredLevels levels, levels_to_try(stored, parent));
  LlmIdea idea;
  idea.title = kernel.title;
  idea.text = kernel.why;
  COPPICE_TRY(idea.spec.source, recorder.keep(kernel.source));
  COPPICE_TRY(idea.spec.plan, recorder.keep(text));
  idea.spec.genome = levels.first;
  idea.variants = levels.variants;
  TemplateSpace space = stored.space;
  space.name = fmt::format("llm_{}", question.asked.request.value);
  idea.space = to_json(space);
  COPPICE_TRY_VOID(keep_grown(parts_.material, idea));
  parts_.material.stored->emplace(*idea.spec.source, kernel.source);
  parts_.material.stored->emplace(*idea.spec.plan, text);
  out.idea = std::move(idea);
  return {};
}

void LlmDesk::set_recorded_time(Nanoseconds now) {
  recorded_now_ = now;
}

void LlmDesk::collect() {
  while (auto answer = answers_.pop_for(std::chrono::nanoseconds(0))) {
    arrived_.push_back(std::move(*answer));
  }
}

bool LlmDesk::complete() {
  collect();
  return arrived_.size() == open_.size();
}

Nanoseconds LlmDesk::end_of(const Answer& answer) const {
  return open_.at(answer.request).asked_at + answer.exchange.time;
}

std::optional<Nanoseconds> LlmDesk::next_end() const {
  std::optional<Nanoseconds> first;
  for (const Answer& answer : arrived_) {
    first = std::min(first.value_or(end_of(answer)), end_of(answer));
  }
  return first;
}

std::optional<LlmDesk::Answer> LlmDesk::next_arrived() {
  collect();
  auto next = arrived_.begin();
  if (recorded_now_) {
    next = std::ranges::min_element(arrived_, {}, [this](const Answer& answer) {
      return std::pair(end_of(answer), answer.request);
    });
  }
  if (next == arrived_.end()) {
    return std::nullopt;
  }
  Answer out = std::move(*next);
  arrived_.erase(next);
  return out;
}

Result<std::optional<LlmReplied>> LlmDesk::answer(RunRecorder& recorder) {
  if (!ready_.empty()) {
    LlmReplied out = std::move(ready_.back());
    ready_.pop_back();
    return std::optional(std::move(out));
  }
  const auto answer = next_arrived();
  if (!answer) {
    return std::optional<LlmReplied>();
  }
  const auto found = open_.find(answer->request);
  COPPICE_CHECK(found != open_.end());
  const Question question = std::move(found->second);
  open_.erase(found);
  const llm::Exchange& exchange = answer->exchange;
  LlmReplied out = refused(question.asked, "", false);
  out.prompt = question.prompt;
  out.cost.llm = exchange.time;
  out.cost.llm_tokens = exchange.usage.in + exchange.usage.out;
  out.cost.money = exchange.money.dollars();
  out.tokens_in = exchange.usage.in;
  out.tokens_out = exchange.usage.out;
  out.tokens_cached = exchange.usage.cached;
  out.model = setup_.models[question.model].name;
  const llm::Credit cost{0.0, exchange.money.dollars(), to_seconds(exchange.time)};
  if (const auto* failure = std::get_if<llm::Failure>(&exchange.outcome)) {
    out.message = fmt::format("{}: {}", llm::to_text(failure->kind), failure->message);
    out.gone = all_gone(failure->kind);
    ensemble_->failed(question.model, failure->kind, cost);
    return std::optional(std::move(out));
  }
  const llm::Reply& reply = std::get<llm::Reply>(exchange.outcome);
  COPPICE_TRY(out.reply, recorder.keep(reply.text));
  const auto understood = read(question, reply, cost, out, recorder);
  out.failed = !understood.ok();
  if (out.failed) {
    out.message = understood.error().message;
    ensemble_->failed(question.model, llm::FailureKind::bad_reply, cost);
  }
  return std::optional(std::move(out));
}

Result<void> LlmDesk::read(const Question& question,
                           const llm::Reply& reply,
                           const llm::Credit& cost,
                           LlmReplied& out,
                           RunRecorder& recorder) {
  if (question.asked.action == "advise") {
    return read_advice(reply, out);
  }
  COPPICE_TRY_VOID(read_idea(question, reply, out, recorder));
  owed_[to_json(out.idea->spec).dump()] = {question.model, cost};
  return {};
}

// Against the tree as it is: what is read here is decided on before anything else happens.
Result<void> LlmDesk::read_advice(const llm::Reply& reply, LlmReplied& out) const {
  COPPICE_TRY(const llm::Proposals read,
              llm::read_proposals(reply.text, facts_.scope(parts_.material)));
  for (const llm::Refused& refused : read.refused) {
    out.refused.push_back(refused.part + ": " + refused.reason);
  }
  if (read.edits.empty() && read.priors.empty()) {
    return Error{ErrorCode::config, "the advice holds nothing that could be taken"};
  }
  LlmAdvice advice;
  advice.edits = read.edits;
  for (const llm::Prior& prior : read.priors) {
    advice.priors.push_back({prior.axis, prior.level, prior.gain, prior.confidence});
  }
  out.advice = std::move(advice);
  return {};
}

Json LlmDesk::report() const {
  return ensemble_->report();
}

}  // namespace coppice::cli
