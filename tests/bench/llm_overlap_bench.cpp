// How busy a device stays while a slow model is asked: evaluations of one second that are only
// waited for, a model that takes five seconds for each answer, the real run loop between them.
// usage: bench_llm_overlap [attempts, default 60]
#include "cli/run_reader.h"
#include "cli/run_session.h"
#include "core/executor.h"
#include "tests/cli/fake_evaluator.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>

using namespace coppice;

namespace {

constexpr double kEvaluation = 1.0;  // seconds
constexpr const char* kAnswer =
    R"(cat > /dev/null; sleep 5; printf '{\"text\": \"IDEA: number %d\\\\n```cpp\\\\n// %d\\\\nCOPPICE_KERNEL(attend) {}\\\\nCOPPICE_KERNEL(combine) {}\\\\n```\"}' $$ $$)";

std::string config_of(const std::string& attempts) {
  return R"({"schema": 1, "op": ")" COPPICE_SOURCE_DIR
         R"(/experiments/ops/gqa_paged_decode", "suite": "quickstart", "finalists": 0, "lanes": 2, )"
         R"("budget": {"attempts": )" +
         attempts +
         R"(}, "llm": {"schema": 1, "slots": 2, "share": 0.4, "budget": {"requests": 200}, "models": [)"
         R"({"name": "slow", "provider": "command", "model": "s", "command": ["/bin/sh", "-c", ")" +
         kAnswer + R"("], "price": {"in": 0, "out": 0}}]}})";
}

// Answers that came, and their mean latency.
Result<std::string> answers_of(const archive::RunStore& store, const std::string& run) {
  COPPICE_TRY(const cli::RunReader reader, cli::RunReader::open(store, run));
  int replies = 0, ideas = 0;
  std::string trouble;  // of the first answer that was no kernel
  double seconds = 0.0;
  COPPICE_TRY_VOID(reader.log().visit(EventSeq{1}, [&](const archive::LogRow& row) -> Result<bool> {
    COPPICE_TRY(const Event event, decode(row.bytes));
    if (const auto* replied = std::get_if<LlmReplied>(&event)) {
      ++replies;
      ideas += replied->idea ? 1 : 0;
      if (replied->failed && trouble.empty()) {
        trouble = "; first trouble: " + replied->message;
      }
      seconds += to_seconds(replied->cost.llm);
    }
    return true;
  }));
  char text[128];
  std::snprintf(text,
                sizeof text,
                "%d answers, %d of them kernels, %.1f s each",
                replies,
                ideas,
                replies > 0 ? seconds / replies : 0.0);
  return text + trouble;
}

Result<int> measure(const std::string& attempts) {
  COPPICE_TRY(const Json json, Json::parse(config_of(attempts), "bench"));
  COPPICE_TRY(const cli::RunConfig config, cli::run_config(json.reader("bench")));
  COPPICE_TRY(const cli::RunMaterial material, cli::gather(config, cli::Places{{}}));
  const std::string folder = std::filesystem::temp_directory_path() / "coppice_llm_overlap";
  std::filesystem::remove_all(folder);
  COPPICE_TRY(const auto store, archive::RunStore::open(folder, archive::RunStore::Access::create));
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::time_point> begins;
  tests::FakeOptions options;
  options.measure_takes = std::chrono::microseconds(static_cast<std::int64_t>(kEvaluation * 1e6));
  options.before_measure = [&] {
    const std::lock_guard lock(mutex);
    begins.push_back(std::chrono::steady_clock::now());
  };
  tests::FakeEvaluator evaluator(options);
  SteadyClock clock;
  InlineExecutor executor;
  cli::Console console(stdout, stderr, {});
  const cli::SessionWorld world{evaluator, clock, executor, console, [] { return 0; }, ""};
  COPPICE_TRY(const auto result, cli::start_run(store, "overlap", material, {}, world));
  const double span = std::chrono::duration<double>(begins.back() - begins.front()).count();
  const auto count = static_cast<double>(begins.size() - 1);
  COPPICE_TRY(const std::string answers, answers_of(store, result.run));
  std::printf("%.0f evaluations of %.1f s begun over %.1f s: device busy %.1f %%; %s\n",
              count,
              kEvaluation,
              span,
              100.0 * count * kEvaluation / span,
              answers.c_str());
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto done = measure(argc > 1 ? argv[1] : "60");
  if (!done.ok()) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
