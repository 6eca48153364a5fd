// Small parts of cli: line diffs, tables, template spaces, seed kernels, the work queue.
#include "cli/table_task.h"
#include "cli/template_spaces.h"
#include "cli/text_diff.h"
#include "cli/words.h"
#include "cli/work_queue.h"
#include "experiments/op_loader.h"
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <thread>

using namespace coppice;
using namespace coppice::tests;

TEST_CASE("a table run whose log lost the table is an error that names both") {
  cli::RunMaterial material;
  material.config.table = "somewhere.json";
  const auto table = cli::table_of(material);
  REQUIRE_FALSE(table.ok());
  CHECK(table.error().code == ErrorCode::corrupt);
  CHECK(contains(table.error().message, "somewhere.json"));
  CHECK(contains(table.error().message, cli::kTableFile));
}

TEST_CASE("a diff is a shortest edit script and applies to the first text") {
  const auto lines = cli::diff_lines("a\nb\nc\nd\n", "a\nc\nx\nd\n");
  std::string before;
  std::string after;
  int edits = 0;
  for (const cli::DiffLine& line : lines) {
    before += line.kind != '+' ? line.text + "\n" : "";
    after += line.kind != '-' ? line.text + "\n" : "";
    edits += line.kind != ' ' ? 1 : 0;
  }
  CHECK(before == "a\nb\nc\nd\n");
  CHECK(after == "a\nc\nx\nd\n");
  CHECK(edits == 2);
  CHECK(cli::unified_diff("a\n", "a\n", "x", "y").empty());
  CHECK(cli::unified_diff("a\n", "b\n", "x", "y") == "--- x\n+++ y\n@@ -1,1 +1,1 @@\n-a\n+b\n");
}

TEST_CASE("times and durations read as a person would say them") {
  CHECK(cli::time_text(Nanoseconds{412'345}) == "412.3 us");
  CHECK(cli::time_text(Nanoseconds{3'140'000}) == "3.14 ms");
  CHECK(cli::duration_text(std::chrono::seconds(185)) == "3 min 5 s");
  CHECK(cli::duration_text(std::chrono::seconds(7800)) == "2 h 10 min");
  CHECK(cli::speed_text(1.834) == "1.83x");
}

TEST_CASE("a restriction is filled in for each workload without touching text literals") {
  const auto expression = Expr::parse("tile <= n and mode == 'n' or n2 > n");
  REQUIRE(expression.ok());
  const auto filled = cli::instantiate(*expression, {{"n", std::int64_t{64}}});
  REQUIRE(filled.ok());
  CHECK(filled->text() == "tile <= (64) and mode == 'n' or n2 > (64)");
}

TEST_CASE("restrictions hold for every timed workload, and defaults move to what is permitted") {
  const TemporaryFolder folder;
  write_tiny_op(folder / "tiny");
  write(folder / "tiny/suites/small.json",
        R"json({"schema": 1, "types": {"T": "f32"}, "workloads": [
    {"name": "a", "dims": {"n": 64}}, {"name": "b", "dims": {"n": 8}}]})json");
  const std::string path = folder / "tiny/templates/cpu/plain/template.json";
  std::string text = read(path);
  text.replace(text.find("\"tile * unroll <= 256\""),
               22,
               "\"tile <= n\", \"unroll >= 4 or not target.never\"");
  write(path, text);
  const auto op = experiments::load_op(folder / "tiny");
  if (!op.ok()) {
    FAIL(op.error().message);
  }
  Target target;
  target.name = "t";
  target.backend = "cpu";
  const auto spaces = cli::template_spaces(*op, op->suites.front(), target, {});
  if (!spaces.ok()) {
    FAIL(spaces.error().message);
  }
  REQUIRE(spaces->spaces.size() == 1);
  const AxisSpace& space = spaces->spaces[0].space;
  const auto at = [&](std::int64_t tile) {
    return *space.genome({{"tile", tile}});
  };
  CHECK(space.valid(at(8)));
  CHECK_FALSE(space.valid(at(16)));
  target.features = {"never"};
  const auto moved = cli::template_spaces(*op, op->suites.front(), target, {});
  REQUIRE(moved.ok());
  const AxisSpace& other = moved->spaces[0].space;
  CHECK(other.valid(other.canonical(other.default_genome())));
  CHECK(other.values(other.default_genome()).at("unroll") == Value(std::int64_t{4}));
}

TEST_CASE("a template that needs what the target lacks is left out with the reason") {
  const TemporaryFolder folder;
  write_tiny_op(folder / "tiny");
  const std::string path = folder / "tiny/templates/cpu/plain/template.json";
  std::string text = read(path);
  text.insert(text.find("\"axes\""), "\"requires\": [\"avx512f\"], ");
  write(path, text);
  const auto op = experiments::load_op(folder / "tiny");
  REQUIRE(op.ok());
  Target target;
  target.name = "old";
  target.backend = "cpu";
  const auto spaces = cli::template_spaces(*op, op->suites.front(), target, {});
  REQUIRE_FALSE(spaces.ok());
  CHECK(spaces.error().message.find("plain: target old has no avx512f") != std::string::npos);
}

TEST_CASE("a user's kernel joins the op as a template and is part of its identity") {
  const TemporaryFolder folder;
  write_tiny_op(folder / "tiny");
  auto op = experiments::load_op(folder / "tiny");
  REQUIRE(op.ok());
  const Digest before = op->digest;
  write(folder / "My Kernel/kernel.cpp", read(folder / "tiny/templates/cpu/plain/kernel.cpp"));
  const auto none = cli::add_kernel(*op, folder / "My Kernel", "cpu");
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().message.find("expected plan.json or template.json") != std::string::npos);
  write(folder / "My Kernel/template.json",
        read(folder / "tiny/templates/cpu/plain/template.json"));
  const auto name = cli::add_kernel(*op, folder / "My Kernel", "cpu");
  if (!name.ok()) {
    FAIL(name.error().message);
  }
  CHECK(*name == "my_kernel");
  CHECK(op->find_template("my_kernel") != nullptr);
  CHECK(op->digest != before);
}

TEST_CASE("a queue hands items over in order and lets a waiting thread go when stopped") {
  cli::WorkQueue<int> queue(2);
  std::stop_source stop;
  std::vector<int> got;
  std::jthread reader([&] {
    while (auto item = queue.pop(stop.get_token())) {
      got.push_back(*item);
      if (got.size() == 5) {
        stop.request_stop();
      }
    }
  });
  for (int i = 0; i < 5; ++i) {
    CHECK(queue.push(i, {}));
  }
  reader.join();
  CHECK(got == std::vector<int>{0, 1, 2, 3, 4});
}
