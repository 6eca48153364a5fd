// `coppice prompt`: what a language model was, or would be, told about a node.
#include "llm/prompt.h"

#include "cli/commands.h"
#include "cli/llm_facts.h"
#include "cli/llm_setup.h"
#include "cli/run_reader.h"

#include <fmt/format.h>

#include <charconv>

namespace coppice::cli {
namespace {

struct Told {
  LlmAsked asked;
  LlmFacts facts;    // as they were when it was asked
  std::string sent;  // blob of the prompt; empty: not sent (yet)
};

// The last question about the node, or what would be asked now.
Result<Told> told_about(const RunReader& run, NodeId node) {
  std::optional<Told> last;
  LlmFacts facts;
  COPPICE_TRY_VOID(run.log().visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    const auto* asked = std::get_if<LlmAsked>(&event);
    if (asked != nullptr && asked->node == node) {
      last = Told{*asked, facts, ""};
    }
    const auto* replied = std::get_if<LlmReplied>(&event);
    if (replied != nullptr && last && replied->request == last->asked.request &&
        replied->prompt != Digest()) {
      COPPICE_TRY(last->sent, run.log().blob(replied->prompt).within("prompt"));
    }
    facts.take(event);
    return true;
  }));
  if (!last) {
    COPPICE_TRY(const LlmAsked asked, facts.would_ask(node));
    last = Told{asked, std::move(facts), ""};
  }
  return *std::move(last);
}

Result<std::string> prompt_text(const RunReader& run, const Told& told, std::string& note) {
  std::string out;
  if (!told.sent.empty()) {
    COPPICE_TRY(const Json call, Json::parse(told.sent, "prompt"));
    COPPICE_TRY(const JsonReader messages, call.reader("prompt").at("messages"));
    COPPICE_TRY(const auto items, messages.items());
    for (const JsonReader& item : items) {
      COPPICE_TRY(const std::string role, item.text_or("role", ""));
      COPPICE_TRY(const std::string text, item.text_or("text", ""));
      out += "==== " + role + "\n" + text + "\n";
    }
    note = fmt::format("sent as request {} ({})", told.asked.request.value, told.asked.action);
    return out;
  }
  COPPICE_TRY(const auto sections, told.facts.sections(run.material(), told.asked));
  const LlmSetup usual;  // for runs without a model
  const std::int64_t budget = (run.material().llm ? *run.material().llm : usual).prompt_tokens;
  COPPICE_TRY(const llm::PromptSet texts, prompts_of(run.log(), run.material()));
  COPPICE_TRY(const llm::Prompt prompt,
              llm::build_prompt(texts, told.asked.action, sections, budget));
  for (const LlmMessage& message : prompt.messages) {
    out += "==== " + message.role + "\n" + message.text + "\n";
  }
  note = fmt::format("would be sent ({}): about {} tokens", told.asked.action, prompt.tokens);
  for (const std::string& what : prompt.notes) {
    note += "; " + what;
  }
  return out;
}

Result<int> prompt_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const RunReader run, RunReader::of(arguments));
  const std::string text = arguments.text("NODE");
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() ||
      !run.fold().nodes().contains(NodeId{id})) {
    return Error{ErrorCode::usage,
                 "NODE: expected the number of a node (coppice tree " + run.name() + "), found \"" +
                     text + "\""};
  }
  COPPICE_TRY(const Told told, told_about(run, NodeId{id}));
  std::string note;
  COPPICE_TRY(const std::string prompt, prompt_text(run, told, note));
  if (arguments.has("--json")) {
    Json out = Json::object();
    out.set("schema", 1).set("run", run.name()).set("node", id).set("action", told.asked.action);
    COPPICE_TRY(const llm::PromptSet texts, prompts_of(run.log(), run.material()));
    out.set("sent", !told.sent.empty()).set("prompts", texts.digest().hex());
    out.set("prompt", prompt);
    console.answer(out.dump());
    return 0;
  }
  console.answer(prompt);
  console.say(note);
  return 0;
}

}  // namespace

Command prompt_command() {
  Command command;
  command.name = "prompt";
  command.summary = "what a language model was, or would be, told about an idea";
  command.example = "coppice prompt last 7";
  command.positionals = {{"RUN", "name, its unique beginning, or last", true},
                         {"NODE", "number of a node of the tree", true}};
  command.body = prompt_body;
  return command;
}

}  // namespace coppice::cli
