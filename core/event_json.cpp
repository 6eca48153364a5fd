// Events as canonical lines of JSON, version 1: {"kind": ..., "v": 1, members of the kind}.
#include "core/codec.h"
#include "core/event.h"
#include "core/event_tasks.h"

namespace coppice {
namespace {

constexpr std::string_view kStopReasons[] = {
    "budget_attempts", "budget_seconds", "budget_money", "exhausted", "user", "failed"};

// In the order of Event's alternatives; the first kInputs are inputs.
constexpr std::string_view kEventKinds[] = {"run_started",
                                            "baseline_frozen",
                                            "work_requested",
                                            "evaluated",
                                            "tick",
                                            "stop_requested",
                                            "resumed",
                                            "llm_replied",
                                            "slice_ended",
                                            "proposed",
                                            "edit_applied",
                                            "llm_asked",
                                            "stopped",
                                            "promoted",
                                            "idle",
                                            "allocated"};
constexpr std::size_t kInputs = 9;
static_assert(std::size(kEventKinds) == std::variant_size_v<Event>);
static_assert(std::is_same_v<std::variant_alternative_t<kInputs, Event>, Proposed>);

template <class Tag>
Json ids_json(const std::vector<Id<Tag>>& ids) {
  return Json::array_of(ids, [](Id<Tag> id) { return Json(id.value); });
}

Json body(const RunStarted& e) {
  Json json = Json::object();
  json.set("decision_version", e.decision_version)
      .set("run", e.run)
      .set("seed", e.seed)
      .set("config", e.config.hex())
      .set("op", e.op.hex())
      .set("target", e.target.hex())
      .set("warm", Json::array_of(e.warm, [](const Digest& d) { return Json(d.hex()); }));
  if (e.prompts) {
    json.set("prompts", e.prompts->hex());
  }
  set_if(json, "environment", !e.environment.is_null(), e.environment);
  set_if(json, "tasks", !e.tasks.empty(), Json::array_of(e.tasks, [](const std::string& task) {
           return Json(task);
         }));
  return json;
}

Result<Event> read_run_started(const JsonReader& json) {
  RunStarted e;
  Fields fields(json,
                {"v",
                 "kind",
                 "decision_version",
                 "run",
                 "seed",
                 "config",
                 "op",
                 "target",
                 "warm",
                 "prompts",
                 "environment",
                 "tasks"});
  fields.need("decision_version", e.decision_version)
      .need("run", e.run)
      .need("seed", e.seed)
      .need("config", e.config)
      .need("op", e.op)
      .need("target", e.target)
      .need("warm", e.warm)
      .maybe("prompts", e.prompts)
      .maybe("environment", e.environment)
      .maybe("tasks", e.tasks);
  return fields.done(Event(std::move(e)));
}

Json body(const BaselineFrozen& e) {
  Json json = Json::object();
  json.set("workload", e.workload)
      .set("name", e.name)
      .set("median_ns", e.median.count())
      .set("chosen", e.chosen)
      .set("prepacked", e.prepacked);
  set_if(json, "details", !e.details.is_null(), e.details);
  return json;
}

Result<Event> read_baseline_frozen(const JsonReader& json) {
  BaselineFrozen e;
  Fields fields(json,
                {"v", "kind", "workload", "name", "median_ns", "chosen", "prepacked", "details"});
  fields.need("workload", e.workload)
      .need("name", e.name)
      .need("median_ns", e.median)
      .need("chosen", e.chosen)
      .need("prepacked", e.prepacked)
      .maybe("details", e.details);
  return fields.done(Event(std::move(e)));
}

Json body(const WorkRequested& e) {
  return Json::object().set("lane", e.lane);
}

Result<Event> read_work_requested(const JsonReader& json) {
  WorkRequested e;
  Fields fields(json, {"v", "kind", "lane"});
  fields.need("lane", e.lane);
  return fields.done(Event(e));
}

Json body(const Evaluated& e) {
  return Json::object().set("evidence", to_json(e.evidence));
}

Result<Event> read_evaluated(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"v", "kind", "evidence"}));
  COPPICE_TRY(const JsonReader packet, json.at("evidence"));
  Evaluated e;
  COPPICE_TRY(e.evidence, evidence(packet));
  return Event(std::move(e));
}

Json body(const Tick& e) {
  return Json::object().set("elapsed_ns", e.elapsed.count());
}

Result<Event> read_tick(const JsonReader& json) {
  Tick e;
  Fields fields(json, {"v", "kind", "elapsed_ns"});
  fields.need("elapsed_ns", e.elapsed);
  return fields.done(Event(e));
}

Json body(const StopRequested& e) {
  Json json = Json::object();
  json.set("reason", e.reason);
  if (e.spent) {
    json.set("spent", to_text(*e.spent));
  }
  return json;
}

Result<Event> read_stop_requested(const JsonReader& json) {
  StopRequested e;
  Fields fields(json, {"v", "kind", "reason", "spent"});
  fields.need("reason", e.reason);
  if (json.find("spent")) {
    StopReason spent = StopReason::exhausted;
    fields.need_enum("spent", spent, stop_reason);
    e.spent = spent;
  }
  return fields.done(Event(std::move(e)));
}

Json body(const Resumed& e) {
  return Json::object().set("lost", ids_json(e.lost)).set("environment", e.environment);
}

Result<Event> read_resumed(const JsonReader& json) {
  Resumed e;
  Fields fields(json, {"v", "kind", "lost", "environment"});
  fields.need("lost", e.lost).need("environment", e.environment);
  return fields.done(Event(std::move(e)));
}

Json body(const LlmReplied& e) {
  Json out = Json::object();
  out.set("request", e.request.value).set("prompt", e.prompt.hex()).set("reply", e.reply.hex());
  out.set("failed", e.failed).set("message", e.message).set("cost", to_json(e.cost));
  out.set("model", e.model).set("tokens_in", e.tokens_in).set("tokens_out", e.tokens_out);
  out.set("tokens_cached", e.tokens_cached).set("gone", e.gone);
  out.set("refused", Json::array_of(e.refused, [](const std::string& text) { return Json(text); }));
  if (e.idea) {
    out.set("idea", to_json(*e.idea));
  }
  if (e.advice) {
    out.set("advice", to_json(*e.advice));
  }
  return out;
}

Result<Event> read_llm_replied(const JsonReader& json) {
  LlmReplied e;
  Fields fields(json,
                {"v",
                 "kind",
                 "request",
                 "prompt",
                 "reply",
                 "failed",
                 "message",
                 "cost",
                 "model",
                 "tokens_in",
                 "tokens_out",
                 "tokens_cached",
                 "gone",
                 "refused",
                 "idea",
                 "advice"});
  fields.need("request", e.request).need("prompt", e.prompt).need("reply", e.reply);
  fields.need("failed", e.failed).need("message", e.message).need("model", e.model);
  fields.need("tokens_in", e.tokens_in).need("tokens_out", e.tokens_out);
  fields.need("tokens_cached", e.tokens_cached).need("gone", e.gone).need("refused", e.refused);
  COPPICE_TRY(e, fields.done(std::move(e)));
  COPPICE_TRY(const JsonReader spent, json.at("cost"));
  COPPICE_TRY(e.cost, cost(spent));
  if (const auto at = json.find("idea")) {
    COPPICE_TRY(e.idea, llm_idea(*at));
  }
  if (const auto at = json.find("advice")) {
    COPPICE_TRY(e.advice, llm_advice(*at));
  }
  return Event(std::move(e));
}

Json prediction_json(const Prediction& prediction) {
  return Json::object()
      .set("log_cost", prediction.log_cost)
      .set("spread", prediction.spread)
      .set("p_valid", prediction.p_valid)
      .set("gain", prediction.gain)
      .set("cost_seconds", prediction.cost_seconds);
}

Result<Prediction> read_prediction(const JsonReader& json) {
  Prediction prediction;
  Fields fields(json, {"log_cost", "spread", "p_valid", "gain", "cost_seconds"});
  fields.need("log_cost", prediction.log_cost)
      .need("spread", prediction.spread)
      .need("p_valid", prediction.p_valid)
      .need("gain", prediction.gain)
      .need("cost_seconds", prediction.cost_seconds);
  return fields.done(prediction);
}

Json body(const Proposed& e) {
  Json json = Json::object();
  json.set("attempt", e.attempt.value)
      .set("candidate", e.candidate.value)
      .set("lane", e.lane)
      .set("node", e.node.value)
      .set("spec", to_json(e.spec))
      .set("parents", ids_json(e.parents))
      .set("mutator", e.mutator)
      .set("fidelity", to_text(e.fidelity))
      .set("why", e.why);
  if (e.prediction) {
    json.set("prediction", prediction_json(*e.prediction));
  }
  set_if(json, "opinion", e.opinion.has_value(), e.opinion.value_or(0.0));
  return json;
}

Result<Event> read_proposed(const JsonReader& json) {
  Proposed e;
  Fields fields(json,
                {"v",
                 "kind",
                 "attempt",
                 "candidate",
                 "lane",
                 "node",
                 "spec",
                 "parents",
                 "mutator",
                 "fidelity",
                 "why",
                 "prediction",
                 "opinion"});
  fields.need("attempt", e.attempt)
      .need("candidate", e.candidate)
      .need("lane", e.lane)
      .need("node", e.node)
      .need("parents", e.parents)
      .need("mutator", e.mutator)
      .need_enum("fidelity", e.fidelity, fidelity)
      .need("why", e.why)
      .maybe("opinion", e.opinion);
  COPPICE_TRY(e, fields.done(std::move(e)));
  COPPICE_TRY(const JsonReader spec, json.at("spec"));
  COPPICE_TRY(e.spec, candidate_spec(spec));
  if (const auto prediction = json.find("prediction")) {
    COPPICE_TRY(e.prediction, read_prediction(*prediction));
  }
  return Event(std::move(e));
}

Json body(const EditApplied& e) {
  return Json::object().set("edit", to_json(e.edit));
}

Result<Event> read_edit_applied(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"v", "kind", "edit"}));
  COPPICE_TRY(const JsonReader change, json.at("edit"));
  EditApplied e;
  COPPICE_TRY(e.edit, edit(change));
  return Event(std::move(e));
}

Json body(const LlmAsked& e) {
  return Json::object()
      .set("request", e.request.value)
      .set("node", e.node.value)
      .set("action", e.action)
      .set("parents", ids_json(e.parents))
      .set("why", e.why);
}

Result<Event> read_llm_asked(const JsonReader& json) {
  LlmAsked e;
  Fields fields(json, {"v", "kind", "request", "node", "action", "parents", "why"});
  fields.need("request", e.request).need("node", e.node).need("action", e.action);
  fields.need("parents", e.parents).need("why", e.why);
  return fields.done(Event(std::move(e)));
}

Json body(const Stopped& e) {
  return Json::object().set("reason", to_text(e.reason)).set("message", e.message);
}

Result<Event> read_stopped(const JsonReader& json) {
  Stopped e;
  Fields fields(json, {"v", "kind", "reason", "message"});
  fields.need_enum("reason", e.reason, stop_reason).need("message", e.message);
  return fields.done(Event(std::move(e)));
}

Json body(const Promoted& e) {
  return Json::object()
      .set("candidate", e.candidate.value)
      .set("attempt", e.attempt.value)
      .set("precision", e.precision);
}

Result<Event> read_promoted(const JsonReader& json) {
  Promoted e;
  Fields fields(json, {"v", "kind", "candidate", "attempt", "precision"});
  fields.need("candidate", e.candidate).need("attempt", e.attempt).need("precision", e.precision);
  return fields.done(Event(std::move(e)));
}

Json body(const Idle& e) {
  return Json::object().set("lane", e.lane);
}

Result<Event> read_idle(const JsonReader& json) {
  Idle e;
  Fields fields(json, {"v", "kind", "lane"});
  fields.need("lane", e.lane);
  return fields.done(Event(e));
}

using Read = Result<Event> (*)(const JsonReader&);
constexpr Read kReaders[] = {read_run_started,
                             read_baseline_frozen,
                             read_work_requested,
                             read_evaluated,
                             read_tick,
                             read_stop_requested,
                             read_resumed,
                             read_llm_replied,
                             read_slice_ended,
                             read_proposed,
                             read_edit_applied,
                             read_llm_asked,
                             read_stopped,
                             read_promoted,
                             read_idle,
                             read_allocated};
static_assert(std::size(kReaders) == std::size(kEventKinds));

}  // namespace

std::string_view to_text(StopReason reason) {
  return kStopReasons[static_cast<std::size_t>(reason)];
}
Result<StopReason> stop_reason(std::string_view text) {
  return enum_named<StopReason>("reason", kStopReasons, text);
}

Json to_json(const CandidateSpec& spec) {
  Json json = Json::object();
  set_if(json, "template", !spec.template_name.empty(), spec.template_name);
  set_if(json,
         "genome",
         !spec.genome.levels.empty(),
         Json::array_of(spec.genome.levels, [](std::uint16_t level) { return Json(int{level}); }));
  if (spec.source) {
    json.set("source", spec.source->hex());
  }
  if (spec.plan) {
    json.set("plan", spec.plan->hex());
  }
  return json;
}

Result<CandidateSpec> candidate_spec(const JsonReader& json) {
  CandidateSpec spec;
  Fields fields(json, {"template", "genome", "source", "plan"});
  fields.maybe("template", spec.template_name)
      .maybe("source", spec.source)
      .maybe("plan", spec.plan);
  COPPICE_TRY(spec, fields.done(std::move(spec)));
  if (const auto genome = json.find("genome")) {
    COPPICE_TRY(const std::vector<JsonReader> items, genome->items());
    for (const JsonReader& item : items) {
      COPPICE_TRY(const std::int64_t level, item.integer_in(0, UINT16_MAX));
      spec.genome.levels.push_back(static_cast<std::uint16_t>(level));
    }
  }
  return spec;
}

bool is_input(const Event& event) {
  return event.index() < kInputs;
}

std::string_view kind_of(const Event& event) {
  return kEventKinds[event.index()];
}

std::string encode(const Event& event) {
  Json json = std::visit([](const auto& e) { return body(e); }, event);
  json.set("v", 1).set("kind", kind_of(event));
  return json.dump();
}

Result<Event> decode(std::string_view bytes) {
  COPPICE_TRY(const Json json, Json::parse(bytes, "event"));
  const JsonReader reader = json.reader("event");
  COPPICE_TRY(const JsonReader version, reader.at("v"));
  COPPICE_TRY_VOID(version.integer_in(1, 1));
  COPPICE_TRY(const JsonReader kind, reader.at("kind"));
  COPPICE_TRY(const std::string name, kind.text());
  for (std::size_t i = 0; i < std::size(kEventKinds); ++i) {
    if (kEventKinds[i] == name) {
      return kReaders[i](reader);
    }
  }
  return kind.error("a known kind of event");
}

}  // namespace coppice
