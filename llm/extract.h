// Finds code blocks and JSON in what a model wrote, forgiving about form, never about content.
#pragma once

#include "core/json.h"

#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

// A fenced block of markdown.
struct Block {
  std::string language;  // lower case, as written behind the fence; may be empty
  std::string text;      // each line with its newline
  bool closed = true;    // false: the text ended first
};

// Blocks between ``` or ~~~ fences, in order. A fence is closed by one at least as long of its
// kind.
std::vector<Block> blocks_of(std::string_view text);
// What stands outside of the fences.
std::string prose_of(std::string_view text);

// JSON as people and models write it: comments, commas before a closing bracket and line breaks
// inside strings are mended; everything else is refused as Json::parse does. `name` as there.
Result<Json> lenient_json(std::string_view text, std::string_view name);

// The first JSON object in a text with other words around it.
Result<Json> object_in(std::string_view text, std::string_view name);

// The text with what is not UTF-8 replaced, line ends as \n, and without NUL.
std::string clean_text(std::string_view text);

std::string_view trimmed(std::string_view text);
// At most so many bytes, cut between characters, "..." behind what was cut.
std::string shortened(std::string_view text, std::size_t most);
// Calls `take` with each line, without its newline.
template <class Take>
void each_line(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    take(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

}  // namespace coppice::llm
