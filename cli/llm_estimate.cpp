// Counts templates, points, questions and dollars before a run begins.
#include "cli/llm_estimate.h"

#include "cli/llm_facts.h"
#include "llm/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::cli {
namespace {

// Tokens of a first question about the first template.
Result<std::int64_t> prompt_tokens(const RunMaterial& material) {
  const TemplateSpace& first = material.templates.spaces.front();
  Proposed proposal;
  proposal.candidate = {1};
  proposal.spec.template_name = first.name;
  proposal.spec.genome = first.space.canonical(first.space.default_genome());
  LlmFacts facts;
  facts.proposed(proposal);
  COPPICE_TRY(const auto sections, facts.sections(material, {{1}, {}, "rewrite", {{1}}, ""}));
  COPPICE_TRY(const llm::Prompt prompt,
              llm::build_prompt(
                  llm::PromptSet::shipped(), "rewrite", sections, material.llm->prompt_tokens));
  return prompt.tokens;
}

// Questions at most; nothing when only time limits them. A reply without a candidate costs no
// attempt, but after three in a row the model rests for eight.
std::optional<std::int64_t> most_questions(const RunMaterial& material) {
  const std::int64_t attempts = material.config.search.budget.attempts;
  std::optional<std::int64_t> most;
  if (attempts > 0) {
    const double share = material.llm->search.share;
    most = 1 + static_cast<std::int64_t>(std::ceil(share * static_cast<double>(attempts))) +
           3 * (attempts / 8 + 1);
    const std::int64_t advise = material.llm->search.advise;
    *most += advise > 0 ? attempts / ((advise + 1) / 2) : 0;
  }
  if (material.llm->budget.requests > 0) {
    most = std::min(most.value_or(material.llm->budget.requests), material.llm->budget.requests);
  }
  return most;
}

Json model_plan(const LlmModel& model, std::int64_t prompt, std::optional<std::int64_t> questions) {
  Json out = Json::object();
  out.set("name", model.name).set("provider", model.provider).set("model", model.model);
  out.set("most_tokens_out", model.call.max_tokens);
  if (model.gateway.price) {
    const llm::Usage usage{.in = prompt, .out = model.call.max_tokens};
    const double one = llm::cost_of(*model.gateway.price, usage).dollars();
    out.set("most_dollars_a_question", one);
    if (questions) {
      out.set("most_dollars", one * static_cast<double>(*questions));
    }
  }
  return out;
}

}  // namespace

Result<Json> dry_run(const RunMaterial& material) {
  Json out = Json::object();
  out.set("schema", 1).set("op", material.op.name).set("suite", material.config.suite);
  out.set("target", material.target.name);
  out.set("attempts", material.config.search.budget.attempts);
  out.set("seconds", to_seconds(material.config.search.budget.seconds));
  out.set("templates", Json::array_of(material.templates.spaces, [](const TemplateSpace& space) {
            return Json::object().set("name", space.name).set("points", space.space.raw_size());
          }));
  if (!material.llm) {
    return out;
  }
  COPPICE_TRY(const std::int64_t prompt, prompt_tokens(material));
  const auto questions = most_questions(material);
  Json llm = Json::object();
  llm.set("prompt_tokens", prompt).set("share", material.llm->search.share);
  llm.set("prompts", llm::PromptSet::shipped().digest().hex());
  if (questions) {
    llm.set("most_questions", *questions);
  }
  const llm::Budget& budget = material.llm->budget;
  llm.set("budget",
          Json::object()
              .set("requests", budget.requests)
              .set("tokens", budget.tokens)
              .set("dollars", budget.money.dollars())
              .set("seconds", to_seconds(budget.time)));
  llm.set("models", Json::array_of(material.llm->models, [&](const LlmModel& model) {
            return model_plan(model, prompt, questions);
          }));
  out.set("llm", std::move(llm));
  return out;
}

std::string dry_run_text(const Json& plan) {
  const JsonReader root = plan.reader("plan");
  const auto text = [](const JsonReader& at, std::string_view key) {
    return at.text_or(key, "").value();
  };
  const auto number = [](const JsonReader& at, std::string_view key) {
    const auto member = at.find(key);
    return member && member->is_number() ? member->real().value() : 0.0;
  };
  std::string out = fmt::format(
      "{} on suite {} for {}\n", text(root, "op"), text(root, "suite"), text(root, "target"));
  const auto templates = root.at("templates").value().items().value();
  for (const JsonReader& item : templates) {
    out += fmt::format(
        "template {}: {:.0f} combinations of levels\n", text(item, "name"), number(item, "points"));
  }
  out += fmt::format("budget: {:.0f} attempts, {:.0f} s (0: no limit)\n",
                     number(root, "attempts"),
                     number(root, "seconds"));
  const auto llm = root.find("llm");
  if (!llm) {
    return out + "no language model is asked\n";
  }
  const JsonReader budget = llm->at("budget").value();
  out += fmt::format(
      "language models: at most {:.0f} % of the attempts; budget {:.0f} requests, {:.0f} "
      "tokens, {:.2f} dollars, {:.0f} s (0: no limit)\n",
      100.0 * number(*llm, "share"),
      number(budget, "requests"),
      number(budget, "tokens"),
      number(budget, "dollars"),
      number(budget, "seconds"));
  out += fmt::format("a first question has about {:.0f} tokens", number(*llm, "prompt_tokens"));
  out += llm->find("most_questions")
             ? fmt::format(", there are at most {:.0f}\n", number(*llm, "most_questions"))
             : std::string("; only the budget limits how many there are\n");
  const auto models = llm->at("models").value().items().value();
  for (const JsonReader& model : models) {
    out += fmt::format("{} ({}): ", text(model, "name"), text(model, "provider"));
    out += model.find("most_dollars_a_question")
               ? fmt::format("at most {:.4f} dollars a question",
                             number(model, "most_dollars_a_question"))
               : std::string("its price is not known");
    out += model.find("most_dollars")
               ? fmt::format(", {:.2f} in all before the budget\n", number(model, "most_dollars"))
               : std::string("\n");
  }
  return out;
}

}  // namespace coppice::cli
