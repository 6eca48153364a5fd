// Strategy coppice: how it works the tree, and that nothing random can break it.
#include "core/digest.h"
#include "core/random.h"
#include "core/space_walk.h"
#include "planner/warm_source.h"
#include "tests/search/fake_world.h"

#include <set>
#include <thread>

using namespace coppice;
using namespace coppice::test;

namespace {

// Calls bodies from several threads, to show that their order does not matter.
class ThreadedExecutor final : public Executor {
 public:
  explicit ThreadedExecutor(std::size_t width) : width_(width) {}
  void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) override {
    std::vector<std::thread> threads;
    for (std::size_t worker = 0; worker < width_; ++worker) {
      threads.emplace_back([&, worker] {
        for (std::size_t i = count; i-- > 0;) {  // backwards: another order on purpose
          if (i % width_ == worker) {
            body(i);
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  std::size_t width() const override { return width_; }

 private:
  std::size_t width_;
};

std::string signature(const Play& play) {
  std::string all;
  for (const auto& decisions : play.transcript.decisions) {
    for (const std::string& decision : decisions) {
      all += decision + "\n";
    }
  }
  return sha256(all).hex().substr(0, 16);
}

search::EngineSetup fixed_run() {
  search::EngineSetup setup = setup_for(two_templates(), 80);
  setup.seed = 42;
  setup.options.lanes = 2;
  return setup;
}

// A rough landscape with failures, fixed by the point.
Answer rough(const Proposed& proposed) {
  std::uint64_t hash = hash_text(proposed.spec.template_name);
  for (const std::uint16_t level : proposed.spec.genome.levels) {
    hash = mix64(hash ^ (level + 77U));
  }
  if (hash % 7 == 0) {
    return {FailureClass::crash, 0.0, ""};
  }
  Answer answer = bowl(proposed);
  answer.log_cost += 0.1 * static_cast<double>(hash % 1000) / 1000.0;
  return answer;
}

const Insert* find_insert(const Play& play, const std::string& title) {
  for (const Edit& edit : play.edits) {
    const Insert* insert = std::get_if<Insert>(&edit);
    if (insert != nullptr && insert->title == title) {
      return insert;
    }
  }
  return nullptr;
}

}  // namespace

TEST_CASE("the search signature is what it was: decisions moved only on purpose") {
  InlineExecutor executor;
  search::EngineSetup setup = fixed_run();
  setup.options.world_model = false;
  Play play(setup, rough, executor);
  play.run();
  CHECK(signature(play) == "176b7bb6f468dd1e");
  setup.options.world_model = true;
  Play modelled(setup, rough, executor);
  modelled.run();
  CHECK(signature(modelled) == "f1054360c8f0077f");
}

TEST_CASE("one and eight workers decide alike") {
  InlineExecutor one;
  ThreadedExecutor eight(8);
  Play a(fixed_run(), rough, one);
  Play b(fixed_run(), rough, eight);
  a.run();
  b.run();
  CHECK(a.transcript.decisions == b.transcript.decisions);
}

TEST_CASE("structural choices become nodes, and attempts count under them") {
  InlineExecutor executor;
  Play play(setup_for(two_templates(), 80), bowl, executor);
  play.run();
  const Insert* fused = find_insert(play, "fuse=true");
  REQUIRE(fused != nullptr);
  CHECK(fused->kind == NodeKind::structural);
  std::int64_t under_templates = 0;
  for (const search::NodeView& node : play.view().nodes()) {
    under_templates += node.kind == NodeKind::template_root ? node.attempts : 0;
    if (node.kind == NodeKind::structural) {
      CHECK(node.attempts > 0);
    }
  }
  CHECK(under_templates == 80);
  for (const Proposed& proposed : play.proposals) {
    const search::NodeView node = play.view().nodes()[proposed.node.value - 1];
    if (proposed.spec.template_name == "split" && proposed.fidelity == Fidelity::search) {
      CHECK(node.fixed.size() >= 2);
    }
  }
}

TEST_CASE("without the tree, structural axes are refined like any other") {
  search::EngineSetup setup = setup_for(two_templates(), 60);
  setup.options.tree = false;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run();
  CHECK(find_insert(play, "fuse=true") == nullptr);
  CHECK(play.promotions.size() == 1);
}

TEST_CASE("each part can be switched off, and the search still finds the bowl") {
  for (int part = 0; part < 4; ++part) {
    search::EngineSetup setup = setup_for(two_templates(), 90);
    setup.options.world_model = part != 0;
    setup.options.frontier = part != 1;
    setup.options.evolution = part != 2;
    setup.options.memory = part != 3;
    InlineExecutor executor;
    Play play(setup, bowl, executor);
    play.run();
    CHECK(play.view().best_log_cost < 0.06);
    CHECK(play.promotions.size() == 1);
  }
}

TEST_CASE("a node is left after K attempts without improvement, with that reason") {
  search::EngineSetup setup = setup_for(two_templates(), 90);
  setup.options.stagnation = 5;
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run();
  int left = 0;
  for (const Edit& edit : play.edits) {
    const Update* update = std::get_if<Update>(&edit);
    left += update != nullptr && update->reason.find("5 attempts without improvement") == 0 ? 1 : 0;
  }
  CHECK(left > 0);
}

TEST_CASE("a structure that never works is pruned with its count and its last failure") {
  search::EngineSetup setup = setup_for(two_templates(), 130);
  setup.options.stagnation = 4;
  InlineExecutor executor;
  Play play(
      setup,
      [](const Proposed& p) {
        return p.spec.template_name == "plain" ? Answer{FailureClass::crash, 0.0, ""} : bowl(p);
      },
      executor);
  play.run();
  bool found = false;
  for (const Edit& edit : play.edits) {
    const Prune* prune = std::get_if<Prune>(&edit);
    found = found || (prune != nullptr &&
                      prune->reason.find("and not one valid; the last failed as crash") !=
                          std::string::npos);
  }
  CHECK(found);
  CHECK(play.view().best_log_cost < 0.0);
}

TEST_CASE("three failing attempts before the first success do not cost a structure its place") {
  int failures = 0;
  InlineExecutor executor;
  Play play(
      setup_for(two_templates(), 100),
      [&](const Proposed& p) {
        const bool split = p.spec.template_name == "split";
        return split && ++failures <= 3 ? Answer{FailureClass::compile_error, 0.0, ""} : bowl(p);
      },
      executor);
  play.run();
  CHECK(play.view().best_log_cost < 0.0);  // only "split" goes below zero
}

TEST_CASE("a failed attempt first gets a repair") {
  search::EngineSetup setup = setup_for(two_templates(), 60);
  setup.options.world_model = false;
  InlineExecutor executor;
  Play play(setup, rough, executor);
  play.run();
  int repairs = 0;
  for (const Proposed& proposed : play.proposals) {
    if (proposed.mutator == "repair") {
      ++repairs;
      CHECK(proposed.why.find("(crash)") != std::string::npos);
    }
  }
  CHECK(repairs > 0);
}

TEST_CASE("with a model, every prediction is written before its measurement") {
  InlineExecutor executor;
  Play play(setup_for(two_templates(), 60), bowl, executor);
  play.run();
  int predicted = 0;
  for (const Proposed& proposed : play.proposals) {
    predicted += proposed.prediction ? 1 : 0;
  }
  CHECK(predicted > 30);
}

TEST_CASE("the view shows mutators that add up, a frontier without tried levels called untried") {
  InlineExecutor executor;
  Play play(setup_for(two_templates(), 60), rough, executor);
  play.run();
  std::int64_t tried = 0;
  double shares = 0.0;
  for (const search::MutatorView& mutator : play.view().mutators()) {
    tried += mutator.tried;
    shares += mutator.weight;
  }
  CHECK(tried == 60);
  CHECK(shares == Approx(1.0));
  std::set<std::pair<std::string, std::string>> levels;
  for (const Proposed& proposed : play.proposals) {
    const auto t = proposed.spec.template_name == "plain" ? 0U : 1U;
    const AxisSpace space = two_templates()[t].space;
    for (std::size_t i = 0; i < space.size(); ++i) {
      levels.insert({proposed.spec.template_name + space.axis(i).name,
                     to_text(space.value(proposed.spec.genome, i))});
    }
  }
  for (const search::FrontierEntry& entry : play.view().frontier()) {
    const bool known = levels.contains({entry.template_name + entry.axis, to_text(entry.level)});
    CHECK((entry.state == "untried" || entry.state == "infeasible") == !known);
  }
  CHECK(!play.view().elites().empty());
}

TEST_CASE("ten thousand random outcomes and interruptions never break the engine", "[slow]") {
  Rng chance = stream(5, "engine_property", 0);
  InlineExecutor executor;
  std::size_t steps = 0;
  for (std::uint64_t round = 0; steps < 10000; ++round) {
    search::EngineSetup setup = setup_for(two_templates(), 40 + chance.below(400));
    setup.seed = round;
    setup.options.strategy =
        round % 2 == 0 ? search::Strategy::coppice : search::Strategy::hillclimb;
    setup.options.world_model = round % 4 == 0 && round < 8;  // the model has tests of its own
    setup.options.lanes = 1 + static_cast<int>(chance.below(6));
    setup.options.stagnation = 1 + static_cast<int>(chance.below(8));
    const std::uint64_t fail = chance.below(100);
    Play play(
        setup,
        [&](const Proposed& p) {
          const auto failure = static_cast<FailureClass>(1 + chance.below(22));
          return chance.below(100) < fail ? Answer{failure, 0.0, ""} : rough(p);
        },
        executor);
    std::set<std::pair<std::string, Genome>> proposed;
    while (!play.stopped && steps < 20000) {
      ++steps;
      const std::uint64_t dice = chance.below(100);
      if (dice < 50 || play.flying.empty()) {
        play.feed(WorkRequested{static_cast<int>(chance.below(6))});
      } else if (dice < 96) {
        std::swap(play.flying[0], play.flying[chance.below(play.flying.size())]);
        play.land();
      } else if (dice < 98) {
        play.feed(Resumed{{play.flying.front().attempt}, ""});
        play.flying.pop_front();
      } else if (dice == 98 && chance.below(20) == 0) {
        play.feed(StopRequested{"enough"});
      } else {
        play.feed(Evaluated{});
      }
      REQUIRE(play.view().in_flight == static_cast<std::int64_t>(play.flying.size()));
      REQUIRE(play.view().in_flight <= setup.options.lanes);
      REQUIRE(play.view().attempts <= setup.options.budget.attempts);
    }
    std::set<CandidateId> candidates;
    for (const Proposed& p : play.proposals) {
      if (p.fidelity == Fidelity::search && candidates.insert(p.candidate).second) {
        REQUIRE(proposed.insert({p.spec.template_name, p.spec.genome}).second);
      }
    }
  }
}

namespace {

// The log of a run elsewhere over the same templates; `sign` -1: upside down.
Json log_elsewhere(double sign) {
  planner::WarmSource out;
  out.name = "elsewhere";
  for (const TemplateSpace& space : two_templates()) {
    planner::WarmTemplate& one = out.templates.emplace_back();
    one.name = space.name;
    for (const Axis& axis : space.space.axes()) {
      one.axes.push_back({axis.name, axis.type, axis.levels});
    }
    const auto genomes = enumerate(space.space, 100000);
    for (const Genome& genome : *genomes) {
      Proposed proposed;
      proposed.spec.template_name = space.name;
      proposed.spec.genome = genome;
      one.rows.push_back({genome.levels, 3.0 + sign * bowl(proposed).log_cost});
    }
  }
  return planner::to_json(out);
}

std::size_t attempts_to(const Play& play, double log_cost) {
  for (std::size_t i = 0; i < play.proposals.size(); ++i) {
    if (bowl(play.proposals[i]).log_cost <= log_cost) {
      return i + 1;
    }
  }
  return play.proposals.size() + 1;
}

}  // namespace

TEST_CASE("with a log of the same kernel the best point there is tried first") {
  search::EngineSetup setup = setup_for(two_templates(), 40);
  setup.warm = {log_elsewhere(1.0)};
  InlineExecutor executor;
  Play play(setup, bowl, executor);
  play.run();
  CHECK(attempts_to(play, -0.099) == 1);
  REQUIRE(play.proposals.front().prediction);
  CHECK(play.proposals.front().prediction->spread > 0.0);
}

TEST_CASE("a misleading log costs at most ten attempts") {
  std::size_t cold = 0;
  std::size_t warm = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    search::EngineSetup setup = setup_for(two_templates(), 120);
    setup.seed = seed;
    InlineExecutor executor;
    Play without(setup, bowl, executor);
    without.run();
    cold += attempts_to(without, -0.099);
    setup.warm = {log_elsewhere(-1.0)};
    Play with(setup, bowl, executor);
    with.run();
    warm += attempts_to(with, -0.099);
  }
  CHECK(warm <= cold + 5 * 10);
}

TEST_CASE("warm=off decides as if there were no log, and a log decides something") {
  search::EngineSetup setup = setup_for(two_templates(), 40);
  InlineExecutor executor;
  Play cold(setup, bowl, executor);
  cold.run();
  setup.warm = {log_elsewhere(1.0)};
  Play warm(setup, bowl, executor);
  warm.run();
  setup.options.warm = false;
  Play off(setup, bowl, executor);
  off.run();
  CHECK(cold.transcript.decisions == off.transcript.decisions);
  CHECK(cold.transcript.decisions != warm.transcript.decisions);
}

TEST_CASE("warm-start data that can't be read is refused at the start") {
  search::EngineSetup setup = setup_for(two_templates(), 40);
  setup.warm = {Json::object().set("schema", 1).set("name", "x").set("templates", Json::array())};
  InlineExecutor executor;
  const auto engine = search::Engine::create(setup, executor);
  REQUIRE(!engine.ok());
  CHECK(engine.error().message.find("warm-start data 1") != std::string::npos);
}

TEST_CASE("each switch that can be turned off decides something") {
  search::EngineSetup setup = setup_for(two_templates(), 90);
  setup.warm = {log_elsewhere(1.0)};
  InlineExecutor executor;
  Play whole(setup, rough, executor);
  whole.run();
  bool search::SearchOptions::*const switches[] = {&search::SearchOptions::world_model,
                                                   &search::SearchOptions::frontier,
                                                   &search::SearchOptions::evolution,
                                                   &search::SearchOptions::tree,
                                                   &search::SearchOptions::warm};
  for (std::size_t i = 0; i < std::size(switches); ++i) {
    CAPTURE(i);
    search::EngineSetup without = setup;
    without.options.*switches[i] = false;
    Play play(without, rough, executor);
    play.run();
    CHECK(play.transcript.decisions != whole.transcript.decisions);
  }
}
