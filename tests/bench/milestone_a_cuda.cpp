// Milestone A on a GPU: one operation through judge, candidate process, shared device memory, graph
// replay, fresh values, output ring and A/B/B/A; and what the checking costs. Needs a device to
// measure; builds and explains itself without one.
#include "tests/bench/milestone_a_cuda.h"

namespace coppice::bench {

Result<void> Bench::open() {
  COPPICE_TRY(op_,
              experiments::load_op(arguments_.repository + "/experiments/ops/" + arguments_.op));
  suite_ = op_->suite(arguments_.suite);
  if (suite_ == nullptr) {
    return Error{ErrorCode::missing, "no suite " + arguments_.suite};
  }
  for (const PrecisionClass& one : op_->precision) {
    const auto type = one.types.find("T");
    if (precision_ == nullptr &&
        (type == one.types.end() || type->second == suite_->types.at("T"))) {
      precision_ = &one;
    }
  }
  const std::string path = arguments_.repository + "/configs/targets/sm_90.json";
  COPPICE_TRY(const Json json, Json::parse(read_file(path), path));
  COPPICE_TRY(target_, target(json.reader(path)));
  COPPICE_TRY(toolchain_, NvrtcToolchain::open("sm_90a"));
  const auto begin = std::chrono::steady_clock::now();
  COPPICE_TRY(lane_, CudaLane::open(*op_, *suite_, {}));
  scalars_ = lane_->host_scalars();
  Json opened = Json::object();
  opened.set("toolchain", toolchain_->version())
      .set("device", lane_->judge().facts())
      .set("judge_start_s", lane_->judge().start_seconds())
      .set("open_s", seconds_since(begin));
  Json workloads = Json::array();
  for (const LaneWorkload& w : lane_->workloads()) {
    Json one = Json::object();
    one.set("name", w.workload->name)
        .set("value_bytes", w.layout.value_bytes)
        .set("sets", w.cases.size())
        .set("timed_sets", w.timed_sets);
    workloads.push(std::move(one));
  }
  opened.set("workloads", std::move(workloads));
  const auto drawn = std::chrono::steady_clock::now();
  COPPICE_TRY(const CudaLane::DrawCost cost, lane_->draw(0x5eed1));
  Json draw = Json::object();
  draw.set("draw_s", cost.draw)
      .set("expect_s", cost.expect)
      .set("adjust_s", cost.adjust)
      .set("wall_s", seconds_since(drawn));
  opened.set("draw", std::move(draw));
  std::fprintf(stderr, "open %s\n", opened.dump().c_str());
  json_.set("open", std::move(opened));
  return {};
}

// On each hidden (small) shape and case: values are the host's bits, expected outputs the fp64
// reference's.
Result<void> Bench::check_reference() {
  COPPICE_TRY(const std::unique_ptr<HostReference> host, HostReference::build(*op_));
  Json rows = Json::array();
  for (std::uint64_t w = 0; w < lane_->workloads().size(); ++w) {
    const LaneWorkload& workload = lane_->workloads()[w];
    for (std::uint64_t set = 0; workload.hidden && set < workload.cases.size(); ++set) {
      HostReference::Inputs inputs = workload.structure.tensors;
      bool same_bits = true;
      for (const TensorInfo& tensor : workload.tensors) {
        if (tensor.role != TensorRole::value) {
          continue;
        }
        COPPICE_TRY(inputs[tensor.name], lane_->judge().read(w, set, tensor.name, false));
        if (workload.cases[set]->adjust) {
          continue;
        }
        std::string drawn(tensor.bytes, '\0');
        const auto changed = workload.cases[set]->fills.find(tensor.name);
        const std::uint64_t seed = mix64(0x5eed1 + mix64(hash_text(workload.workload->name) +
                                                         0x9e3779b97f4a7c15ull * (set + 1)));
        fill_tensor(changed == workload.cases[set]->fills.end() ? tensor.fill : changed->second,
                    seed,
                    {tensor.name, tensor.dtype, tensor.elements, drawn.data()},
                    4);
        same_bits = same_bits && drawn == inputs[tensor.name];
      }
      COPPICE_TRY(const auto outputs,
                  host->reference(*workload.workload, workload.tensors, inputs));
      double worst = 0;
      std::size_t nth = 0;
      for (const TensorInfo& tensor : workload.tensors) {
        if (tensor.role != TensorRole::output) {
          continue;
        }
        COPPICE_TRY(const std::string expected, lane_->judge().read(w, set, tensor.name, true));
        OutputView view{
            tensor.name, DType::f32, tensor.shape, expected.data(), outputs[nth++].data(), nullptr};
        const Comparison compared =
            compare_output(view, Tolerance{1e-6, 1e-5, 1e-5, 2.0, std::nullopt}, 4);
        worst = std::max(worst, compared.error);
      }
      Json row = Json::object();
      row.set("workload", workload.workload->name)
          .set("case", workload.cases[set]->name)
          .set("same_bits", same_bits)
          .set("error_over_limit", worst);
      if (!same_bits || worst > 1) {
        std::fprintf(stderr, "REFERENCE %s\n", row.dump().c_str());
      }
      rows.push(std::move(row));
    }
  }
  json_.set("reference", std::move(rows));
  return {};
}

// Practical floors by a plain read, beside the candidates' times.
Result<void> Bench::costs_of_the_device() {
  Json rows = Json::array();
  for (const std::uint64_t megabytes : {4ull, 34ull, 134ull, 537ull, 2147ull}) {
    COPPICE_TRY(const double seconds, lane_->judge().stream(megabytes * 1000000));
    Json row = Json::object();
    row.set("megabytes", megabytes).set("us", seconds * 1e6);
    rows.push(std::move(row));
  }
  std::fprintf(stderr, "stream %s\n", rows.dump().c_str());
  json_.set("stream_read", std::move(rows));
  return {};
}

void Bench::compile(Ready& ready, std::vector<CompileJob> jobs) const {
  Json resources = Json::array();
  for (const CompileJob& job : jobs) {
    const Result<Compiled> compiled = toolchain_->compile(job, {});
    if (!compiled.ok() || compiled->failure != FailureClass::none) {
      ready.verdict = {false,
                       compiled.ok() && compiled->failure == FailureClass::forbidden_code
                           ? Gate::binary
                           : Gate::build,
                       compiled.ok() ? compiled->failure : FailureClass::infrastructure,
                       compiled.ok() ? compiled->message : compiled.error().message};
      return;
    }
    ready.compile_seconds += to_seconds(compiled->elapsed);
    Result<CubinInfo> info = inspect_cubin(compiled->binary);
    if (!info.ok()) {
      ready.verdict = {false, Gate::binary, FailureClass::forbidden_code, info.error().message};
      return;
    }
    add_assembler_report(*info, compiled->log);
    resources.push(to_json(*info));
    ready.job.binaries.push_back(compiled->binary);
  }
  ready.resources = std::move(resources);
  ready.ok = true;
}

Ready Bench::prepare_candidate(Candidate candidate,
                               const std::vector<std::string>& only,
                               bool hidden) const {
  Ready out;
  const Prepared prepared = prepare(candidate, {*op_, *suite_, &*target_, scalars_, only});
  out.candidate = std::move(candidate);
  if (prepared.refused) {
    out.verdict = *prepared.refused;
    return out;
  }
  std::vector<CompileJob> jobs;
  std::map<std::size_t, std::uint64_t> kept;
  for (const PreparedWorkload& w : prepared.workloads) {
    if (w.hidden && !hidden) {
      continue;
    }
    if (kept.count(w.job) == 0) {
      kept[w.job] = jobs.size();
      jobs.push_back(prepared.jobs[w.job]);
    }
    out.job.plans.push_back({*lane_->find(w.workload), w.plan, kept[w.job]});
  }
  out.job.precision = precision_;
  compile(out, std::move(jobs));
  return out;
}

Json Bench::report(const Ready& ready, const LaneResult& result) const {
  Json out = Json::object();
  out.set("candidate", ready.candidate.label)
      .set("valid", result.verdict.valid)
      .set("gate", to_text(result.verdict.gate))
      .set("failure", to_text(result.verdict.failure))
      .set("message", result.verdict.message)
      .set("error", result.error)
      .set("compile_s", ready.compile_seconds);
  const LaneCost& cost = result.cost;
  Json costs = Json::object();
  costs.set("total_s", cost.total)
      .set("start_s", cost.start)
      .set("workspace_s", cost.workspace)
      .set("load_s", cost.load)
      .set("capture_s", cost.capture)
      .set("candidate_blocks_s", cost.candidate_blocks)
      .set("baseline_blocks_s", cost.baseline_blocks)
      .set("check_s", cost.check)
      .set("verify_s", cost.verify)
      .set("candidate_kernels_s", cost.candidate_kernels)
      .set("baseline_kernels_s", cost.baseline_kernels)
      .set("device_span_s", cost.device_span)
      .set("enqueue_s", cost.enqueue)
      .set("launches", cost.launches);
  out.set("cost", std::move(costs));
  Json timings = Json::array();
  for (const LaneTiming& timing : result.timings) {
    Json one = Json::object();
    one.set("workload", lane_->workloads()[timing.workload].workload->name)
        .set("us", static_cast<double>(median_of(timing.candidate)))
        .set("baseline_us", static_cast<double>(median_of(timing.baseline)))
        .set("speedup", std::exp(timing.paired.log_ratio.median))
        .set("speedup_low", std::exp(timing.paired.log_ratio.low))
        .set("speedup_high", std::exp(timing.paired.log_ratio.high))
        .set("pairs", timing.paired.pairs);
    timings.push(std::move(one));
  }
  out.set("timings", std::move(timings)).set("resources", ready.resources);
  return out;
}

// Honest, wrong, hanging, trapping: each must get its verdict, and the next must not notice.
Result<void> Bench::corpus() {
  const std::string folder = arguments_.repository + "/tests/corpus/cuda/";
  COPPICE_TRY(const Json cases,
              Json::parse(read_file(folder + "cases.json"), folder + "cases.json"));
  const std::string source = read_file(folder + "decode_cheats.cu");
  COPPICE_TRY(const JsonReader list, cases.reader("cases.json").at("cases"));
  COPPICE_TRY(const std::vector<JsonReader> items, list.items());
  Json rows = Json::array();
  int right = 0;
  for (const JsonReader& item : items) {
    COPPICE_TRY(const std::string name, item.text_or("name", ""));
    COPPICE_TRY(const std::string gate, item.text_or("gate", ""));
    COPPICE_TRY(const std::string failure, item.text_or("failure", "none"));
    Candidate candidate;
    candidate.backend = "cuda";
    candidate.source_name = "kernel.cu";
    candidate.label = name;
    candidate.precision = precision_->name;
    candidate.plan = *op_->baselines.at(baseline_index()).plan;
    candidate.source = "#define CHEAT_" + upper(name) + " 1\n" + source;
    Ready ready = prepare_candidate(std::move(candidate), {suite_->workloads.front().name}, true);
    LaneResult result;
    result.verdict = ready.verdict;
    ready.job.give_up_below = std::log(0.2);
    if (ready.ok) {
      COPPICE_TRY(result, lane_->evaluate(ready.job));
      COPPICE_TRY([[maybe_unused]] const auto cost, lane_->draw(0x5eed1));
    }
    const bool expected =
        gate.empty() ? result.verdict.valid
                     : !result.verdict.valid && to_text(result.verdict.gate) == gate &&
                           (failure == "any" || to_text(result.verdict.failure) == failure);
    right += expected ? 1 : 0;
    Json row = report(ready, result);
    row.set("expected", expected);
    std::fprintf(stderr,
                 "%-18s %s %s/%s %.3f s %s\n",
                 name.c_str(),
                 expected ? "ok  " : "BAD ",
                 std::string(to_text(result.verdict.gate)).c_str(),
                 std::string(to_text(result.verdict.failure)).c_str(),
                 result.cost.total,
                 result.verdict.message.c_str());
    rows.push(std::move(row));
  }
  json_.set("corpus", std::move(rows)).set("corpus_right", right).set("corpus_cases", items.size());
  return {};
}

std::size_t Bench::baseline_index() const {
  for (std::size_t i = 0; i < op_->baselines.size(); ++i) {
    if (op_->baselines[i].backend == "cuda" && op_->baselines[i].plan) {
      return i;
    }
  }
  return op_->baselines.size();
}

Result<void> Bench::freeze() {
  if (baseline_index() == op_->baselines.size()) {
    return Error{ErrorCode::missing, "op " + op_->name + " has no cuda baseline"};
  }
  const BaselineSpec& spec = op_->baselines[baseline_index()];
  Candidate candidate;
  candidate.backend = "cuda";
  candidate.source_name = spec.source_name;
  candidate.source = spec.source;
  candidate.plan = *spec.plan;
  candidate.label = spec.name;
  Ready ready = prepare_candidate(std::move(candidate), {}, true);
  if (!ready.ok) {
    return Error{ErrorCode::config, "baseline: " + ready.verdict.message};
  }
  COPPICE_TRY(const LaneResult result, lane_->freeze(ready.job));
  Json row = report(ready, result);
  std::fprintf(
      stderr, "isolation %s\nbaseline %s\n", lane_->isolation().c_str(), row.dump().c_str());
  json_.set("baseline", std::move(row)).set("isolation", lane_->isolation());
  if (!result.verdict.valid) {
    return Error{ErrorCode::config, "baseline is refused: " + result.verdict.message};
  }
  return {};
}

void Bench::stage(const char* name, const Result<void>& done) {
  std::fprintf(stderr,
               "[%.1f s] %s %s\n",
               seconds_since(begin_),
               name,
               done.ok() ? "done" : done.error().message.c_str());
  if (!done.ok()) {
    json_.set(std::string("error_") + name, done.error().message);
  }
}

Result<void> Bench::measure() {
  COPPICE_TRY_VOID(open());
  // One failed stage must not hide the others: device time is dear.
  stage("reference", check_reference());
  stage("stream", costs_of_the_device());
  stage("baseline", freeze());
  if (arguments_.corpus) {
    stage("corpus", corpus());
  }
  stage("grid", grid());
  return {};
}

int Bench::run() {
  const Result<void> done = measure();
  json_.set("seconds", seconds_since(begin_));
  if (!done.ok()) {
    json_.set("error", done.error().message);
    std::fprintf(stderr, "milestone_a_cuda: %s\n", done.error().message.c_str());
  }
  std::ofstream(arguments_.out) << json_.pretty() << "\n";
  return done.ok() ? 0 : exit_status(done.error().code);
}

}  // namespace coppice::bench

// milestone_a_cuda [--repository DIR] [--out FILE] [--op NAME] [--suite NAME] [--genomes N]
//                  [--seconds S] [--no-corpus]
int main(int count, char** words) {
  coppice::bench::Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const std::string value = i + 1 < count ? words[i + 1] : "";
    if (word == "--no-corpus") {
      arguments.corpus = false;
      continue;
    }
    ++i;
    if (word == "--repository") {
      arguments.repository = value;
    } else if (word == "--out") {
      arguments.out = value;
    } else if (word == "--op") {
      arguments.op = value;
    } else if (word == "--suite") {
      arguments.suite = value;
    } else if (word == "--genomes") {
      arguments.genomes = std::atoi(value.c_str());
    } else if (word == "--seconds") {
      arguments.seconds = std::atof(value.c_str());
    } else {
      std::fprintf(stderr, "unknown option %s\n", word.c_str());
      return 2;
    }
  }
  return coppice::bench::Bench(arguments).run();
}
