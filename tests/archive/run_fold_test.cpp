// A run folded from its log: attempts, tree, best-so-far, and what is exported of it.
#include "archive/run_fold.h"

#include "archive/export_history.h"
#include "tests/archive/sample_run.h"
#include "tests/archive/support.h"

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

RunFold fold_of(const std::vector<Event>& events, FoldOptions options = {}) {
  RunFold fold(options);
  std::uint64_t seq = 0;
  for (const Event& event : events) {
    LogRow row;
    row.seq = EventSeq{++seq};
    row.written = std::chrono::seconds(seq);
    row.bytes = encode(event);
    must(fold.take(row));
  }
  return fold;
}

CandidateSource named_axes() {
  CandidateSource source;
  source.axis_values = [](const CandidateSpec& spec) -> Result<ValueMap> {
    return ValueMap{{"tile", static_cast<std::int64_t>(16 << spec.genome.levels[0])},
                    {"vector", std::string("avx2")}};
  };
  return source;
}

}  // namespace

TEST_CASE("a fold knows each attempt with its evidence, place and fate") {
  const RunFold fold = fold_of(sample_run());
  REQUIRE(fold.attempts().size() == 8);
  REQUIRE(fold.searched() == 5);  // of six, one was lost and tried again
  REQUIRE(fold.valid() == 4);
  REQUIRE(fold.in_flight() == 0);
  const Attempt& third = *fold.attempt(AttemptId{3});
  REQUIRE_FALSE(third.valid());
  REQUIRE(third.evidence->verdict.failure == FailureClass::compile_error);
  REQUIRE(third.proposed_at.value == 13);
  REQUIRE(third.evaluated_at.value == 14);
  REQUIRE(third.at == std::chrono::seconds(1));
  REQUIRE(fold.attempt(AttemptId{5})->lost);
  REQUIRE(fold.attempt(AttemptId{9}) == nullptr);
  REQUIRE(fold.candidates().at(CandidateId{5}).attempts == std::vector<std::size_t>{4, 5});
  REQUIRE(fold.attempts()[0].evidence->environment.is_null());
  REQUIRE_FALSE(
      fold_of(sample_run(), {.keep_sections = true}).attempts()[0].evidence->environment.is_null());
}

TEST_CASE("a fold knows the run's start, end, baselines, cost and rejections") {
  const RunFold fold = fold_of(sample_run());
  REQUIRE(fold.start()->run == "gqa-20261123-1");
  REQUIRE(fold.baselines().size() == 1);
  REQUIRE(fold.stopped()->reason == StopReason::budget_attempts);
  REQUIRE(fold.sessions() == 2);
  REQUIRE(fold.elapsed() == std::chrono::seconds(3));
  REQUIRE(fold.rejected() == std::map<std::string, std::int64_t>{{"compile_error", 1}});
  REQUIRE(fold.cost().compile == std::chrono::milliseconds(7 * 300));
  REQUIRE(fold.promoted().size() == 1);
}

TEST_CASE("an attempt that failed through no fault of its own is not counted") {
  const Proposed again = proposal(2, 1);
  const RunFold fold = fold_of({insert_node(2, 1, "split_kv"),
                                proposal(1, 1),
                                failed(proposal(1, 1), Gate::smoke, FailureClass::infrastructure),
                                again,
                                passed(again, -0.1)});
  REQUIRE(fold.searched() == 1);
  REQUIRE(fold.nodes().at(NodeId{2}).attempts == 1);
  REQUIRE(fold.curve("f32").front().searched == 1);
  REQUIRE(fold.rejected() == std::map<std::string, std::int64_t>{{"infrastructure", 1}});
}

TEST_CASE("the best-so-far curve falls, and each class has its own") {
  const RunFold fold = fold_of(sample_run());
  REQUIRE(fold.precisions() == std::vector<std::string>{"bf16", "f32"});
  const auto& curve = fold.curve("f32");
  REQUIRE(curve.size() == 3);
  REQUIRE(curve[2].log_cost == -0.8);
  REQUIRE(curve[2].searched == 4);
  REQUIRE(fold.curve("bf16").size() == 1);
  REQUIRE(fold.curve("f8").empty());
}

TEST_CASE("the answer is the promoted attempt, before any finalist or search result") {
  auto events = sample_run();
  REQUIRE(fold_of(events).best("f32")->proposal.attempt == AttemptId{8});
  events.resize(26);  // up to the finalist
  REQUIRE(fold_of(events).best("f32")->proposal.attempt == AttemptId{7});
  events.resize(24);
  REQUIRE(fold_of(events).best("f32")->proposal.attempt == AttemptId{4});
  REQUIRE(fold_of(events).best()->proposal.attempt == AttemptId{4});
  REQUIRE(fold_of(events).best("bf16")->proposal.attempt == AttemptId{6});
  REQUIRE(fold_of(events).best("f8") == nullptr);
}

TEST_CASE("edits shape the tree, and pruning takes what hangs below") {
  const RunFold fold = fold_of(sample_run());
  const NodeRecord& node = fold.nodes().at(NodeId{2});
  REQUIRE(node.best == CandidateId{4});
  REQUIRE(node.priority == 3.0);
  REQUIRE(node.attempts == 5);
  REQUIRE(node.valid == 4);
  REQUIRE(*node.best_log_cost == -0.8);
  REQUIRE(node.edits == std::vector<EventSeq>{EventSeq{4}, EventSeq{18}});
  REQUIRE(fold.nodes().at(NodeId{3}).state == NodeState::pruned);
  REQUIRE(fold.nodes().at(NodeId{3}).reason == "can't win");
  REQUIRE(fold.nodes().at(NodeId{4}).state == NodeState::pruned);
  REQUIRE(fold.nodes().at(NodeId{4}).reason == "node 3 was pruned");
}

TEST_CASE("a fold catches up with a log while it is written") {
  const TempDir dir;
  auto log = must(ExperimentLog::open(dir / "run", Mode::create));
  const auto reader = must(ExperimentLog::open(dir / "run", Mode::read));
  RunFold fold;
  std::uint64_t folded = 0;
  for (const Event& event : sample_run()) {
    must(log.append(event));
    must(log.commit());
    folded += must(fold.catch_up(reader));
    REQUIRE(folded == log.durable().value);
  }
  REQUIRE(must(fold.catch_up(reader)) == 0);
  const Evidence full = must(RunFold::full_evidence(reader, *fold.attempt(AttemptId{1})));
  REQUIRE(full.environment.dump() == "{\"host\":\"test\"}");
  REQUIRE_FALSE(RunFold::full_evidence(reader, *fold.attempt(AttemptId{5})).ok());
}

TEST_CASE("a second answer to one attempt, and an answer to none, change nothing") {
  auto events = sample_run();
  const Proposed one = proposal(1, 1);
  const Proposed never = proposal(99, 99);
  events.push_back(passed(one, -5.0));
  events.push_back(passed(never, -6.0));
  const RunFold fold = fold_of(events);
  REQUIRE(fold.valid() == 4);
  REQUIRE(*fold.best("f32")->log_cost() == -0.78);
}

TEST_CASE("an event that can't be read is named") {
  RunFold fold;
  LogRow row;
  row.seq = EventSeq{1};
  row.bytes = "{\"kind\":\"unheard\",\"v\":1}";
  const Error error = error_of(fold.take(row));
  REQUIRE(error.code == ErrorCode::corrupt);
  REQUIRE_THAT(error.message, Catch::StartsWith("event 1: "));
}

TEST_CASE("the history has one line an attempt with its origin, verdict and cost") {
  const TempDir dir;
  const RunFold fold = fold_of(sample_run());
  must(write_history(fold, named_axes(), dir / "history.jsonl"));
  const std::string text = slurp(dir / "history.jsonl");
  REQUIRE(std::ranges::count(text, '\n') == 8);
  std::vector<Json> lines;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = text.find('\n', from);
    lines.push_back(must(Json::parse(text.substr(from, end - from), "history")));
    from = end + 1;
  }
  const auto member = [&](std::size_t line, const char* key) {
    return must(lines[line].reader("line").at(key)).copy().dump();
  };
  REQUIRE(member(1, "parents") == "[1]");
  REQUIRE(member(1, "mutator") == "\"axis_step\"");
  REQUIRE(member(1, "axes") == "{\"tile\":64,\"vector\":\"avx2\"}");
  REQUIRE(member(1, "improved") == "true");
  REQUIRE(
      member(2, "verdict") ==
      R"({"failure":"compile_error","gate":"build","message":"kernel.cpp:3: expected ';'","valid":false})");
  REQUIRE(member(4, "state") == "\"lost\"");
  REQUIRE(member(7, "fidelity") == "\"promote\"");
  REQUIRE(member(0, "events") == "[8,9]");
  REQUIRE_FALSE(lines[2].reader("line").find("performance").has_value());
  REQUIRE(lines[3].reader("line").find("performance").has_value());
}

TEST_CASE("the memory names the best of each class, dead ends, and who shows them") {
  auto events = sample_run();
  for (std::uint64_t i = 10; i < 14; ++i) {
    Proposed hopeless = proposal(i, i);
    hopeless.spec.genome.levels = {7, 1};
    events.push_back(hopeless);
    events.push_back(failed(hopeless, Gate::correctness, FailureClass::wrong_result));
  }
  const Json memory = memory_of(fold_of(events), {});
  const JsonReader reader = memory.reader("memory");
  const auto best = must(must(reader.at("best")).items());
  REQUIRE(best.size() == 2);
  REQUIRE(must(best[1].at("candidate")).copy().dump() == "4");
  REQUIRE(must(best[1].at("fidelity")).copy().dump() == "\"promote\"");
  const auto dead = must(must(reader.at("dead_ends")).items());
  REQUIRE(dead.size() == 1);
  REQUIRE(dead[0].copy().dump() ==
          "{\"attempts\":4,\"axis\":\"axis 0\",\"failures\":{\"wrong_result\":4},\"level\":7,"
          "\"shown_by\":[10,11,12,13],\"template\":\"split_kv\",\"valid\":0}");
  const auto rejected = must(must(reader.at("rejected")).items());
  REQUIRE(rejected.size() == 2);
  REQUIRE(must(must(reader.at("pruned")).items()).size() == 2);
}
