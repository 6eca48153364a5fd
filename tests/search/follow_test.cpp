// Following a recorded run: the views come to what deciding everything again comes to.
#include "tests/search/fake_world.h"

using namespace coppice;
using namespace coppice::search;
using namespace coppice::test;

namespace {

// Inputs and decisions in the order of a log, through bytes.
std::vector<Event> log_of(const Play& play) {
  std::vector<Event> out;
  for (std::size_t i = 0; i < play.transcript.inputs.size(); ++i) {
    out.push_back(*decode(encode(play.transcript.inputs[i])));
    for (const std::string& decision : play.transcript.decisions[i]) {
      out.push_back(*decode(decision));
    }
  }
  return out;
}

Engine follower(const EngineSetup& setup, const std::vector<Event>& log, Executor& executor) {
  auto engine = Engine::create(setup, executor);
  REQUIRE(engine.ok());
  for (const Event& event : log) {
    const auto followed = engine->follow(event);
    if (!followed.ok()) {
      FAIL(followed.error().message);
    }
  }
  return std::move(*engine);
}

std::string text_of(const EngineView& view) {
  Json out = Json::object();
  out.set("attempts", view.attempts).set("valid", view.valid).set("in_flight", view.in_flight);
  out.set("best", view.best ? view.best->value : 0).set("best_log_cost", view.best_log_cost);
  out.set("stopped", view.stopped ? view.stopped->message : "");
  Json classes = Json::object();
  for (const auto& [name, id] : view.best_by_precision) {
    classes.set("class " + name, id.value);
  }
  out.set("classes", std::move(classes));
  Json rejected = Json::object();
  for (const auto& [failure, count] : view.rejected) {
    rejected.set(failure, count);
  }
  out.set("rejected", std::move(rejected));
  out.set("frontier", Json::array_of(view.frontier(), [](const FrontierEntry& entry) {
            Json item = Json::object();
            item.set("level", entry.template_name + "." + entry.axis + "=" + to_text(entry.level));
            item.set("state", entry.state).set("attempts", entry.attempts);
            item.set("valid", entry.valid).set("gain", entry.expected_gain);
            item.set("best", entry.best_log_cost ? Json(*entry.best_log_cost) : Json());
            return item;
          }));
  out.set("mutators", Json::array_of(view.mutators(), [](const MutatorView& one) {
            Json item = Json::object();
            item.set("name", one.name).set("tried", one.tried).set("valid", one.valid);
            item.set("improved", one.improved).set("gain", one.gain).set("weight", one.weight);
            return item.set("seconds", one.seconds);
          }));
  out.set("elites", Json::array_of(view.elites(), [](CandidateId id) { return id.value; }));
  out.set("nodes", Json::array_of(view.nodes(), [](const NodeView& node) {
            Json item = Json::object();
            item.set("id", node.id.value).set("state", to_text(node.state));
            item.set("title", node.title).set("reason", node.reason).set("valid", node.valid);
            item.set("attempts", node.attempts).set("priority", node.priority);
            return item.set("best", node.best ? node.best->value : 0);
          }));
  return out.pretty();
}

// Some candidates fail, for reasons of every kind.
Answer rough_ground(const Proposed& proposed) {
  Answer answer = bowl(proposed);
  switch (proposed.candidate.value % 7) {
    case 3:
      answer.failure = FailureClass::compile_error;
      break;
    case 5:
      answer.failure = FailureClass::too_slow;
      break;
    case 6:
      // The machine's fault, the first time.
      answer.failure =
          proposed.why.rfind("again", 0) == 0 ? FailureClass::none : FailureClass::infrastructure;
      break;
    default:
      break;
  }
  return answer;
}

void follows(const EngineSetup& setup, const World& world) {
  InlineExecutor executor;
  Play play(setup, world, executor);
  play.run();
  const Engine engine = follower(setup, log_of(play), executor);
  CHECK(text_of(engine.view()) == text_of(play.view()));
}

}  // namespace

TEST_CASE("a followed run shows the same frontier, mutators, elites and tree as the run itself") {
  for (const int lanes : {1, 3}) {
    CAPTURE(lanes);
    EngineSetup setup = setup_for(two_templates(), 36);
    setup.options.lanes = lanes;
    setup.options.stagnation = 3;
    follows(setup, lanes == 1 ? rough_ground : bowl);
  }
}

TEST_CASE("the run that is followed looks at levels that nobody tried") {
  InlineExecutor executor;
  EngineSetup setup = setup_for(two_templates(), 40);
  setup.options.stagnation = 3;
  Play play(setup, bowl, executor);
  play.run();
  const Engine engine = follower(setup, log_of(play), executor);
  double gain = 0.0;
  for (const FrontierEntry& entry : engine.view().frontier()) {
    gain = std::max(gain, entry.expected_gain);
  }
  CHECK(gain > 0.0);  // else the comparison above proves nothing
}

TEST_CASE("every strategy and every switch can be followed") {
  for (const Strategy strategy : {Strategy::random, Strategy::hillclimb, Strategy::best_of_n}) {
    EngineSetup setup = setup_for(two_templates(), 30);
    setup.options.strategy = strategy;
    follows(setup, rough_ground);
  }
  EngineSetup setup = setup_for(two_templates(), 30);
  setup.options.world_model = false;
  follows(setup, rough_ground);
  setup.options.tree = false;
  follows(setup, rough_ground);
}

TEST_CASE("an interrupted and resumed run, and the user's own kernels, can be followed") {
  EngineSetup setup = setup_for(two_templates(), 20);
  setup.options.lanes = 3;
  CandidateSpec own;
  own.source = sha256("a kernel");
  own.plan = sha256("its plan");
  setup.seeds = {own};
  InlineExecutor executor;
  Play play(setup, rough_ground, executor);
  for (int i = 0; i < 3; ++i) {
    play.feed(WorkRequested{i});
  }
  const std::deque<Proposed> lost = play.flying;
  play.flying.clear();
  play.feed(Resumed{{lost[0].attempt, lost[1].attempt, lost[2].attempt}, "another host"});
  play.run();
  const Engine engine = follower(setup, log_of(play), executor);
  CHECK(text_of(engine.view()) == text_of(play.view()));
}

TEST_CASE("an event that can't have come from this setup is refused with what does not fit") {
  InlineExecutor executor;
  Play play(setup_for(two_templates(), 10), bowl, executor);
  play.run();
  std::vector<Event> log = log_of(play);
  const auto at = std::find_if(log.begin(), log.end(), [](const Event& event) {
    return std::holds_alternative<Proposed>(event);
  });
  REQUIRE(at != log.end());
  const auto refused = [&](Proposed changed) {
    auto engine = Engine::create(setup_for(two_templates(), 10), executor);
    REQUIRE(engine.ok());
    for (auto it = log.begin(); it != at; ++it) {
      REQUIRE(engine->follow(*it).ok());
    }
    const auto followed = engine->follow(changed);
    REQUIRE_FALSE(followed.ok());
    CHECK(followed.error().code == ErrorCode::corrupt);
    return followed.error().message;
  };
  const Proposed good = std::get<Proposed>(*at);
  Proposed elsewhere = good;
  elsewhere.spec.template_name = "unheard_of";
  CHECK_THAT(refused(elsewhere), Catch::Contains("template 'unheard_of'"));
  Proposed wide = good;
  wide.spec.genome.levels[0] = 999;
  CHECK_THAT(refused(wide), Catch::Contains("no place"));
  Proposed other = good;
  other.candidate = CandidateId{9};
  CHECK_THAT(refused(other), Catch::Contains("comes as number 1"));
  Proposed nowhere = good;
  nowhere.node = NodeId{99};
  CHECK_THAT(refused(nowhere), Catch::Contains("attempt 1"));
}
