// NodeStory: why a node of the search tree is there, has its priority, or was given up, in words.
#pragma once

#include "cli/run_reader.h"
#include "core/json.h"

#include <string>
#include <vector>

namespace coppice::cli {

// One edit of the node, at the time when it was made.
struct NodeChange {
  EventSeq event;
  std::int64_t attempts = 0;  // that the whole run had proposed by then
  std::string what;           // "inserted", "taken up", "left open", "closed", "pruned", ...
  std::optional<double> priority;
  std::string reason;
};

struct NodeStory {
  NodeId node;
  std::vector<std::string> path;  // titles from the root down to it
  archive::NodeRecord record;
  std::vector<NodeChange> changes;
  std::size_t open_nodes = 0, rank = 0;  // among open nodes by priority; 0: not open
  std::int64_t predictions = 0;          // of attempts right under it that were predicted
  double promised = 0.0, gained = 0.0;   // sum of expected gains; of improvements (log cost)
};

// Errors: no such node, with how many there are.
Result<NodeStory> node_story(const RunReader& run, NodeId node);
std::string text_of(const NodeStory& story, bool against_baseline);
Json to_json(const NodeStory& story);

}  // namespace coppice::cli
