// Makes each question of a run again and compares its messages with those that were sent.
#include "cli/prompt_check.h"

#include "cli/llm_facts.h"

namespace coppice::cli {
namespace {

Result<bool> same_messages(const std::string& sent, const llm::Prompt& prompt) {
  COPPICE_TRY(const Json call, Json::parse(sent, "prompt"));
  COPPICE_TRY(const JsonReader list, call.reader("prompt").at("messages"));
  COPPICE_TRY(const auto items, list.items());
  bool same = items.size() == prompt.messages.size();
  for (std::size_t i = 0; same && i < items.size(); ++i) {
    COPPICE_TRY(const std::string text, items[i].text_or("text", ""));
    same = text == prompt.messages[i].text;
  }
  return same;
}

}  // namespace

Result<PromptCheck> check_prompts(const RunReader& run) {
  PromptCheck out;
  if (!run.material().llm) {
    return out;
  }
  COPPICE_TRY(const llm::PromptSet texts, prompts_of(run.log(), run.material()));
  const std::int64_t budget = run.material().llm->prompt_tokens;
  std::map<LlmRequestId, llm::Prompt> made;
  LlmFacts facts;
  COPPICE_TRY_VOID(run.log().visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    facts.take(event);
    if (const auto* asked = std::get_if<LlmAsked>(&event)) {
      const auto sections = facts.sections(run.material(), *asked);
      auto prompt = sections.ok() ? llm::build_prompt(texts, asked->action, *sections, budget)
                                  : Result<llm::Prompt>(sections.error());
      if (prompt.ok()) {
        made[asked->request] = std::move(*prompt);
      }
    }
    const auto* replied = std::get_if<LlmReplied>(&event);
    if (replied != nullptr && replied->prompt != Digest()) {
      ++out.sent;
      COPPICE_TRY(const std::string sent, run.log().blob(replied->prompt).within("prompt"));
      const auto found = made.find(replied->request);
      if (found != made.end()) {
        COPPICE_TRY(const bool same, same_messages(sent, found->second));
        out.same += same ? 1 : 0;
      }
    }
    return true;
  }));
  return out;
}

}  // namespace coppice::cli
