// Search/replace edits against a text: each matches exactly once, or all of them are refused.
#pragma once

#include "core/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

struct TextEdit {
  std::string search;
  std::string replace;
};

// The edits that a text holds between lines
//   <<<<<<< SEARCH
//   =======
//   >>>>>>> REPLACE
// Says in `refused` which are torn.
std::vector<TextEdit> edits_in(std::string_view text, std::vector<std::string>& refused);

// All edits are matched against `text` itself, not against each other's results, so their order
// means nothing. Refused: an empty search, one that is found nowhere or more than once, two that
// overlap. Where no exact match is found, one that differs in blanks at the ends of lines counts.
// Nothing is applied unless all are; the reasons, one an edit, go to `refused`.
Result<std::string> apply_edits(std::string_view text,
                                const std::vector<TextEdit>& edits,
                                std::vector<std::string>& refused);

}  // namespace coppice::llm
