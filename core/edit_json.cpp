// Edits of the search tree as JSON.
#include "core/codec.h"
#include "core/edit.h"

namespace coppice {
namespace {

constexpr std::string_view kStates[] = {"open", "active", "closed", "pruned"};
constexpr std::string_view kNodeKinds[] = {
    "root", "template_root", "structural", "axis_focus", "idea"};

Json insert_json(const Insert& insert) {
  Json json = Json::object();
  json.set("edit", "insert")
      .set("node", insert.node.value)
      .set("parent", insert.parent.value)
      .set("kind", to_text(insert.kind))
      .set("title", insert.title)
      .set("priority", insert.priority)
      .set("reason", insert.reason);
  set_if(json, "template", !insert.template_name.empty(), insert.template_name);
  set_if(json, "fixed", !insert.fixed.empty(), to_json(insert.fixed));
  set_if(json, "text", !insert.text.empty(), insert.text);
  return json;
}

Json update_json(const Update& update) {
  Json json = Json::object();
  json.set("edit", "update").set("node", update.node.value).set("reason", update.reason);
  if (update.priority) {
    json.set("priority", *update.priority);
  }
  if (update.state) {
    json.set("state", to_text(*update.state));
  }
  if (update.best) {
    json.set("best", update.best->value);
  }
  return json;
}

Json prune_json(const Prune& prune) {
  return Json::object()
      .set("edit", "prune")
      .set("node", prune.node.value)
      .set("reason", prune.reason);
}

Result<Edit> read_insert(const JsonReader& json) {
  Insert insert;
  Fields fields(json,
                {"edit",
                 "node",
                 "parent",
                 "kind",
                 "template",
                 "fixed",
                 "title",
                 "text",
                 "priority",
                 "reason"});
  fields.need("node", insert.node)
      .need("parent", insert.parent)
      .need_enum("kind", insert.kind, node_kind)
      .maybe("template", insert.template_name)
      .maybe("fixed", insert.fixed)
      .need("title", insert.title)
      .maybe("text", insert.text)
      .need("priority", insert.priority)
      .need("reason", insert.reason);
  return fields.done(Edit(std::move(insert)));
}

Result<Edit> read_update(const JsonReader& json) {
  Update update;
  Fields fields(json, {"edit", "node", "reason", "priority", "state", "best"});
  fields.need("node", update.node)
      .maybe("priority", update.priority)
      .maybe("best", update.best)
      .need("reason", update.reason);
  if (json.is_object() && json.find("state")) {
    NodeState state{};
    fields.need_enum("state", state, node_state);
    update.state = state;
  }
  return fields.done(Edit(std::move(update)));
}

}  // namespace

std::string_view to_text(NodeState state) {
  return kStates[static_cast<std::size_t>(state)];
}
std::string_view to_text(NodeKind kind) {
  return kNodeKinds[static_cast<std::size_t>(kind)];
}
Result<NodeState> node_state(std::string_view text) {
  return enum_named<NodeState>("state", kStates, text);
}
Result<NodeKind> node_kind(std::string_view text) {
  return enum_named<NodeKind>("kind", kNodeKinds, text);
}

Json to_json(const Edit& edit) {
  if (const Insert* insert = std::get_if<Insert>(&edit)) {
    return insert_json(*insert);
  }
  if (const Update* update = std::get_if<Update>(&edit)) {
    return update_json(*update);
  }
  return prune_json(std::get<Prune>(edit));
}

Result<Edit> edit(const JsonReader& json) {
  COPPICE_TRY(const JsonReader kind, json.at("edit"));
  COPPICE_TRY(const std::string text, kind.text());
  if (text == "insert") {
    return read_insert(json);
  }
  if (text == "update") {
    return read_update(json);
  }
  if (text == "prune") {
    Prune prune;
    Fields fields(json, {"edit", "node", "reason"});
    fields.need("node", prune.node).need("reason", prune.reason);
    return fields.done(Edit(std::move(prune)));
  }
  return kind.error("\"insert\", \"update\" or \"prune\"");
}

}  // namespace coppice
