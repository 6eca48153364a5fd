// Ten thousand replies that were good once: nothing aborts, and what is refused has a reason.
#include "tests/llm/reply_fuzz.h"

#include "core/random.h"
#include "tests/support/catch.h"

#include <string>
#include <vector>

namespace coppice::llm {
namespace {

const std::vector<std::string>& good_replies() {
  static const std::vector<std::string> texts = {
      "IDEA: sums in registers\n\nLess traffic.\n```cpp\nint a = 3;\nint b;\n```\n"
      "```json\n{\"axes\": [{\"name\": \"n\", \"levels\": [1, 2]}], \"plan\": {\"steps\": "
      "[{\"kernel\":"
      " \"k\", \"grid\": [\"n\"], \"args\": [{\"tensor\": \"q\"}]}]}}\n```\n",
      "IDEA: seven\n```cpp\n<<<<<<< SEARCH\nint a = 1;\n=======\nint a = 7;\n>>>>>>> REPLACE\n"
      "<<<<<<< SEARCH\nint b = 2;\n=======\n>>>>>>> REPLACE\n```\n",
      R"({"idea": "seven", "why": "it is odd", "edits": [{"search": "a = 1", "replace": "a = 7"}],
          "recipe": {"precision": "f32", "restrictions": ["n < 3"]},})",
      R"(Well: {"edits": [{"op": "insert", "parent": 2, "title": "t", "text": "x", "priority": 0.5,
          "reason": "r", "ref": "a"}, {"op": "insert", "parent": "a", "title": "u", "reason": "r"},
          {"op": "update", "node": 3, "priority": 1e-3, "state": "closed", "reason": "r"},
          {"op": "prune", "node": 3, "reason": "r"}],
          "priors": [{"axis": "tile", "level": 64, "gain": 0.1, "confidence": 0.5}]})",
      R"({"id": "1", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
          "usage": {"prompt_tokens": 3, "completion_tokens": 2}})",
      "event: message_start\ndata: "
      "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":"
      "3}}}\n\ndata: "
      "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}"
      "\n\ndata: {\"type\":\"message_stop\"}\n\n",
      R"({"text": "hello", "usage": {"in": 3, "out": 4}, "finish": "length"})"};
  return texts;
}

// One change as a careless model, a bad line or a cut stream makes it.
void mutate(std::string& text, Rng& rng) {
  static const std::vector<std::string> tokens = {"```",
                                                  "{",
                                                  "}",
                                                  "[",
                                                  "]",
                                                  "\"",
                                                  ",",
                                                  ":",
                                                  "\\",
                                                  "null",
                                                  "-1",
                                                  "1e999",
                                                  "NaN",
                                                  "<<<<<<< SEARCH\n",
                                                  "=======\n",
                                                  ">>>>>>> REPLACE\n",
                                                  "\n",
                                                  "\xff",
                                                  "\xf0\x9f",
                                                  std::string(1, '\0'),
                                                  "true",
                                                  "/*",
                                                  "//",
                                                  "{\"a\":",
                                                  "18446744073709551616",
                                                  "\xef\xbb\xbf",
                                                  "\"best\": 1,",
                                                  "data: "};
  const std::size_t at = text.empty() ? 0 : rng.below(text.size());
  const std::size_t length = std::min<std::size_t>(text.size() - at, 1 + rng.below(24));
  switch (rng.below(7)) {
    case 0:
      text.resize(at);  // cut
      break;
    case 1:
      text.erase(at, length);
      break;
    case 2:
      text.insert(at, tokens[rng.below(tokens.size())]);
      break;
    case 3:
      text.insert(at, text.substr(at, length));  // said twice
      break;
    case 4:
      if (!text.empty()) {
        text[at] = static_cast<char>(rng.below(256));
      }
      break;
    case 5: {
      const std::string& other = good_replies()[rng.below(good_replies().size())];
      text.insert(at, other.substr(rng.below(other.size())));
      break;
    }
    default:
      text.insert(at, std::string(1 + rng.below(300), rng.below(2) == 0 ? '[' : '{'));
      break;
  }
}

}  // namespace

TEST_CASE("ten thousand damaged replies are read or refused with a reason, and none aborts",
          "[slow]") {
  FuzzCounts counts;
  Rng rng = stream(20, "reply_fuzz", 1);
  for (int i = 0; i < 10000; ++i) {
    std::string text = good_replies()[rng.below(good_replies().size())];
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
      mutate(text, rng);
    }
    fuzz_reply_text(text, counts);
  }
  // The damage is mixed: if all replies failed, or none, the test would test nothing.
  CHECK(counts.kernels > 500);
  CHECK(counts.problems > 500);
  CHECK(counts.edits > 200);
  CHECK(counts.refused > 500);
}

}  // namespace coppice::llm
