// Reads proposals edit by edit; what is wrong with one says nothing about the others.
#include "llm/proposals.h"

#include "llm/extract.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <map>

namespace coppice::llm {
namespace {

constexpr std::size_t kMostParts = 256;  // edits, and priors
constexpr std::size_t kMostAxes = 8;     // of one insert
constexpr std::size_t kMostLevels = 8;   // of one axis
constexpr std::size_t kMostRefused = 256;
constexpr double kMostGain = 10.0;  // in ln(time)
constexpr std::array<std::string_view, 16> kMeasured = {"best",
                                                        "best_log_cost",
                                                        "log_cost",
                                                        "speedup",
                                                        "valid",
                                                        "attempts",
                                                        "stagnation",
                                                        "time",
                                                        "seconds",
                                                        "median",
                                                        "evidence",
                                                        "performance",
                                                        "score",
                                                        "sol_score",
                                                        "verdict",
                                                        "cost"};

class ProposalReader {
 public:
  explicit ProposalReader(const ProposalScope& scope) : scope_(scope), next_(scope.next.value) {
    for (const ProposalNode& node : scope.nodes) {
      nodes_[node.id.value] = node;
    }
  }

  Proposals read(const JsonReader& root) {
    const auto members = root.members().value();
    for (const auto& [key, value] : members) {
      if (value.is_null()) {
        continue;
      }
      if (key == "edits") {
        each(value, key, [this](const JsonReader& item) { return edit(item); });
      } else if (key == "priors") {
        each(value, key, [this](const JsonReader& item) { return prior(item); });
      } else {
        refuse(shortened(key, 40), measured(key) ? "it is measured, not proposed" : "unknown");
      }
    }
    return std::move(out_);
  }

 private:
  using Reason = std::string;  // empty: taken

  static bool measured(std::string_view key) {
    return std::ranges::find(kMeasured, key) != kMeasured.end();
  }
  void refuse(std::string part, std::string reason) {
    if (out_.refused.size() >= kMostRefused) {
      return;
    }
    out_.refused.push_back({std::move(part), shortened(reason, 300)});
  }

  template <class Take>
  void each(const JsonReader& list, const std::string& name, Take take) {
    if (!list.is_array()) {
      refuse(name, "expected an array");
      return;
    }
    const std::vector<JsonReader> items = list.items().value();
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string part = fmt::format("{}[{}]", name, i);
      part_ = part;
      if (i >= kMostParts) {
        refuse(part, fmt::format("only {} are read", kMostParts));
        return;
      }
      if (Reason reason = items[i].is_object() ? take(items[i]) : "expected an object";
          !reason.empty()) {
        refuse(part, std::move(reason));
      }
    }
  }

  static Reason keys(const JsonReader& item, std::initializer_list<std::string_view> allowed) {
    const auto members = item.members().value();
    for (const auto& [key, value] : members) {
      if (value.is_null()) {
        continue;  // where each member must be there, this says that it is not
      }
      if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
        return fmt::format("\"{}\": {}",
                           shortened(key, 40),
                           measured(key) ? "it is measured, not proposed" : "unknown");
      }
    }
    return {};
  }

  static std::string words(const JsonReader& item, std::string_view key, std::size_t most) {
    const auto member = item.find(key);
    return member && member->is_string() ? shortened(trimmed(member->text().value()), most) : "";
  }

  // A finite number in [low, high]; `out` stays when the key is missing.
  static Reason number(
      const JsonReader& item, std::string_view key, double low, double high, double& out) {
    const auto member = item.find(key);
    if (!member) {
      return {};
    }
    const auto value = member->is_number() ? member->real() : Result<double>(std::nan(""));
    if (!value.ok() || !(*value >= low && *value <= high)) {
      return fmt::format("{}: expected a number from {} to {}", key, low, high);
    }
    out = *value;
    return {};
  }

  // A node by id, or by the ref of an insert that was taken.
  const ProposalNode* node(const JsonReader& item, std::string_view key, Reason& why) const {
    const auto member = item.find(key);
    if (!member) {
      why = fmt::format("{} is missing", key);
      return nullptr;
    }
    std::uint64_t id = 0;
    if (member->is_string()) {
      const auto ref = refs_.find(member->text().value());
      id = ref == refs_.end() ? 0 : ref->second;
    } else if (const auto number = member->unsigned_integer(); number.ok()) {
      id = *number;
    }
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) {
      why = fmt::format("{}: no such node above this edit", key);
      return nullptr;
    }
    return &found->second;
  }

  Reason edit(const JsonReader& item) {
    const std::string op = words(item, "op", 20);
    if (words(item, "reason", 300).empty()) {
      return "an edit needs a reason";
    }
    if (op == "insert") {
      return insert(item);
    }
    if (op == "update") {
      return update(item);
    }
    return op == "prune" ? prune(item) : Reason("op: expected insert, update or prune");
  }

  Reason insert(const JsonReader& item) {
    Reason why = keys(item, {"op", "parent", "title", "text", "priority", "reason", "ref", "axes"});
    if (!why.empty()) {
      return why;
    }
    const ProposalNode* parent = node(item, "parent", why);
    if (parent == nullptr) {
      return why;
    }
    if (parent->kind == NodeKind::root) {
      return "parent: the root holds templates; an idea goes under one, or under another idea";
    }
    if (parent->state == NodeState::pruned) {
      return fmt::format("parent {} is pruned", parent->id.value);
    }
    if (inserts_ >= scope_.most_inserts) {
      return fmt::format("only {} nodes may be inserted at once", scope_.most_inserts);
    }
    Insert insert;
    insert.node = {next_};
    insert.parent = parent->id;
    insert.kind = NodeKind::idea;
    insert.template_name = parent->template_name;
    insert.title = words(item, "title", 120);
    insert.text = words(item, "text", 4000);
    insert.reason = words(item, "reason", 300);
    if (insert.title.empty()) {
      return "an insert needs a title";
    }
    why = number(item, "priority", 0.0, kMostGain, insert.priority);
    if (!why.empty()) {
      return why;
    }
    const std::string ref = words(item, "ref", 40);
    if (!ref.empty() && !refs_.emplace(ref, next_).second) {
      return fmt::format("ref \"{}\" is taken", ref);
    }
    if (const auto axes = item.find("axes")) {
      insert.text += new_axes(*axes);
    }
    nodes_[next_] = {
        insert.node, insert.parent, insert.kind, NodeState::open, insert.template_name, {}};
    ++next_;
    ++inserts_;
    out_.edits.emplace_back(std::move(insert));
    return {};
  }

  // What a new axis is asked for with, as words for whoever writes the code. The axes themselves
  // come with that code.
  std::string new_axes(const JsonReader& list) {
    std::string out;
    const std::vector<JsonReader> items =
        list.is_array() ? list.items().value() : std::vector<JsonReader>();
    if (items.empty()) {
      refuse(part_ + ".axes", "expected an array of axes");
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i >= kMostAxes) {
        refuse(fmt::format("{}.axes[{}]", part_, i), fmt::format("only {} are read", kMostAxes));
        break;
      }
      std::string words;
      if (Reason why = new_axis(items[i], words); !why.empty()) {
        refuse(fmt::format("{}.axes[{}]", part_, i), std::move(why));
      } else {
        out += words;
      }
    }
    return out;
  }

  Reason new_axis(const JsonReader& item, std::string& words) const {
    const std::string name = item.is_object() ? this->words(item, "name", 40) : "";
    const bool plain = !name.empty() && std::ranges::all_of(name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!plain || (name[0] >= '0' && name[0] <= '9')) {
      return "name: expected small letters, digits and _";
    }
    if (std::ranges::find(scope_.axes, name, [](const auto& a) { return a.first; }) !=
        scope_.axes.end()) {
      return fmt::format("there is an axis \"{}\" already", name);
    }
    const auto list = item.find("levels");
    std::vector<Value> levels;
    if (list && list->is_array()) {
      const std::vector<JsonReader> given = list->items().value();
      if (given.size() > kMostLevels) {
        return fmt::format("levels: expected 2 to {} of them", kMostLevels);
      }
      for (const JsonReader& one : given) {
        const auto level = one.value();
        if (!level.ok() || std::ranges::find(levels, *level) != levels.end() ||
            (!levels.empty() && level->index() != levels.front().index())) {
          return "levels: expected distinct values of one type";
        }
        levels.push_back(*level);
      }
    }
    if (levels.size() < 2) {
      return fmt::format("levels: expected 2 to {} of them", kMostLevels);
    }
    words = fmt::format("\nDeclare the axis {} with the levels", name);
    for (const Value& level : levels) {
      words += " " + shortened(coppice::to_text(level), 40);
    }
    return {};
  }

  Reason update(const JsonReader& item) {
    Reason why = keys(item, {"op", "node", "priority", "state", "reason"});
    const ProposalNode* target = why.empty() ? node(item, "node", why) : nullptr;
    if (target == nullptr) {
      return why;
    }
    if (target->kind == NodeKind::root || target->state == NodeState::pruned) {
      return fmt::format("node {} is {}",
                         target->id.value,
                         target->state == NodeState::pruned ? "pruned" : "the root");
    }
    Update update;
    update.node = target->id;
    update.reason = words(item, "reason", 300);
    double priority = std::nan("");
    why = number(item, "priority", 0.0, kMostGain, priority);
    if (!why.empty()) {
      return why;
    }
    if (!std::isnan(priority)) {
      update.priority = priority;
    }
    if (const std::string state = words(item, "state", 20); !state.empty()) {
      if (state != "open" && state != "closed") {
        return "state: expected open or closed";
      }
      if (target->kind != NodeKind::idea) {
        return fmt::format("node {}: only ideas are opened or closed, measurements do the rest",
                           target->id.value);
      }
      update.state = state == "open" ? NodeState::open : NodeState::closed;
    }
    if (!update.priority && !update.state) {
      return "an update that changes nothing";
    }
    nodes_[target->id.value].state = update.state.value_or(target->state);
    out_.edits.emplace_back(std::move(update));
    return {};
  }

  Reason prune(const JsonReader& item) {
    Reason why = keys(item, {"op", "node", "reason"});
    const ProposalNode* target = why.empty() ? node(item, "node", why) : nullptr;
    if (target == nullptr) {
      return why;
    }
    if (target->kind == NodeKind::root || target->kind == NodeKind::template_root) {
      return fmt::format("node {} is a root: only measurements may give it up", target->id.value);
    }
    if (target->state == NodeState::pruned) {
      return fmt::format("node {} is pruned already", target->id.value);
    }
    if (!target->keep.empty()) {
      return fmt::format("node {}: {}", target->id.value, target->keep);
    }
    out_.edits.emplace_back(Prune{target->id, words(item, "reason", 300)});
    prune_below(target->id.value);
    return {};
  }

  // Children have higher ids than their parents.
  void prune_below(std::uint64_t id) {
    nodes_[id].state = NodeState::pruned;
    for (auto& [key, child] : nodes_) {
      const auto parent = nodes_.find(child.parent.value);
      if (key > id && parent != nodes_.end() && parent->second.state == NodeState::pruned) {
        child.state = NodeState::pruned;
      }
    }
  }

  Reason prior(const JsonReader& item) {
    Reason why = keys(item, {"axis", "level", "gain", "confidence"});
    if (!why.empty()) {
      return why;
    }
    Prior prior;
    prior.axis = words(item, "axis", 80);
    const auto axis =
        std::ranges::find(scope_.axes, prior.axis, [](const auto& a) { return a.first; });
    if (axis == scope_.axes.end()) {
      return fmt::format("no axis \"{}\"", prior.axis);
    }
    const auto level = item.find("level");
    const auto value = level ? level->value() : Result<Value>(Error{ErrorCode::config, "missing"});
    if (!value.ok() || std::ranges::find(axis->second, *value) == axis->second.end()) {
      return fmt::format("axis {} has no such level", prior.axis);
    }
    prior.level = *value;
    if (!item.find("gain")) {
      return "gain is missing";
    }
    why = number(item, "gain", -kMostGain, kMostGain, prior.gain);
    if (why.empty()) {
      why = number(item, "confidence", 0.0, 1.0, prior.confidence);
    }
    if (why.empty()) {
      out_.priors.push_back(std::move(prior));
    }
    return why;
  }

  const ProposalScope& scope_;
  std::uint64_t next_;
  std::size_t inserts_ = 0;
  std::string part_;  // that is read
  std::map<std::uint64_t, ProposalNode> nodes_;
  std::map<std::string, std::uint64_t, std::less<>> refs_;
  Proposals out_;
};

}  // namespace

std::string_view proposals_schema() {
  return R"({"type":"object","additionalProperties":false,"required":["edits","priors"],"properties":{)"
         R"("edits":{"type":"array","items":{"type":"object","additionalProperties":false,)"
         R"("required":["op","reason","parent","node","title","text","priority","state","ref","axes"],)"
         R"("properties":{"op":{"type":"string","enum":["insert","update","prune"]},)"
         R"("reason":{"type":"string"},"parent":{"type":["integer","string","null"]},)"
         R"("node":{"type":["integer","string","null"]},"title":{"type":["string","null"]},)"
         R"("text":{"type":["string","null"]},"priority":{"type":["number","null"]},)"
         R"("state":{"type":["string","null"],"enum":["open","closed",null]},)"
         R"("ref":{"type":["string","null"]},"axes":{"type":["array","null"],"items":{)"
         R"("type":"object","additionalProperties":false,"required":["name","levels"],)"
         R"("properties":{"name":{"type":"string"},"levels":{"type":"array",)"
         R"("items":{"type":["number","string","boolean"]}}}}}}}},)"
         R"("priors":{"type":"array","items":{"type":"object","additionalProperties":false,)"
         R"("required":["axis","level","gain","confidence"],"properties":{"axis":{"type":"string"},)"
         R"("level":{"type":["number","string","boolean"]},"gain":{"type":"number"},)"
         R"("confidence":{"type":"number"}}}}}})";
}

Result<Proposals> read_proposals(std::string_view text, const ProposalScope& scope) {
  const std::string clean = clean_text(text);
  COPPICE_TRY(const Json json, object_in(clean, "proposals"));
  return ProposalReader(scope).read(json.reader("proposals"));
}

}  // namespace coppice::llm
