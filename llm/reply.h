// KernelReply: a model's reply to "write a kernel", taken apart and checked as far as its text
// goes.
#pragma once

#include "core/json.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace coppice::llm {

// What a reply is about.
struct ReplyParent {
  std::string source;
  Json recipe;  // {"axes"?, "restrictions"?, "precision"?, "plan"}: docs/op-format.md
};

// Either "IDEA: one line", prose, one fenced block with the kernel or with edits against the
// parent, and perhaps a fenced JSON object with parts of the recipe; or one JSON object {"idea",
// "why"?, "source" | "edits": [{"search", "replace"}], "recipe"?}.
struct KernelReply {
  std::string title;                 // the idea in one line
  std::string why;                   // and in more words; may be empty
  std::string source;                // the whole kernel, edits applied
  Json recipe;                       // the parent's, with the reply's parts in their places
  std::vector<std::string> refused;  // what was not taken, each with its reason
};

// Errors: no kernel, a cut or oversized one, edits that don't fit, a plan that is none, a reply
// that changes nothing. `refused` (of the reply) has the reasons of the parts; the error names the
// decisive one. The recipe's axes and restrictions are checked where the candidate is made.
struct ReplyProblem {
  std::string message;
  std::vector<std::string> refused;
};

std::variant<KernelReply, ReplyProblem> read_kernel_reply(std::string_view text,
                                                          const ReplyParent& parent);

}  // namespace coppice::llm
