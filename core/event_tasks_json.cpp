// The events of runs that are made of tasks, as JSON.
#include "core/codec.h"
#include "core/event_tasks.h"

namespace coppice {

Json body(const SliceEnded& e) {
  Json json = Json::object();
  json.set("task", e.task).set("attempts", e.attempts).set("valid", e.valid);
  json.set("took_ns", e.took.count()).set("events", e.events).set("head", e.head.hex());
  if (e.best_log_cost) {
    json.set("best_log_cost", *e.best_log_cost);
  }
  if (e.stopped) {
    json.set("stopped",
             Json::object()
                 .set("reason", to_text(e.stopped->reason))
                 .set("message", e.stopped->message));
  }
  set_if(json, "failed", !e.failed.empty(), e.failed);
  return json;
}

Result<Event> read_slice_ended(const JsonReader& json) {
  SliceEnded e;
  Fields fields(json,
                {"v",
                 "kind",
                 "task",
                 "attempts",
                 "valid",
                 "took_ns",
                 "best_log_cost",
                 "stopped",
                 "failed",
                 "events",
                 "head"});
  fields.need("task", e.task).need("attempts", e.attempts).need("valid", e.valid);
  fields.need("took_ns", e.took).maybe("best_log_cost", e.best_log_cost);
  fields.maybe("failed", e.failed).need("events", e.events).need("head", e.head);
  COPPICE_TRY(e, fields.done(std::move(e)));
  if (const auto member = json.find("stopped")) {
    Stopped ended;
    Fields parts(*member, {"reason", "message"});
    parts.need_enum("reason", ended.reason, stop_reason).need("message", ended.message);
    COPPICE_TRY(e.stopped, parts.done(std::move(ended)));
  }
  return Event(std::move(e));
}

Json body(const Allocated& e) {
  return Json::object()
      .set("task", e.task)
      .set("attempts", e.attempts)
      .set("seconds_ns", e.seconds.count())
      .set("last", e.last)
      .set("why", e.why);
}

Result<Event> read_allocated(const JsonReader& json) {
  Allocated e;
  Fields fields(json, {"v", "kind", "task", "attempts", "seconds_ns", "last", "why"});
  fields.need("task", e.task).need("attempts", e.attempts).need("seconds_ns", e.seconds);
  fields.need("last", e.last).need("why", e.why);
  return fields.done(Event(std::move(e)));
}

}  // namespace coppice
