// Edit: the three ways in which the search tree may change, each with its reason.
#pragma once

#include "core/ids.h"
#include "core/json.h"
#include "core/value.h"

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace coppice {

enum class NodeState { open, active, closed, pruned };
std::string_view to_text(NodeState state);
Result<NodeState> node_state(std::string_view text);

enum class NodeKind {
  root,
  template_root,  // a template, or the user's own kernel
  structural,     // fixes one or more structural axes
  axis_focus,     // opens one axis (or pair) for refinement
  idea,           // free text for an LLM
};
std::string_view to_text(NodeKind kind);
Result<NodeKind> node_kind(std::string_view text);

// A new idea under a parent.
struct Insert {
  NodeId node;
  NodeId parent;
  NodeKind kind = NodeKind::structural;
  std::string template_name;
  ValueMap fixed;     // axis name to level that this node adds to its parent's
  std::string title;  // "split_kv with bf16 staging"
  std::string text;   // idea for the LLM; empty otherwise
  double priority = 0.0;
  std::string reason;
};

// Changes priority or state of a node.
struct Update {
  NodeId node;
  std::optional<double> priority;
  std::optional<NodeState> state;
  std::optional<CandidateId> best;
  std::string reason;
};

// Gives a node (and what hangs under it) up; its facts stay in memory.
struct Prune {
  NodeId node;
  std::string reason;
};

using Edit = std::variant<Insert, Update, Prune>;

Json to_json(const Edit& edit);
Result<Edit> edit(const JsonReader& json);

}  // namespace coppice
