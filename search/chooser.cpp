// What all strategies share: the first edits of the tree, and edits as decisions.
#include "search/chooser.h"

#include "core/check.h"
#include "mutators/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

std::vector<std::string> mutator_names() {
  std::vector<std::string> names;
  for (const auto& mutator : mutators::rule_mutators()) {
    names.emplace_back(mutator->name());
  }
  return names;
}

}  // namespace

Shared::Shared(std::uint64_t run_seed,
               SearchOptions run_options,
               Domain run_domain,
               std::vector<planner::WarmSource> warm_sources)
    : seed(run_seed),
      options(run_options),
      domain(std::move(run_domain)),
      book(domain, static_cast<std::size_t>(std::max(run_options.finalists, 8))),
      ledger(run_options.strategy == Strategy::coppice ? mutator_names()
                                                       : std::vector<std::string>()),
      warm(std::move(warm_sources)) {
  if (options.memory && options.strategy == Strategy::coppice) {
    memory = Memory(domain.space(), warm);
  }
}

void Shared::edit(Edit change, std::vector<Event>& out) {
  COPPICE_CHECK(tree.apply(change).ok());
  out.emplace_back(EditApplied{std::move(change)});
}

Rng Shared::draw_stream(std::string_view purpose) const {
  // Candidates are entered at their proposal, so this counter moves with each of them.
  return stream(seed, purpose, book.candidates());
}

bool Shared::is_new(std::uint32_t t, const Genome& genome) const {
  const Point point{t, genome};
  return !book.known(point) && !memory.avoids(t, genome) && domain.class_of(point).has_value();
}

void plant(Shared& shared, std::vector<Event>& out) {
  Insert root;
  root.node = shared.tree.next_id();
  root.kind = NodeKind::root;
  root.title = "all ideas";
  root.reason = "the run starts";
  const NodeId root_id = root.node;
  shared.edit(std::move(root), out);
  for (std::uint32_t t = 0; t < shared.domain.space().size(); ++t) {
    Insert insert;
    insert.node = shared.tree.next_id();
    insert.parent = root_id;
    insert.kind = NodeKind::template_root;
    insert.template_name = shared.domain.space()[t].name;
    insert.title = insert.template_name;
    insert.priority = 1.0;
    insert.reason = "a template of the operation";
    shared.template_nodes.push_back(insert.node);
    shared.edit(std::move(insert), out);
    if (!shared.domain.hopeless(t).empty()) {
      shared.edit(Prune{shared.template_nodes.back(), shared.domain.hopeless(t)}, out);
    }
  }
  recall_dead_ends(shared, out);
}

std::unique_ptr<Chooser> make_chooser(Shared& shared, Executor& executor) {
  switch (shared.options.strategy) {
    case Strategy::coppice:
      return make_tree_chooser(shared, executor);
    case Strategy::random:
      return make_random_chooser(shared);
    case Strategy::hillclimb:
      return make_hillclimb_chooser(shared);
    case Strategy::best_of_n:
      return make_best_of_n_chooser(shared);
    case Strategy::default_only:
      return make_default_chooser(shared);
  }
  COPPICE_UNREACHABLE();
}

}  // namespace coppice::search
