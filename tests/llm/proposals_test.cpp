// Proposals about the tree: sound ones pass, each unsound one is refused alone with its reason.
#include "llm/proposals.h"

#include "tests/support/catch.h"
#include "tests/support/text.h"

namespace coppice::llm {
namespace {

ProposalScope scope() {
  ProposalScope out;
  out.nodes = {{{1}, {0}, NodeKind::root, NodeState::open, ""},
               {{2}, {1}, NodeKind::template_root, NodeState::open, "flash"},
               {{3}, {2}, NodeKind::structural, NodeState::open, "flash"},
               {{4}, {2}, NodeKind::structural, NodeState::pruned, "flash"},
               {{5}, {3}, NodeKind::idea, NodeState::open, "flash"}};
  out.next = {6};
  out.most_inserts = 2;
  out.axes = {{"tile", {Value{std::int64_t{32}}, Value{std::int64_t{64}}}}};
  return out;
}

Proposals proposals_in(const std::string& text) {
  auto out = read_proposals(text, scope());
  REQUIRE(out.ok());
  return std::move(out).value();
}

// The reason why the only edit is refused.
std::string reason(const std::string& edit) {
  const Proposals out = proposals_in("{\"edits\": [" + edit + "]}");
  CHECK(out.edits.empty());
  return out.refused.empty() ? "" : out.refused[0].reason;
}

}  // namespace

TEST_CASE("sound edits become edits of the tree, refs stand for new nodes") {
  const Proposals out = proposals_in(
      R"(Sure: {"edits": [
        {"op": "insert", "parent": 3, "title": "stage by rows", "text": "copy rows", "priority": 0.2,
         "reason": "long runs", "ref": "a"},
        {"op": "insert", "parent": "a", "title": "two deep", "reason": "hide latency"},
        {"op": "update", "node": 3, "priority": 0.5, "reason": "it gained"},
        {"op": "prune", "node": 5, "reason": "tried"}],
        "priors": [{"axis": "tile", "level": 64, "gain": 0.1, "confidence": 0.7}]} done.)");
  CHECK(out.refused.empty());
  REQUIRE(out.edits.size() == 4);
  const auto& first = std::get<Insert>(out.edits[0]);
  CHECK(first.node == NodeId{6});
  CHECK(first.template_name == "flash");
  CHECK(first.kind == NodeKind::idea);
  CHECK(std::get<Insert>(out.edits[1]).parent == NodeId{6});
  CHECK(std::get<Update>(out.edits[2]).priority == 0.5);
  CHECK(std::get<Prune>(out.edits[3]).node == NodeId{5});
  REQUIRE(out.priors.size() == 1);
  CHECK(out.priors[0].gain == 0.1);
}

TEST_CASE("each unsound edit is refused with its own reason") {
  CHECK(contains(reason(R"({"op": "prune", "node": 99, "reason": "r"})"), "no such node"));
  CHECK(contains(reason(R"({"op": "prune", "node": 5})"), "needs a reason"));
  CHECK(contains(reason(R"({"op": "prune", "node": 1, "reason": "r"})"), "root"));
  CHECK(contains(reason(R"({"op": "prune", "node": 2, "reason": "r"})"), "root"));
  CHECK(contains(reason(R"({"op": "prune", "node": 4, "reason": "r"})"), "pruned already"));
  CHECK(
      contains(reason(R"({"op": "update", "node": 4, "state": "open", "reason": "r"})"), "pruned"));
  CHECK(contains(reason(R"({"op": "update", "node": 3, "reason": "r"})"), "changes nothing"));
  CHECK(contains(reason(R"({"op": "update", "node": 3, "state": "pruned", "reason": "r"})"),
                 "state"));
  CHECK(
      contains(reason(R"({"op": "update", "node": 3, "priority": -1, "reason": "r"})"), "from 0"));
  CHECK(contains(reason(R"({"op": "update", "node": 3, "priority": "nan", "reason": "r"})"),
                 "from 0"));
  CHECK(
      contains(reason(R"({"op": "insert", "parent": 4, "title": "t", "reason": "r"})"), "pruned"));
  CHECK(contains(reason(R"({"op": "insert", "parent": 3, "reason": "r"})"), "title"));
  CHECK(contains(reason(R"({"op": "insert", "parent": 1, "title": "t", "reason": "r"})"),
                 "the root holds templates"));
  CHECK(contains(reason(R"({"op": "insert", "parent": "b", "title": "t", "reason": "r"})"),
                 "no such node"));
  CHECK(contains(reason(R"({"op": "graft", "reason": "r"})"), "op: expected"));
  CHECK(contains(reason("3"), "object"));
}

TEST_CASE("a node that measurements speak for is kept, and only ideas are closed") {
  ProposalScope kept = scope();
  kept.nodes[2].keep = "the best so far hangs under it";
  const auto read = read_proposals(
      R"({"edits": [{"op": "prune", "node": 3, "reason": "r"},
                    {"op": "update", "node": 3, "state": "closed", "reason": "r"},
                    {"op": "update", "node": 5, "state": "closed", "reason": "r"}]})",
      kept);
  REQUIRE(read.ok());
  REQUIRE(read->refused.size() == 2);
  CHECK(contains(read->refused[0].reason, "the best so far"));
  CHECK(contains(read->refused[1].reason, "only ideas"));
  CHECK(read->edits.size() == 1);
}

TEST_CASE("new axes go into the idea's words, each unsound one is refused alone") {
  const Proposals out = proposals_in(
      R"({"edits": [{"op": "insert", "parent": 3, "title": "t", "reason": "r", "axes": [
        {"name": "depth", "levels": [2, 1, 4]}, {"name": "tile", "levels": [1, 2]},
        {"name": "Deep", "levels": [1, 2]}, {"name": "way", "levels": ["ring"]},
        {"name": "mix", "levels": [1, "a"]}, {"name": "twice", "levels": [1, 1]}, 7]}]})");
  REQUIRE(out.edits.size() == 1);
  CHECK(contains(std::get<Insert>(out.edits[0]).text, "the axis depth with the levels 2 1 4"));
  REQUIRE(out.refused.size() == 6);
  CHECK(out.refused[0].part == "edits[0].axes[1]");
  CHECK(contains(out.refused[0].reason, "already"));
  CHECK(contains(out.refused[1].reason, "small letters"));
  CHECK(contains(out.refused[2].reason, "2 to 8"));
  CHECK(contains(out.refused[3].reason, "one type"));
  CHECK(contains(out.refused[4].reason, "distinct"));
  CHECK(contains(out.refused[5].reason, "small letters"));
}

TEST_CASE("a reply with very many parts is read in no time, and its refusals are bounded") {
  std::string levels = "0", axes, keys;
  for (int i = 1; i < 100000; ++i) {
    levels += "," + std::to_string(i);
    axes += "{\"name\": \"a" + std::to_string(i) + "\", \"levels\": [1, 2]},";
    keys += "\"k" + std::to_string(i) + "\": 1,";
  }
  const Proposals out = proposals_in(
      "{" + keys +
      R"("edits": [{"op": "insert", "parent": 3, "title": "t", "reason": "r", "axes": [)" + axes +
      "{\"name\": \"x\", \"levels\": [1, 2]}]}, " +
      R"({"op": "insert", "parent": 3, "title": "t", "reason": "r", "axes": [{"name": "deep", "levels": [)" +
      levels + "]}]}]}");
  CHECK(out.edits.size() == 2);
  CHECK(std::get<Insert>(out.edits[0]).text.size() < 1000);
  CHECK(out.refused.size() == 256);
  CHECK(contains(out.refused[0].reason, "only 8 are read"));
  CHECK(contains(out.refused[1].reason, "2 to 8"));
}

TEST_CASE("an insert can't be its own ancestor, nor hang under one that comes later") {
  CHECK(contains(
      reason(R"({"op": "insert", "parent": "a", "ref": "a", "title": "t", "reason": "r"})"),
      "no such node"));
  CHECK(contains(reason(R"({"op": "insert", "parent": 6, "title": "t", "reason": "r"})"),
                 "no such node"));
}

TEST_CASE("no edit can name a measured field") {
  for (const char* field : {"best", "log_cost", "speedup", "attempts", "valid", "evidence"}) {
    CAPTURE(field);
    CHECK(contains(reason(std::string(R"({"op": "update", "node": 3, "priority": 1, ")") + field +
                          R"(": 1, "reason": "r"})"),
                   "measured"));
  }
  CHECK(contains(proposals_in(R"({"performance": {}})").refused.at(0).reason, "measured"));
}

TEST_CASE("what lies below a pruned node is gone for later edits, and inserts are bounded") {
  const Proposals out = proposals_in(
      R"({"edits": [{"op": "prune", "node": 3, "reason": "r"},
                    {"op": "update", "node": 5, "priority": 1, "reason": "r"},
                    {"op": "insert", "parent": 2, "title": "a", "reason": "r"},
                    {"op": "insert", "parent": 2, "title": "b", "reason": "r"},
                    {"op": "insert", "parent": 2, "title": "c", "reason": "r"}]})");
  CHECK(out.edits.size() == 3);
  REQUIRE(out.refused.size() == 2);
  CHECK(out.refused[0].part == "edits[1]");
  CHECK(contains(out.refused[1].reason, "only 2 nodes"));
}

TEST_CASE("priors speak of levels that exist, in numbers within reason") {
  const auto prior = [](const std::string& text) {
    const Proposals out = proposals_in("{\"priors\": [" + text + "]}");
    CHECK(out.priors.empty());
    return out.refused.at(0).reason;
  };
  CHECK(
      contains(prior(R"({"axis": "tiles", "level": 64, "gain": 1, "confidence": 1})"), "no axis"));
  CHECK(contains(prior(R"({"axis": "tile", "level": 65, "gain": 1, "confidence": 1})"), "level"));
  CHECK(contains(prior(R"({"axis": "tile", "level": 64, "gain": 1e9, "confidence": 1})"), "gain"));
  CHECK(contains(prior(R"({"axis": "tile", "level": 64, "gain": 1, "confidence": 2})"),
                 "confidence"));
  CHECK(contains(prior(R"({"axis": "tile", "level": 64})"), "gain is missing"));
}

// What strict providers refuse a schema for; empty: nothing.
std::string loose_place(const JsonReader& at) {
  const auto members = at.members().value();
  for (const auto& [key, value] : members) {
    if (value.is_object()) {
      if (const std::string below = loose_place(value); !below.empty()) {
        return below;
      }
    }
  }
  if (const auto properties = at.find("properties"); properties && at.find("type")) {
    const auto required = at.at("required")->texts();
    if (at.boolean_or("additionalProperties", true).value() ||
        required->size() != properties->members()->size()) {
      return at.place();
    }
  }
  const auto type = at.find("type");
  const bool list = type && type->copy().dump().find("\"array\"") != std::string::npos;
  return list && !at.find("items") ? at.place() : "";
}

TEST_CASE("the schema is one that strict providers take, and nulls mean what is left out") {
  const auto schema = Json::parse(proposals_schema(), "schema");
  REQUIRE(schema.ok());
  CHECK(loose_place(schema->reader("schema")).empty());
  const Proposals out = proposals_in(
      R"({"edits": [{"op": "insert", "parent": 3, "node": null, "title": "t", "text": null,
        "priority": null, "state": null, "reason": "r", "ref": null, "axes": null},
        {"op": "prune", "node": 5, "parent": null, "title": null, "text": null, "priority": null,
        "state": null, "reason": "r", "ref": null, "axes": null}], "priors": null})");
  CHECK(out.refused.empty());
  CHECK(out.edits.size() == 2);
}

TEST_CASE("a text without an object is an error, and the schema itself is sound JSON") {
  CHECK_FALSE(read_proposals("no idea", scope()).ok());
  CHECK_FALSE(read_proposals("{\"edits\": [", scope()).ok());
  CHECK(Json::parse(proposals_schema(), "schema").ok());
}

}  // namespace coppice::llm
