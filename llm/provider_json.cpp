// Calls and replies as JSON: the bytes that identify a call, and what a cassette keeps.
#include "core/codec.h"
#include "llm/provider.h"

namespace coppice::llm {

Json to_json(const Usage& usage) {
  Json json = Json::object();
  json.set("in", usage.in).set("out", usage.out).set("counted", usage.counted);
  set_if(json, "cached", usage.cached != 0, usage.cached);
  set_if(json, "written", usage.written != 0, usage.written);
  set_if(json, "reasoning", usage.reasoning != 0, usage.reasoning);
  return json;
}

Result<Usage> usage(const JsonReader& json) {
  Usage out;
  Fields fields(json, {"in", "out", "counted", "cached", "written", "reasoning"});
  fields.need("in", out.in)
      .need("out", out.out)
      .maybe("counted", out.counted)
      .maybe("cached", out.cached)
      .maybe("written", out.written)
      .maybe("reasoning", out.reasoning);
  return fields.done(out);
}

Json to_json(const Call& call) {
  Json json = Json::object();
  json.set("v", 1).set("model", call.model).set("max_tokens", call.max_tokens);
  json.set("messages", Json::array_of(call.messages, [](const LlmMessage& message) {
             return Json::object().set("role", message.role).set("text", message.text);
           }));
  set_if(json, "schema", !call.reply_schema.empty(), call.reply_schema);
  if (call.temperature) {
    json.set("temperature", *call.temperature);
  }
  set_if(json, "reasoning_effort", !call.reasoning_effort.empty(), call.reasoning_effort);
  set_if(json, "extra", !call.extra.empty(), call.extra);
  set_if(json, "sample", call.sample != 0, call.sample);
  return json;
}

Digest Call::identity() const {
  return sha256(to_json(*this).dump());
}

Json to_json(const Reply& reply) {
  Json json = Json::object();
  json.set("text", reply.text)
      .set("usage", to_json(reply.usage))
      .set("finish", to_text(reply.finish))
      .set("latency_ns", reply.latency.count());
  set_if(json, "request_id", !reply.request_id.empty(), reply.request_id);
  set_if(json, "model", !reply.model.empty(), reply.model);
  return json;
}

Result<Reply> reply(const JsonReader& json) {
  Reply out;
  Json counts;
  Fields fields(json, {"text", "usage", "finish", "latency_ns", "request_id", "model"});
  fields.need("text", out.text)
      .need("usage", counts)
      .need_enum("finish", out.finish, finish)
      .maybe("latency_ns", out.latency)
      .maybe("request_id", out.request_id)
      .maybe("model", out.model);
  COPPICE_TRY(out, fields.done(std::move(out)));
  COPPICE_TRY(const JsonReader at, json.at("usage"));
  COPPICE_TRY(out.usage, usage(at));
  return out;
}

}  // namespace coppice::llm
