// Prompts: texts from llm/prompts, filled with a run's facts, inside a budget of tokens.
#pragma once

#include "core/digest.h"
#include "core/llm_request.h"
#include "core/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

// The texts that prompts are made of. Immutable.
class PromptSet {
 public:
  using Files = std::map<std::string, std::string, std::less<>>;
  // llm/prompts, which the program carries.
  static const PromptSet& shipped();
  // Errors: a missing file, sections.json that is not what sections.json says it is.
  static Result<PromptSet> create(Files files);

  // SHA-256 over all names and texts: which prompts a run was made with.
  const Digest& digest() const { return digest_; }
  const Files& files() const { return files_; }
  const std::string& text(std::string_view file) const;  // of a file that create() has checked

  enum class Keep { whole, head, tail };
  struct Section {
    std::string name, title;
    int priority = 0;
    Keep keep = Keep::whole;
    bool stable = false, data = true;
  };
  const std::vector<Section>& sections() const { return sections_; }

 private:
  Files files_;
  std::vector<Section> sections_;
  Digest digest_;
};

// "rewrite", "repair", "crossover", "new_template", "port", "simplify", "advise".
const std::vector<std::string>& llm_actions();

struct Prompt {
  std::vector<LlmMessage>
      messages;  // one of the system, the same for the whole run; one of the user
  std::size_t stable = 1;
  std::int64_t tokens = 0;         // estimated
  std::vector<std::string> notes;  // what was cut or left out
};

// `facts`: section name to text; empty ones are left out. Errors: an unknown action or section;
// more tokens than `budget` with only what must stay.
Result<Prompt> build_prompt(const PromptSet& prompts,
                            std::string_view action,
                            const std::map<std::string, std::string, std::less<>>& facts,
                            std::int64_t budget);

// The text as data that can't end its own fence: between BEGIN DATA and END DATA with a number that
// does not stand in it.
std::string fenced(std::string_view name, std::string_view text);

}  // namespace coppice::llm
