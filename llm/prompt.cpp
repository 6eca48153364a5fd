// Builds prompts: stable text first, data fenced, the least important left out first.
#include "llm/prompt.h"

#include "core/check.h"
#include "core/codec.h"
#include "core/json.h"
#include "llm/extract.h"
#include "llm/provider.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace coppice::llm {

// Embedded by llm/CMakeLists.txt.
std::string_view prompt_system();
std::string_view prompt_format();
std::string_view prompt_sections();
std::string_view prompt_rewrite();
std::string_view prompt_repair();
std::string_view prompt_crossover();
std::string_view prompt_new_template();
std::string_view prompt_port();
std::string_view prompt_simplify();
std::string_view prompt_advise();

namespace {

constexpr std::int64_t kLeastTokens = 200;  // a section is not cut below this, but left out
// Sections that prompts of older archives do not have: left out where such prompts are made again.
constexpr std::array<std::string_view, 1> kAddedLater = {"library"};
constexpr std::array<std::string_view, 3> kKeeps = {"whole", "head", "tail"};

struct Filled {
  const PromptSet::Section* section;
  std::string text;
};

Result<PromptSet::Section> read_section(const JsonReader& item) {
  PromptSet::Section section;
  std::string keep;
  Fields fields(item, {"name", "title", "priority", "keep", "stable", "data"});
  fields.need("name", section.name).need("title", section.title);
  fields.need("priority", section.priority).need("keep", keep);
  fields.need("stable", section.stable).need("data", section.data);
  COPPICE_TRY(section, fields.done(std::move(section)));
  const auto found = std::ranges::find(kKeeps, keep);
  if (found == kKeeps.end()) {
    return item.complain("keep: expected whole, head or tail, found " + keep);
  }
  section.keep = static_cast<PromptSet::Keep>(found - kKeeps.begin());
  return section;
}

Result<std::vector<PromptSet::Section>> read_sections(const std::string& text) {
  COPPICE_TRY(const Json json, Json::parse(text, "sections.json"));
  const JsonReader root = json.reader("sections.json");
  COPPICE_TRY_VOID(root.only_keys({"schema", "note", "sections"}));
  COPPICE_TRY(const JsonReader schema, root.at("schema"));
  COPPICE_TRY_VOID(schema.integer_in(1, 1));
  COPPICE_TRY(const JsonReader list, root.at("sections"));
  COPPICE_TRY(const std::vector<JsonReader> items, list.items());
  std::vector<PromptSet::Section> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(PromptSet::Section section, read_section(item));
    out.push_back(std::move(section));
  }
  return out;
}

std::string cut(const std::string& text, PromptSet::Keep keep, std::size_t bytes) {
  if (keep == PromptSet::Keep::head) {
    return shortened(text, bytes) + "\n(the rest is left out)\n";
  }
  // From the start of a line, so that no character is torn.
  const std::size_t from = text.find('\n', text.size() - std::min(bytes, text.size()));
  return "(what comes before is left out)\n" +
         (from == std::string::npos ? std::string() : text.substr(from + 1));
}

// Takes tokens out, the least important section first; an error when that is not enough.
Result<void> fit(std::vector<Filled>& filled, std::int64_t over, std::vector<std::string>& notes) {
  while (over > 0) {
    Filled* least = nullptr;
    for (Filled& item : filled) {
      const bool can = item.section->priority > 0 && !item.text.empty();
      if (can && (least == nullptr || item.section->priority >= least->section->priority)) {
        least = &item;
      }
    }
    if (least == nullptr) {
      return Error{ErrorCode::config,
                   fmt::format("the prompt is {} tokens larger than its budget, and what is left "
                               "of it can't be left out",
                               over)};
    }
    const std::int64_t has = estimated_tokens(least->text);
    const std::int64_t rest = has - over - 20;  // the note on what was left out costs some
    if (least->section->keep != PromptSet::Keep::whole && rest >= kLeastTokens) {
      least->text = cut(least->text, least->section->keep, static_cast<std::size_t>(rest) * 7 / 2);
      over -= has - estimated_tokens(least->text);
      notes.push_back(fmt::format("{}: cut from {} to {} tokens", least->section->name, has, rest));
    } else {
      over -= has;
      notes.push_back(fmt::format("{}: left out ({} tokens)", least->section->name, has));
      least->text.clear();
    }
  }
  return {};
}

}  // namespace

const std::vector<std::string>& llm_actions() {
  static const std::vector<std::string> actions = {
      "rewrite", "repair", "crossover", "new_template", "port", "simplify", "advise"};
  return actions;
}

const PromptSet& PromptSet::shipped() {
  static const PromptSet set = [] {
    Files files;
    const std::pair<const char*, std::string_view> embedded[] = {
        {"system.md", prompt_system()},
        {"format.md", prompt_format()},
        {"sections.json", prompt_sections()},
        {"rewrite.md", prompt_rewrite()},
        {"repair.md", prompt_repair()},
        {"crossover.md", prompt_crossover()},
        {"port.md", prompt_port()},
        {"new_template.md", prompt_new_template()},
        {"simplify.md", prompt_simplify()},
        {"advise.md", prompt_advise()}};
    for (const auto& [name, text] : embedded) {
      files.emplace(name, text);
    }
    auto made = create(std::move(files));
    COPPICE_CHECK(made.ok());  // files of ours; tests read them
    return std::move(made).value();
  }();
  return set;
}

Result<PromptSet> PromptSet::create(Files files) {
  std::vector<std::string> needed = {"system.md", "format.md", "sections.json"};
  for (const std::string& action : llm_actions()) {
    needed.push_back(action + ".md");
  }
  for (const std::string& name : needed) {
    if (files.find(name) == files.end()) {
      return Error{ErrorCode::missing, "prompts: " + name + " is missing"};
    }
  }
  PromptSet out;
  COPPICE_TRY(out.sections_, read_sections(files.find("sections.json")->second));
  std::string all;
  for (const auto& [name, text] : files) {
    all += fmt::format("{}\n{}\n", name, text.size()) + text;
  }
  out.digest_ = sha256(all);
  out.files_ = std::move(files);
  return out;
}

const std::string& PromptSet::text(std::string_view file) const {
  const auto found = files_.find(file);
  COPPICE_CHECK(found != files_.end());
  return found->second;
}

std::string fenced(std::string_view name, std::string_view text) {
  int number = 1;
  while (text.find(fmt::format("DATA {}", number)) != std::string_view::npos) {
    ++number;
  }
  std::string out = fmt::format("BEGIN DATA {} {}\n{}", number, name, text);
  if (!out.ends_with('\n')) {
    out += '\n';
  }
  return out + fmt::format("END DATA {}\n", number);
}

Result<Prompt> build_prompt(const PromptSet& prompts,
                            std::string_view action,
                            const std::map<std::string, std::string, std::less<>>& facts,
                            std::int64_t budget) {
  if (std::ranges::find(llm_actions(), action) == llm_actions().end()) {
    return Error{ErrorCode::config, "no prompt for the action \"" + std::string(action) + "\""};
  }
  std::vector<Filled> filled;
  for (const PromptSet::Section& section : prompts.sections()) {
    const auto fact = facts.find(section.name);
    filled.push_back({&section, fact == facts.end() ? std::string() : clean_text(fact->second)});
  }
  for (const auto& [name, text] : facts) {
    const bool known = std::ranges::find(prompts.sections(), name, &PromptSet::Section::name) !=
                       prompts.sections().end();
    if (!known && std::ranges::find(kAddedLater, name) == kAddedLater.end()) {
      return Error{ErrorCode::config, "the prompts have no section \"" + name + "\""};
    }
  }
  const auto write = [&] {
    Prompt prompt;
    std::string system = prompts.text("system.md") + "\n" + prompts.text("format.md");
    std::string user;
    for (const Filled& item : filled) {
      if (!item.text.empty()) {
        std::string& into = item.section->stable ? system : user;
        into += "\n## " + item.section->title + "\n\n";
        into += item.section->data ? fenced(item.section->name, item.text) : item.text;
      }
    }
    user += "\n" + prompts.text(std::string(action) + ".md");
    prompt.messages = {{"system", std::move(system)}, {"user", std::move(user)}};
    prompt.tokens = estimated_tokens(prompt.messages);
    return prompt;
  };
  std::vector<std::string> notes;
  const std::int64_t over = write().tokens - budget;
  COPPICE_TRY_VOID(fit(filled, over, notes));
  Prompt prompt = write();
  prompt.notes = std::move(notes);
  return prompt;
}

}  // namespace coppice::llm
