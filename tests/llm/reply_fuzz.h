// One fuzzed text through all readers of replies; what must hold of whatever they say.
#pragma once

#include "core/check.h"
#include "llm/command_provider.h"
#include "llm/dialect.h"
#include "llm/proposals.h"
#include "llm/reply.h"

#include <string>
#include <string_view>
#include <utility>

namespace coppice::llm {

struct FuzzCounts {
  int kernels = 0, problems = 0, edits = 0, refused = 0;
};

inline void fuzz_kernel_reply(std::string_view text, std::string source, FuzzCounts& counts) {
  const ReplyParent parent{std::move(source), Json::object()};
  const auto read = read_kernel_reply(text, parent);
  if (const auto* reply = std::get_if<KernelReply>(&read)) {
    ++counts.kernels;
    COPPICE_CHECK(!reply->source.empty() && reply->source.size() <= std::size_t{1} << 20);
    COPPICE_CHECK(!reply->title.empty() && reply->title.size() <= 120);
  } else {
    ++counts.problems;
    COPPICE_CHECK(!std::get<ReplyProblem>(read).message.empty());
  }
}

inline void fuzz_proposals(std::string_view text, FuzzCounts& counts) {
  ProposalScope scope;
  scope.nodes = {{{1}, {0}, NodeKind::root, NodeState::open, ""},
                 {{2}, {1}, NodeKind::template_root, NodeState::open, "t"},
                 {{3}, {2}, NodeKind::idea, NodeState::open, "t"},
                 {{4}, {2}, NodeKind::idea, NodeState::open, "t", "measured"}};
  scope.next = {5};
  scope.axes = {{"tile", {Value{std::int64_t{32}}, Value{std::int64_t{64}}}}};
  const auto read = read_proposals(text, scope);
  if (!read.ok()) {
    COPPICE_CHECK(!read.error().message.empty());
    return;
  }
  counts.edits += static_cast<int>(read->edits.size());
  counts.refused += static_cast<int>(read->refused.size());
  std::uint64_t known = 4;
  for (const Edit& edit : read->edits) {
    if (const auto* insert = std::get_if<Insert>(&edit)) {
      COPPICE_CHECK(insert->node.value == ++known && insert->parent.value < known &&
                    insert->parent.value > 1);
      COPPICE_CHECK(!insert->reason.empty() && !insert->title.empty());
      COPPICE_CHECK(insert->text.size() < 8000);
    } else if (const auto* update = std::get_if<Update>(&edit)) {
      COPPICE_CHECK(update->node.value <= known && update->node.value > 1 && !update->best);
    } else {
      COPPICE_CHECK(std::get<Prune>(edit).node.value > 2 && std::get<Prune>(edit).node.value != 4);
    }
  }
  for (const Refused& refused : read->refused) {
    COPPICE_CHECK(!refused.reason.empty());
  }
}

inline void fuzz_reply_text(std::string_view text, FuzzCounts& counts) {
  fuzz_kernel_reply(text, "int a = 1;\nint b = 2;\n", counts);
  fuzz_kernel_reply(text, std::string(text), counts);  // what its edits search for is there
  fuzz_proposals(text, counts);
  for (const auto& dialect : {chat_completions(), anthropic_messages()}) {
    (void)dialect->read(text);
    (void)dialect->read_stream(text);
  }
  (void)read_command_reply(text);
}

}  // namespace coppice::llm
