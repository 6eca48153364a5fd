// Random genomes of each template on each workload: compiled on all cores, timed one by one.
#include "tests/bench/milestone_a_cuda.h"

namespace coppice::bench {

std::vector<ValueMap> Bench::genomes(const Template& t, const Workload& workload, int count) const {
  ValueMap constants = workload_values(*op_, *suite_, workload);
  for (const auto& [name, fact] : target_->facts) {
    constants.insert_or_assign("target." + name, fact);
  }
  const Result<AxisSpace> space = AxisSpace::create(t.axes, t.restrictions, constants);
  std::vector<ValueMap> out;
  if (!space.ok()) {
    std::fprintf(stderr, "%s: %s\n", t.name.c_str(), space.error().message.c_str());
    return out;
  }
  std::set<Genome> seen;
  Rng rng = stream(20, t.name, hash_text(workload.name));
  for (int attempt = 0; attempt < 200 * count && static_cast<int>(out.size()) < count; ++attempt) {
    Genome genome = space->default_genome();
    for (std::size_t i = 0; attempt > 0 && i < space->size(); ++i) {
      genome.levels[i] = static_cast<std::uint16_t>(rng.below(space->axis(i).levels.size()));
    }
    genome = space->canonical(std::move(genome));
    if (space->valid(genome) && seen.insert(genome).second) {
      out.push_back(space->values(genome));
    }
  }
  return out;
}

// Random genomes of each template on each workload; compiled on all cores, timed one by one.
Result<void> Bench::grid() {
  Json out = Json::array();
  const std::size_t workloads = suite_->workloads.size();
  for (std::size_t w = 0; w < workloads; ++w) {
    const Workload& workload = suite_->workloads[w];
    const double share = left() / static_cast<double>(workloads - w);
    const auto begin = std::chrono::steady_clock::now();
    std::vector<Candidate> candidates;
    for (const Template& t : op_->templates) {
      for (const ValueMap& genome : t.backend == "cuda" ? genomes(t, workload, arguments_.genomes)
                                                        : std::vector<ValueMap>{}) {
        candidates.push_back(from_template(*op_, t, genome));
      }
    }
    std::vector<Ready> ready(candidates.size());
    std::atomic<std::size_t> next{0}, done{0};
    std::vector<std::jthread> compilers;
    std::vector<std::atomic<bool>> finished(candidates.size());
    const unsigned threads = std::max(1u, std::thread::hardware_concurrency() - 1);
    for (unsigned i = 0; i < threads; ++i) {
      compilers.emplace_back([&] {
        for (std::size_t c = next++; c < candidates.size(); c = next++) {
          ready[c] = prepare_candidate(candidates[c], {workload.name}, false);
          finished[c] = true;
          finished[c].notify_all();
        }
      });
    }
    std::vector<Json> rows;
    double busy = 0, waited = 0;
    std::vector<std::pair<float, std::string>> best;
    std::map<std::string, int> verdicts;
    for (std::size_t c = 0; c < ready.size(); ++c) {
      const auto wait = std::chrono::steady_clock::now();
      finished[c].wait(false);
      waited += seconds_since(wait);
      LaneResult result;
      result.verdict = ready[c].verdict;
      ready[c].job.give_up_below = -3.0;
      if (ready[c].ok && seconds_since(begin) < share) {
        COPPICE_TRY(result, lane_->evaluate(ready[c].job));
      } else if (ready[c].ok) {
        continue;
      }
      busy += result.cost.device_span;
      ++verdicts[std::string(to_text(result.verdict.failure))];
      if (result.verdict.valid) {
        best.emplace_back(median_of(result.timings.front().candidate), ready[c].candidate.label);
      } else if (result.verdict.failure != FailureClass::too_slow) {
        std::fprintf(stderr,
                     "  %s: %s %s\n",
                     ready[c].candidate.label.c_str(),
                     std::string(to_text(result.verdict.failure)).c_str(),
                     result.verdict.message.c_str());
      }
      rows.push_back(report(ready[c], result));
    }
    next = candidates.size();
    std::sort(best.begin(), best.end());
    Json one = Json::object();
    Json verdict_counts = Json::object();
    for (const auto& [name, count] : verdicts) {
      verdict_counts.set(name, count);
    }
    one.set("workload", workload.name)
        .set("wall_s", seconds_since(begin))
        .set("waited_for_compiler_s", waited)
        .set("device_busy_s", busy)
        .set("verdicts", verdict_counts)
        .set("rows", Json::array_of(rows, [](const Json& row) { return row; }));
    std::fprintf(stderr,
                 "%s: wall %.1f s, waited %.1f s, launches on the device %.1f s, %zu tried %s\n",
                 workload.name.c_str(),
                 seconds_since(begin),
                 waited,
                 busy,
                 rows.size(),
                 verdict_counts.dump().c_str());
    for (std::size_t i = 0; i < std::min<std::size_t>(best.size(), 5); ++i) {
      std::fprintf(
          stderr, "  %8.2f us  %s\n", static_cast<double>(best[i].first), best[i].second.c_str());
    }
    out.push(std::move(one));
  }
  json_.set("grid", std::move(out));
  return {};
}

}  // namespace coppice::bench
