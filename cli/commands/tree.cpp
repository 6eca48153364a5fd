// `coppice tree`: the search tree as it stood at the end.
#include "cli/commands.h"
#include "cli/node_story.h"
#include "cli/run_reader.h"
#include "cli/words.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <utility>

namespace coppice::cli {
namespace {

using Children = std::map<NodeId, std::vector<NodeId>>;

std::string node_line(const RunReader& run, NodeId id, const archive::NodeRecord& node, bool why) {
  const std::string title =
      node.insert.title.empty() ? std::string(to_text(node.insert.kind)) : node.insert.title;
  std::string text = fmt::format(
      "{} [{}] {} attempts, {} valid", title, to_text(node.state), node.attempts, node.valid);
  if (node.best_log_cost) {
    text += ", best " + cost_text(*node.best_log_cost, run.against_baseline());
  }
  text += fmt::format("  (node {})", id.value);
  return why && !node.reason.empty() ? text + "; " + node.reason : text;
}

class Drawing {
 public:
  Drawing(const RunReader& run, bool why, bool all) : run_(run), why_(why), all_(all) {
    for (const auto& [id, node] : run.fold().nodes()) {
      children_[node.insert.parent].push_back(id);
    }
  }
  std::string text() {
    for (const NodeId root : children_[NodeId{}]) {
      draw(root, "", "");
    }
    return out_;
  }
  std::size_t hidden() const { return hidden_; }

 private:
  void draw(NodeId id, const std::string& lead, const std::string& below) {
    out_ += lead + node_line(run_, id, run_.fold().nodes().at(id), why_) + "\n";
    std::vector<NodeId> shown;
    for (const NodeId child : children_[id]) {
      const bool idle = run_.fold().nodes().at(child).attempts == 0 && children_[child].empty();
      if (all_ || !idle) {
        shown.push_back(child);
      } else {
        ++hidden_;
      }
    }
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const bool last = i + 1 == shown.size();
      draw(shown[i], below + (last ? "`- " : "|- "), below + (last ? "   " : "|  "));
    }
  }

  const RunReader& run_;
  const bool why_, all_;
  Children children_;
  std::string out_;
  std::size_t hidden_ = 0;
};

Json tree_json(const RunReader& run) {
  Json nodes = Json::array();
  for (const auto& [id, node] : run.fold().nodes()) {
    Json item = Json::object();
    item.set("node", id.value).set("parent", node.insert.parent.value);
    item.set("kind", to_text(node.insert.kind)).set("state", to_text(node.state));
    item.set("template", node.insert.template_name).set("title", node.insert.title);
    item.set("attempts", node.attempts).set("valid", node.valid);
    item.set("best", node.best ? Json(node.best->value) : Json());
    item.set("best_log_cost", node.best_log_cost ? Json(*node.best_log_cost) : Json());
    item.set("reason", node.reason);
    item.set("edits", Json::array_of(node.edits, [](EventSeq seq) { return Json(seq.value); }));
    nodes.push(std::move(item));
  }
  Json out = Json::object();
  out.set("schema", 1).set("run", run.name()).set("nodes", std::move(nodes));
  return out;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// `tree RUN NODE`, and `tree --why NODE` for the last run: no run's name is a number.
Result<std::pair<RunReader, std::string>> run_and_node(const Arguments& arguments) {
  const std::string first = arguments.text("RUN");
  if (arguments.has("NODE") || !is_number(first)) {
    COPPICE_TRY(RunReader run, RunReader::of(arguments));
    return std::pair(std::move(run), arguments.text("NODE"));
  }
  COPPICE_TRY(const ArchiveFolder folder, ArchiveFolder::of(arguments));
  COPPICE_TRY(const std::string name, folder.find("last"));
  COPPICE_TRY(RunReader run, RunReader::open(folder.store(), name));
  return std::pair(std::move(run), first);
}

Result<int> tell_story(const RunReader& run, const std::string& node, bool json, Console& console) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(node.data(), node.data() + node.size(), id);
  if (error != std::errc() || end != node.data() + node.size()) {
    return Error{ErrorCode::usage, "node: expected a number, found \"" + node + "\""};
  }
  COPPICE_TRY(const NodeStory story, node_story(run, NodeId{id}));
  console.answer(json ? to_json(story).set("schema", 1).set("run", run.name()).dump()
                      : text_of(story, run.against_baseline()));
  return 0;
}

Result<int> tree_body(const Arguments& arguments, Console& console) {
  COPPICE_TRY(const auto which, run_and_node(arguments));
  const RunReader& run = which.first;
  if (!which.second.empty()) {
    return tell_story(run, which.second, arguments.has("--json"), console);
  }
  if (arguments.has("--json")) {
    console.answer(tree_json(run).dump());
    return 0;
  }
  if (run.fold().nodes().empty()) {
    console.say("run " + run.name() + " has no tree (strategy " +
                std::string(search::to_text(run.material().config.search.strategy)) + ")");
    return 0;
  }
  Drawing drawing(run, arguments.has("--why"), arguments.has("--all"));
  console.answer(drawing.text());
  if (drawing.hidden() > 0) {
    console.say(std::to_string(drawing.hidden()) +
                " ideas without an attempt are left out (--all)");
  }
  return 0;
}

}  // namespace

Command tree_command() {
  Command command;
  command.name = "tree";
  command.summary = "the search tree of a run";
  command.example = "coppice tree last --why";
  command.positionals = {{"RUN", "name, its unique beginning, or last (default)", false},
                         {"NODE", "only this node: its edits and its priority, in words", false}};
  command.options = {{"--why", "", "with the reason of each node's last change", "", false},
                     {"--all", "", "also ideas that were never tried", "", false}};
  command.body = tree_body;
  return command;
}

}  // namespace coppice::cli
