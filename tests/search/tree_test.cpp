// The tree's edits: what they do, and every way in which a bad one is refused.
#include "search/tree.h"

#include "core/random.h"
#include "tests/support/catch.h"

using namespace coppice;
using search::Tree;

namespace {

Insert insert(std::uint64_t id, std::uint64_t parent, NodeKind kind, double priority = 1.0) {
  Insert edit;
  edit.node = {id};
  edit.parent = {parent};
  edit.kind = kind;
  edit.template_name = kind == NodeKind::root ? "" : "t";
  edit.title = "node";
  edit.priority = priority;
  edit.reason = "a test";
  return edit;
}

Update update(std::uint64_t id, std::optional<NodeState> state) {
  Update edit;
  edit.node = {id};
  edit.state = state;
  edit.reason = "a test";
  return edit;
}

// root 1, template 2, structural 3 and 4 under it, focus 5 under 3
Tree small_tree() {
  Tree tree;
  REQUIRE(tree.apply(insert(1, 0, NodeKind::root)).ok());
  REQUIRE(tree.apply(insert(2, 1, NodeKind::template_root)).ok());
  Insert fused = insert(3, 2, NodeKind::structural, 0.5);
  fused.fixed = {{"fuse", true}};
  REQUIRE(tree.apply(fused).ok());
  REQUIRE(tree.apply(insert(4, 2, NodeKind::structural, 0.5)).ok());
  REQUIRE(tree.apply(insert(5, 3, NodeKind::axis_focus, 0.1)).ok());
  return tree;
}

std::string refusal(Tree& tree, const Edit& edit) {
  const std::size_t before = tree.size();
  const auto result = tree.apply(edit);
  REQUIRE(!result.ok());
  CHECK(tree.size() == before);
  return result.error().message;
}

}  // namespace

TEST_CASE("inserted nodes collect what is fixed on their way from the root") {
  Tree tree = small_tree();
  Insert deep = insert(6, 5, NodeKind::axis_focus);
  deep.fixed = {{"tile", std::int64_t{64}}};
  REQUIRE(tree.apply(deep).ok());
  CHECK(tree.at({6}).fixed == ValueMap{{"fuse", true}, {"tile", std::int64_t{64}}});
  CHECK(tree.at({2}).children == std::vector<NodeId>{{3}, {4}});
}

TEST_CASE("bad insertions are refused, each with its reason") {
  Tree tree = small_tree();
  CHECK(refusal(tree, insert(6, 99, NodeKind::structural)) == "insert node 6: unknown parent 99");
  CHECK(refusal(tree, insert(6, 6, NodeKind::structural)) ==
        "insert node 6: a node can't be its own parent");
  CHECK(refusal(tree, insert(3, 2, NodeKind::structural)) == "insert node 3: the id is taken");
  CHECK(refusal(tree, insert(8, 2, NodeKind::structural)) ==
        "insert node 8: expected the next free id 6");
  CHECK(refusal(tree, insert(6, 0, NodeKind::root)) == "insert node 6: there is a root already");
  CHECK(refusal(tree, insert(6, 1, NodeKind::structural)) ==
        "insert node 6: structural can't hang under root");
  CHECK(refusal(tree, insert(6, 2, NodeKind::template_root)) ==
        "insert node 6: template_root can't hang under template_root");
  Insert again = insert(6, 3, NodeKind::structural);
  again.fixed = {{"fuse", false}};
  CHECK(refusal(tree, again) == "insert node 6: axis fuse is already fixed to true above");
  Insert foreign = insert(6, 3, NodeKind::structural);
  foreign.template_name = "u";
  CHECK(refusal(tree, foreign) ==
        "insert node 6: expected its parent's template \"t\", found \"u\"");
  Insert silent = insert(6, 2, NodeKind::structural);
  silent.reason.clear();
  CHECK(refusal(tree, silent) == "insert node 6: expected a reason, found none");
  CHECK(refusal(tree, insert(6, 2, NodeKind::structural, 0.0 / 0.0))
            .find("expected a finite priority") != std::string::npos);
}

TEST_CASE("a pruned parent takes no children, and pruning takes the subtree along") {
  Tree tree = small_tree();
  REQUIRE(tree.apply(Prune{{3}, "can't win"}).ok());
  CHECK(tree.at({3}).state == NodeState::pruned);
  CHECK(tree.at({3}).reason == "can't win");
  CHECK(tree.at({5}).state == NodeState::pruned);
  CHECK(tree.at({5}).reason == "node 3 was pruned");
  CHECK(tree.at({4}).state == NodeState::open);
  CHECK(refusal(tree, insert(6, 3, NodeKind::structural)) == "insert node 6: parent 3 is pruned");
  CHECK(refusal(tree, Prune{{3}, "again"}) == "prune node 3: it is pruned already");
  CHECK(refusal(tree, Prune{{1}, "all"}) == "prune node 1: the root stays");
  CHECK(refusal(tree, Prune{{9}, "who"}) == "prune node 9: unknown node");
  CHECK(refusal(tree, Prune{{4}, ""}) == "prune node 4: expected a reason, found none");
}

TEST_CASE("a pruned node is re-opened by an update, its children only after it") {
  Tree tree = small_tree();
  REQUIRE(tree.apply(Prune{{3}, "can't win"}).ok());
  CHECK(refusal(tree, update(5, NodeState::open)) == "update node 5: its parent 3 is pruned");
  CHECK(refusal(tree, update(3, NodeState::active)) ==
        "update node 3: the node is pruned; only re-opening it is possible");
  REQUIRE(tree.apply(update(3, NodeState::open)).ok());
  CHECK(tree.at({5}).state == NodeState::pruned);
  REQUIRE(tree.apply(update(5, NodeState::open)).ok());
}

TEST_CASE("bad updates are refused, each with its reason") {
  Tree tree = small_tree();
  CHECK(refusal(tree, update(9, NodeState::open)) == "update node 9: unknown node");
  CHECK(refusal(tree, update(3, std::nullopt)) == "update node 3: it changes nothing");
  CHECK(refusal(tree, update(3, NodeState::pruned)) ==
        "update node 3: pruning is an edit of its own");
  Update none = update(3, NodeState::closed);
  none.best = CandidateId{};
  CHECK(refusal(tree, none) == "update node 3: expected a candidate, found none");
}

TEST_CASE("only open nodes are selected, by priority and then by id") {
  Tree tree = small_tree();
  CHECK(tree.select() == NodeId{2});
  REQUIRE(tree.apply(update(2, NodeState::active)).ok());
  CHECK(tree.select() == NodeId{3});
  Update higher = update(4, std::nullopt);
  higher.priority = 0.6;
  REQUIRE(tree.apply(higher).ok());
  CHECK(tree.select() == NodeId{4});
  CHECK(tree.open_nodes(10) == std::vector<NodeId>{{4}, {3}, {5}});
  REQUIRE(tree.apply(update(4, NodeState::closed)).ok());
  REQUIRE(tree.apply(Prune{{3}, "can't win"}).ok());
  CHECK_FALSE(tree.select());
}

TEST_CASE("attempts count at the node and above it, and stagnation at each on its own") {
  Tree tree = small_tree();
  tree.record({4}, {{7}, true, 1.0});
  tree.record({3}, {{8}, true, 2.0});
  CHECK(tree.at({3}).stagnation == 0);
  CHECK(tree.at({2}).stagnation == 1);
  CHECK(tree.at({2}).best == CandidateId{7});
  CHECK(tree.at({2}).attempts == 2);
  tree.record({3}, {{9}, false, 0.0});
  CHECK(tree.at({3}).stagnation == 1);
  CHECK(tree.at({3}).valid == 1);
  tree.leave({3});
  CHECK(tree.at({3}).stagnation == 0);
  CHECK(tree.at({2}).stagnation == 2);
}

TEST_CASE("random edits never break the tree's invariants") {
  Tree tree = small_tree();
  Rng rng = stream(11, "tree_test", 0);
  int refused = 0;
  for (int step = 0; step < 10000; ++step) {
    const std::uint64_t some = 1 + rng.below(tree.size() + 1);
    const auto state = static_cast<NodeState>(rng.below(4));
    Edit edit = Prune{{some}, "a test"};
    if (rng.below(10) < 6) {
      edit = insert(rng.below(20) == 0 ? some : tree.next_id().value,
                    some,
                    static_cast<NodeKind>(rng.below(5)),
                    rng.uniform());
    } else if (rng.below(8) > 0) {
      edit = update(some, state);
    }
    const bool sound = tree.check(edit).ok();
    CHECK(tree.apply(edit).ok() == sound);
    refused += sound ? 0 : 1;
    tree.record({1 + rng.below(tree.size())}, {{1}, rng.below(2) == 0, rng.uniform()});
  }
  CHECK(refused > 1000);
  std::size_t open = 0;
  for (const search::Node& node : tree.nodes()) {
    CHECK((node.parent < node.id));
    open += node.state == NodeState::open && node.kind != NodeKind::root ? 1 : 0;
    if (node.parent && tree.at(node.parent).state == NodeState::pruned) {
      CHECK(node.state == NodeState::pruned);
    }
  }
  CHECK(tree.open_count() == open);
  CHECK(tree.open_nodes(100000).size() == open);
}
