// How layouts and CandidateStarts are written; only what the processes need.

#include "core/codec.h"
#include "evaluators/cpu/candidate_process.h"

namespace coppice::evaluators::cpu {
namespace {

Json place_json(const Place& p) {
  return Json::object()
      .set("name", p.tensor.name)
      .set("bytes", p.tensor.bytes)
      .set("region", p.region)
      .set("region_bytes", p.region_bytes)
      .set("data", p.data);
}

Result<Place> read_place(const JsonReader& json) {
  Place p;
  Fields fields(json, {"name", "bytes", "region", "region_bytes", "data"});
  fields.need("name", p.tensor.name).need("bytes", p.tensor.bytes).need("region", p.region);
  return fields.need("region_bytes", p.region_bytes).need("data", p.data).done(std::move(p));
}

Result<std::vector<Place>> read_places(const JsonReader& json, std::string_view key) {
  COPPICE_TRY(const JsonReader array, json.at(key));
  COPPICE_TRY(const std::vector<JsonReader> items, array.items());
  std::vector<Place> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(Place place, read_place(item));
    out.push_back(std::move(place));
  }
  return out;
}

}  // namespace

Json to_json(const Layout& layout) {
  Json out = Json::object();
  out.set("inputs", Json::array_of(layout.inputs, place_json));
  out.set("outputs", Json::array_of(layout.outputs, place_json));
  return out.set("inputs_bytes", layout.inputs_bytes).set("slot_bytes", layout.slot_bytes);
}

Result<Layout> layout(const JsonReader& json) {
  Layout out;
  Fields fields(json, {"inputs", "outputs", "inputs_bytes", "slot_bytes"});
  fields.need("inputs_bytes", out.inputs_bytes).need("slot_bytes", out.slot_bytes);
  COPPICE_TRY(out, fields.done(std::move(out)));
  COPPICE_TRY(out.inputs, read_places(json, "inputs"));
  COPPICE_TRY(out.outputs, read_places(json, "outputs"));
  return out;
}

Json to_json(const CandidateStart& s) {
  Json slices = Json::object();
  for (const auto& [name, offset] : s.workspace.slices) {
    slices.set(name, offset);
  }
  Json out = Json::object();
  out.set("layout", to_json(s.layout))
      .set("slices", std::move(slices))
      .set("workspace_bytes", s.workspace.bytes);
  out.set("plan", coppice::to_json(s.plan)).set("slots", s.slots).set("threads", s.threads);
  return out;
}

Result<CandidateStart> candidate_start(const JsonReader& json) {
  CandidateStart s;
  std::map<std::string, std::uint64_t, std::less<>> slices;
  Fields fields(json, {"layout", "slices", "workspace_bytes", "plan", "slots", "threads"});
  fields.need("slices", slices).need("workspace_bytes", s.workspace.bytes);
  COPPICE_TRY(s, fields.need("slots", s.slots).need("threads", s.threads).done(std::move(s)));
  for (const auto& [name, offset] : slices) {
    s.workspace.slices.emplace_back(name, offset);
  }
  COPPICE_TRY(const JsonReader places, json.at("layout"));
  COPPICE_TRY(s.layout, layout(places));
  COPPICE_TRY(const JsonReader plan, json.at("plan"));
  COPPICE_TRY(s.plan, resolved_plan(plan));
  return s;
}

}  // namespace coppice::evaluators::cpu
