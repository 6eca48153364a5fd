// Proposals: what a model says about the search tree, checked one by one against what it may touch.
#pragma once

#include "core/edit.h"
#include "core/json.h"
#include "core/value.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::llm {

// The tree as far as proposals need it.
struct ProposalNode {
  NodeId id, parent;
  NodeKind kind = NodeKind::structural;
  NodeState state = NodeState::open;
  std::string template_name;
  std::string keep{};  // why it may not be given up; empty: it may
};

struct ProposalScope {
  std::vector<ProposalNode> nodes;
  NodeId next;                                                   // the first free id
  std::size_t most_inserts = 8;                                  // at once
  std::vector<std::pair<std::string, std::vector<Value>>> axes;  // that priors may speak of
};

// A belief about one level of an axis: expected gain in ln(time), and how sure the model is.
struct Prior {
  std::string axis;
  Value level;
  double gain = 0.0;
  double confidence = 0.0;
};

struct Refused {
  std::string part;    // "edits[2]"
  std::string reason;  // fed back to the model
};

struct Proposals {
  std::vector<Edit> edits;  // each sound after the ones before it
  std::vector<Prior> priors;
  std::vector<Refused> refused;
};

// The JSON schema of what is read, for providers that can keep to one. As strict ones want it: no
// other members, and each one there, null where the form below leaves it out.
std::string_view proposals_schema();

// {"edits": [{"op": "insert", "parent", "title", "text"?, "priority"?, "reason", "ref"?,
//             "axes"?: [{"name", "levels"}]} |
//            {"op": "update", "node", "priority"?, "state"?, "reason"} |
//            {"op": "prune", "node", "reason"}],
//  "priors": [{"axis", "level", "gain", "confidence"}]}
// A parent is an id, or the ref of an insert above it. Refused one by one: unknown ids and refs,
// a parent that is pruned, the root, or comes later (so no cycles), inserts beyond most_inserts, an
// edit without reason, a node that measurements speak for, closing what is no idea, an axis that is
// there already or has not 2 to 8 levels of one type, numbers that are not finite or beyond reason,
// unknown keys, and any key that names a measured field. Errors: no JSON object at all.
Result<Proposals> read_proposals(std::string_view text, const ProposalScope& scope);

}  // namespace coppice::llm
