// What language models proposed, as JSON inside their replies' events.
#include "core/codec.h"
#include "core/event.h"

namespace coppice {

Json to_json(const LlmIdea& idea) {
  Json out = Json::object();
  out.set("title", idea.title)
      .set("text", idea.text)
      .set("spec", to_json(idea.spec))
      .set("variants", Json::array_of(idea.variants, [](const Genome& genome) {
             return Json::array_of(genome.levels, [](std::uint16_t level) { return int{level}; });
           }));
  set_if(out, "space", !idea.space.is_null(), idea.space);
  return out;
}

Result<LlmIdea> llm_idea(const JsonReader& json) {
  LlmIdea idea;
  std::vector<std::vector<int>> variants;
  Fields fields(json, {"title", "text", "spec", "variants", "space"});
  fields.need("title", idea.title).need("text", idea.text);
  fields.need("variants", variants).maybe("space", idea.space);
  COPPICE_TRY(idea, fields.done(std::move(idea)));
  COPPICE_TRY(const JsonReader at, json.at("spec"));
  COPPICE_TRY(idea.spec, candidate_spec(at));
  for (const std::vector<int>& levels : variants) {
    Genome genome;
    for (const int level : levels) {
      if (level < 0 || level > 65535) {
        return json.complain("a level is out of range");
      }
      genome.levels.push_back(static_cast<std::uint16_t>(level));
    }
    idea.variants.push_back(std::move(genome));
  }
  return idea;
}

Json to_json(const LlmAdvice& advice) {
  return Json::object()
      .set("edits", Json::array_of(advice.edits, [](const Edit& edit) { return to_json(edit); }))
      .set("priors", Json::array_of(advice.priors, [](const LlmPrior& prior) {
             return Json::object()
                 .set("axis", prior.axis)
                 .set("level", Json(prior.level))
                 .set("gain", prior.gain)
                 .set("confidence", prior.confidence);
           }));
}

Result<LlmAdvice> llm_advice(const JsonReader& json) {
  LlmAdvice advice;
  COPPICE_TRY_VOID(json.only_keys({"edits", "priors"}));
  COPPICE_TRY(const JsonReader edits, json.at("edits"));
  COPPICE_TRY(const std::vector<JsonReader> changes, edits.items());
  for (const JsonReader& change : changes) {
    COPPICE_TRY(Edit one, edit(change));
    advice.edits.push_back(std::move(one));
  }
  COPPICE_TRY(const JsonReader priors, json.at("priors"));
  COPPICE_TRY(const std::vector<JsonReader> beliefs, priors.items());
  for (const JsonReader& belief : beliefs) {
    LlmPrior prior;
    Fields fields(belief, {"axis", "level", "gain", "confidence"});
    fields.need("axis", prior.axis).need("gain", prior.gain).need("confidence", prior.confidence);
    COPPICE_TRY(prior, fields.done(std::move(prior)));
    COPPICE_TRY(const JsonReader level, belief.at("level"));
    COPPICE_TRY(prior.level, level.value());
    advice.priors.push_back(std::move(prior));
  }
  return advice;
}

}  // namespace coppice
