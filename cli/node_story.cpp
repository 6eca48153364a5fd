// Reads a node's edits back from the log and puts them into words.
#include "cli/node_story.h"

#include "cli/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::cli {
namespace {

std::string gain_words(double gain) {
  return fmt::format("{:.3g} %", 100.0 * gain);
}

NodeChange change_of(const Edit& edit) {
  NodeChange out;
  if (const auto* insert = std::get_if<Insert>(&edit)) {
    out.what = "inserted";
    out.priority = insert->priority;
    out.reason = insert->reason;
  } else if (const auto* update = std::get_if<Update>(&edit)) {
    out.what = "priority set";
    if (update->state) {
      switch (*update->state) {
        case NodeState::open:
          out.what = "left open";
          break;
        case NodeState::active:
          out.what = "taken up";
          break;
        case NodeState::closed:
          out.what = "closed";
          break;
        case NodeState::pruned:
          out.what = "pruned";
          break;
      }
    }
    out.priority = update->priority;
    out.reason = update->reason;
  } else {
    out.what = "pruned";
    out.reason = std::get<Prune>(edit).reason;
  }
  return out;
}

std::int64_t attempts_before(const archive::RunFold& fold, EventSeq event) {
  return std::count_if(
      fold.attempts().begin(), fold.attempts().end(), [&](const archive::Attempt& attempt) {
        return attempt.proposed_at < event && attempt.proposal.fidelity == Fidelity::search;
      });
}

// Place among open nodes by priority, ties by id, as the tree selects.
void find_rank(const RunReader& run, NodeStory& story) {
  std::size_t before = 0;
  for (const auto& [id, node] : run.fold().nodes()) {
    if (node.state != NodeState::open || node.insert.kind == NodeKind::root) {
      continue;
    }
    ++story.open_nodes;
    const bool ahead = node.priority != story.record.priority
                           ? node.priority > story.record.priority
                           : id < story.node;
    before += ahead && id != story.node ? 1 : 0;
  }
  story.rank = story.record.state == NodeState::open ? before + 1 : 0;
}

void sum_up_predictions(const RunReader& run, NodeStory& story) {
  for (const archive::Attempt& attempt : run.fold().attempts()) {
    const auto& prediction = attempt.proposal.prediction;
    if (attempt.proposal.node == story.node && attempt.proposal.fidelity == Fidelity::search &&
        prediction) {
      ++story.predictions;
      story.promised += prediction->gain;
    }
  }
  // What the run's best gained by attempts under this node.
  for (const std::string& precision : run.fold().precisions()) {
    const auto& curve = run.fold().curve(precision);
    for (std::size_t i = 1; i < curve.size(); ++i) {
      const bool here = run.fold().attempts()[curve[i].attempt].proposal.node == story.node;
      story.gained += here ? curve[i - 1].log_cost - curve[i].log_cost : 0.0;
    }
  }
}

}  // namespace

Result<NodeStory> node_story(const RunReader& run, NodeId node) {
  const auto& nodes = run.fold().nodes();
  const auto found = nodes.find(node);
  if (found == nodes.end()) {
    return Error{
        ErrorCode::missing,
        fmt::format("run {} has no node {} (it has {})", run.name(), node.value, nodes.size())};
  }
  NodeStory story;
  story.node = node;
  story.record = found->second;
  for (auto at = found; at != nodes.end(); at = nodes.find(at->second.insert.parent)) {
    const Insert& insert = at->second.insert;
    story.path.insert(story.path.begin(),
                      insert.title.empty() ? std::string(to_text(insert.kind)) : insert.title);
  }
  for (const EventSeq seq : story.record.edits) {
    COPPICE_TRY(const archive::LogRow row, run.log().row(seq));
    COPPICE_TRY(const Event event, decode(row.bytes));
    const auto* edit = std::get_if<EditApplied>(&event);
    if (edit != nullptr) {
      NodeChange change = change_of(edit->edit);
      change.event = seq;
      change.attempts = attempts_before(run.fold(), seq);
      story.changes.push_back(std::move(change));
    }
  }
  find_rank(run, story);
  sum_up_predictions(run, story);
  return story;
}

std::string text_of(const NodeStory& story, bool against_baseline) {
  std::string text = fmt::format("node {}: {}\n", story.node.value, fmt::join(story.path, " > "));
  text += fmt::format("  {}, {} attempts, {} valid",
                      to_text(story.record.state),
                      story.record.attempts,
                      story.record.valid);
  if (story.record.best_log_cost) {
    text += ", best " + cost_text(*story.record.best_log_cost, against_baseline);
  }
  text += "\n";
  if (story.rank > 0) {
    text += fmt::format(
        "  priority: number {} of {} open nodes; the best untried point under it "
        "was expected to improve on the best by {}\n",
        story.rank,
        story.open_nodes,
        gain_words(story.record.priority));
  }
  if (story.predictions > 0) {
    text += fmt::format("  predicted: {} attempts promised {} in sum; the best gained {} here\n",
                        story.predictions,
                        gain_words(story.promised),
                        gain_words(story.gained));
  }
  for (const NodeChange& change : story.changes) {
    text += fmt::format("  after {} attempts {}", change.attempts, change.what);
    if (change.priority) {
      text += fmt::format(" (expected gain {})", gain_words(*change.priority));
    }
    text += ": " + change.reason + "\n";
  }
  return text;
}

Json to_json(const NodeStory& story) {
  return Json::object()
      .set("node", story.node.value)
      .set("path", Json::array_of(story.path, [](const std::string& title) { return Json(title); }))
      .set("state", to_text(story.record.state))
      .set("attempts", story.record.attempts)
      .set("valid", story.record.valid)
      .set("best_log_cost", story.record.best_log_cost ? Json(*story.record.best_log_cost) : Json())
      .set("priority", story.record.priority)
      .set("rank", static_cast<std::uint64_t>(story.rank))
      .set("open_nodes", static_cast<std::uint64_t>(story.open_nodes))
      .set("promised", story.promised)
      .set("gained", story.gained)
      .set("changes", Json::array_of(story.changes, [](const NodeChange& change) {
             return Json::object()
                 .set("event", change.event.value)
                 .set("attempts", change.attempts)
                 .set("what", change.what)
                 .set("priority", change.priority ? Json(*change.priority) : Json())
                 .set("reason", change.reason);
           }));
}

}  // namespace coppice::cli
