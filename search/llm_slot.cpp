// Asks in turn for repairs and for new ideas; a model that brings nothing is asked ever more
// rarely.
#include "search/llm_slot.h"

#include "core/pinned_math.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

constexpr int kFailuresBeforeRest = 3;     // replies without a candidate
constexpr std::int64_t kRest = 8;          // attempts of the run; doubled each time
constexpr int kFruitlessBeforeLess = 4;    // ideas in a row that gained nothing halve the share
constexpr int kLeastShare = 4;             // times halved at most
constexpr std::size_t kMostVariants = 12;  // of one idea
// The other levels of an idea's axes are tried when its first version is at most so far behind.
constexpr double kNearEnough = 0.7;  // in log cost

std::string spec_text(const CandidateSpec& spec) {
  return to_json(spec).dump();
}

bool repairable(FailureClass failure) {
  switch (failure) {
    case FailureClass::plan_invalid:
    case FailureClass::compile_error:
    case FailureClass::crash:
    case FailureClass::memory_limit:
    case FailureClass::unwritten_output:
    case FailureClass::guard_damaged:
    case FailureClass::wrong_result:
    case FailureClass::non_finite:
    case FailureClass::unstable:
    case FailureClass::hang:
      return true;
    default:
      return false;  // forbidden, too slow, or not its fault
  }
}

std::string percent_text(double log_gain) {
  return fmt::format("{:.3g} %", 100.0 * (pinned::exp(log_gain) - 1.0));
}

}  // namespace

bool LlmSlot::may_ask() const {
  if (gone_ || shared_.book.attempts < resume_at_ || !shared_.book.best(0)) {
    return false;
  }
  double share = options_.share;
  for (int i = kFruitlessBeforeLess;
       i <= fruitless_in_a_row_ && i < kFruitlessBeforeLess * (kLeastShare + 1);
       i += kFruitlessBeforeLess) {
    share *= 0.5;
  }
  const auto under_way = static_cast<double>(asked_.size() + ready_.size());
  return static_cast<double>(attempts_) + under_way <
         1.0 + share * static_cast<double>(shared_.book.attempts);
}

void LlmSlot::send_ask(Ask ask, std::vector<Event>& out) {
  LlmAsked asked;
  asked.request = {++requests_};
  asked.node = ask.node;
  asked.action = ask.action;
  asked.parents = ask.parents;
  asked.why = ask.why;
  asked_.emplace(asked.request, std::move(ask));
  out.emplace_back(std::move(asked));
}

void LlmSlot::ask(std::vector<Event>& out) {
  const auto slots = static_cast<std::size_t>(options_.slots);
  if (asked_.size() + ready_.size() < slots && advice_due()) {
    advising_ = true;
    const CandidateId best = *shared_.book.best(0);
    send_ask({{1},
              "advise",
              {best},
              fmt::format("{} attempts since the search was last looked at",
                          shared_.book.attempts - advised_at_)},
             out);
    advised_at_ = shared_.book.attempts;
  }
  while (asked_.size() + ready_.size() < slots && may_ask()) {
    auto ask = next_ask();
    if (!ask) {
      return;
    }
    send_ask(std::move(*ask), out);
  }
}

// A failed idea is repaired before there is a new one.
std::optional<LlmSlot::Ask> LlmSlot::next_ask() {
  if (!repairs_.empty()) {
    Ask ask = std::move(repairs_.front());
    repairs_.pop_front();
    return ask;
  }
  if (auto planned = next_planned()) {
    return planned;
  }
  if (options_.actions.empty()) {
    return std::nullopt;
  }
  const CandidateId best = *shared_.book.best(0);
  Ask ask;
  ask.action = options_.actions[turns_++ % options_.actions.size()];
  ask.parents = {best};
  ask.why = fmt::format("candidate {} is the best so far", best.value);
  if (ask.action == "crossover") {
    const auto second = second_parent(best);
    if (!second) {
      ask.action = "rewrite";
    } else {
      ask.parents.push_back(*second);
      ask.why += fmt::format(", candidate {} the best of another kind", second->value);
    }
  }
  const auto origin = origin_.find(best);
  ask.node = origin == origin_.end() ? NodeId{} : origin->second;
  return ask;
}

// The best candidate that comes from another template, or from another idea.
std::optional<CandidateId> LlmSlot::second_parent(CandidateId first) const {
  const CandidateRecord& one = shared_.book.at(first);
  for (const CandidateId id : shared_.book.leaders(0)) {
    const CandidateRecord& other = shared_.book.at(id);
    const bool same = one.point && other.point
                          ? one.point->template_index == other.point->template_index
                          : !one.point && !other.point && one.node == other.node;
    if (id != first && !same) {
      return id;
    }
  }
  return std::nullopt;
}

NodeId LlmSlot::collector(std::vector<Event>& out) {
  if (collector_) {
    return *collector_;
  }
  Insert insert;
  insert.node = shared_.tree.next_id();
  insert.parent = {1};
  insert.kind = NodeKind::template_root;
  insert.title = "ideas of the language model";
  insert.reason = "a model was asked and has answered";
  collector_ = insert.node;
  shared_.edit(std::move(insert), out);
  Update active;
  active.node = *collector_;
  active.state = NodeState::active;
  active.reason = "its children carry the work";
  shared_.edit(std::move(active), out);
  return *collector_;
}

NodeId LlmSlot::open_idea(const Ask& ask, const LlmReplied& reply, std::vector<Event>& out) {
  const NodeId above = collector(out);
  Insert insert;
  insert.node = shared_.tree.next_id();
  insert.parent = ask.node && !ask.planned ? ask.node : above;
  insert.kind = NodeKind::idea;
  insert.title = reply.idea->title;
  insert.text = reply.idea->text;
  insert.reason = fmt::format("{} of candidate {} by {}",
                              ask.action,
                              ask.parents.front().value,
                              reply.model.empty() ? "the model" : reply.model);
  const NodeId node = insert.node;
  shared_.edit(std::move(insert), out);
  Update active;
  active.node = node;
  active.state = NodeState::active;
  active.reason = "its code is tried";
  shared_.edit(std::move(active), out);
  return node;
}

void LlmSlot::close(NodeId node, std::string reason, std::vector<Event>& out) {
  Update update;
  update.node = node;
  update.state = NodeState::closed;
  update.best = shared_.tree.at(node).best;
  update.reason = std::move(reason);
  shared_.edit(std::move(update), out);
}

void LlmSlot::failed() {
  if (++failures_in_a_row_ % kFailuresBeforeRest == 0) {
    const int times = std::min(failures_in_a_row_ / kFailuresBeforeRest - 1, 16);
    resume_at_ = shared_.book.attempts + (kRest << times);
  }
}

void LlmSlot::fruitless() {
  ++fruitless_in_a_row_;
}

void LlmSlot::take(const LlmReplied& reply, std::vector<Event>& out) {
  const auto found = asked_.find(reply.request);
  if (found == asked_.end()) {
    return;
  }
  const Ask ask = std::move(found->second);
  asked_.erase(found);
  gone_ = gone_ || reply.gone;
  if (ask.action == "advise") {
    take_advice(reply, out);
    return;
  }
  const bool repair = ask.action == "repair";
  const bool fresh = reply.idea && known_.insert(spec_text(reply.idea->spec)).second;
  if (!fresh) {
    failed();
    if (repair) {
      close(ask.node,
            reply.idea ? "the repair is code that was tried before"
                       : "no repair came: " + reply.message,
            out);
      fruitless();
    } else if (ask.planned) {
      close(ask.node, "no code came: " + reply.message, out);
    }
    return;
  }
  failures_in_a_row_ = 0;
  const NodeId node = repair ? ask.node : open_idea(ask, reply, out);
  if (ask.planned) {
    close(ask.node, fmt::format("its code is tried under node {}", node.value), out);
  }
  ideas_.try_emplace(node, Idea{{}, shared_.book.best_log_cost(0).value_or(0.0), 0, {}});
  LlmWork work{reply.idea->spec, node, "llm_" + ask.action, ask.parents, reply.idea->title};
  Idea& idea = ideas_.at(node);
  idea.variants.clear();
  for (const Genome& genome : reply.idea->variants) {
    LlmWork variant = work;
    variant.spec.genome = genome;
    variant.why += ", with other levels of its axes";
    if (idea.variants.size() < kMostVariants && known_.insert(spec_text(variant.spec)).second) {
      idea.variants.push_back(std::move(variant));
    }
  }
  ready_.push_back(std::move(work));
}

void LlmSlot::lost() {
  for (auto& [request, ask] : asked_) {
    if (ask.action == "repair") {
      repairs_.push_back(std::move(ask));
    } else if (ask.planned) {
      planned_.push_back(ask.node);
    }
  }
  asked_.clear();
  advising_ = false;
}

std::optional<LlmWork> LlmSlot::next() {
  if (ready_.empty()) {
    return std::nullopt;
  }
  LlmWork work = std::move(ready_.front());
  ready_.pop_front();
  return work;
}

void LlmSlot::sent(const LlmWork& work, CandidateId candidate) {
  ++attempts_;
  origin_.emplace(candidate, work.node);
}

void LlmSlot::learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>& out) {
  const auto origin = origin_.find(lesson.candidate);
  if (origin == origin_.end()) {
    return;
  }
  const NodeId node = origin->second;
  Idea& idea = ideas_.at(node);
  const bool failure = !lesson.valid && repairable(lesson.failure) && !idea.best;
  if (failure && idea.repairs < options_.repairs) {
    ++idea.repairs;
    idea.variants.clear();
    Ask ask{
        node,
        "repair",
        {lesson.candidate},
        fmt::format(
            "candidate {} failed: {}", lesson.candidate.value, coppice::to_text(lesson.failure))};
    repairs_.push_back(std::move(ask));
    return;
  }
  if (lesson.valid && (!idea.best || lesson.log_cost < *idea.best)) {
    idea.best = lesson.log_cost;
  }
  // As a template of the run its levels are the rules' to try.
  const bool grown = shared_.book.at(lesson.candidate).point.has_value();
  if (lesson.valid && !grown && lesson.log_cost < idea.bar + kNearEnough) {
    for (LlmWork& variant : idea.variants) {
      variant.parents = {attempt.proposed.candidate};
      ready_.push_back(std::move(variant));
    }
  }
  idea.variants.clear();
  judge(node, lesson, out);
}

// Says at the idea's node what came of it, once nothing more is under way for it.
void LlmSlot::judge(NodeId node, const Lesson& lesson, std::vector<Event>& out) {
  Idea& idea = ideas_.at(node);
  const auto pending =
      std::ranges::any_of(ready_, [node](const LlmWork& work) { return work.node == node; });
  const bool in_flight = std::ranges::any_of(shared_.book.in_flight, [node](const auto& entry) {
    return entry.second.proposed.node == node;
  });
  if (pending || in_flight || shared_.tree.at(node).state == NodeState::closed) {
    return;
  }
  const double gain = idea.best ? idea.bar - *idea.best : -1.0;
  if (gain > 0.0) {
    fruitless_in_a_row_ = 0;
    close(node, fmt::format("faster by {} than the best before it", percent_text(gain)), out);
    return;
  }
  fruitless();
  close(node,
        idea.best
            ? fmt::format("right, but slower by {} than the best before it", percent_text(-gain))
            : fmt::format(
                  "given up after {} repairs: {}", idea.repairs, coppice::to_text(lesson.failure)),
        out);
}

}  // namespace coppice::search
