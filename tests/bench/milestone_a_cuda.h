// The parts of milestone_a_cuda: what it measures, stage by stage.
#pragma once

#include "core/candidate.h"
#include "core/op_shapes.h"
#include "core/random.h"
#include "evaluators/compare.h"
#include "evaluators/cuda/cubin.h"
#include "evaluators/cuda/lane.h"
#include "evaluators/prepare.h"
#include "evaluators/values.h"
#include "experiments/op_loader.h"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

namespace coppice::bench {

using namespace evaluators;
using namespace evaluators::cuda;

struct Arguments {
  std::string repository = ".", out = "milestone_a_cuda.json", op = "gqa_paged_decode",
              suite = "h200_decode";
  int genomes = 60;
  double seconds = 150;
  bool corpus = true;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline float median_of(std::vector<float> values) {
  if (values.empty()) {
    return 0;
  }
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

inline std::string upper(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return out;
}

// The template's source with one genome's values in front.
inline Candidate from_template(const Op& op, const Template& t, const ValueMap& chosen) {
  Candidate out;
  out.backend = "cuda";
  out.source_name = t.source_name;
  out.plan = t.plan;
  out.flags = t.flags;
  out.precision = op.precision.front().name;
  out.label = t.name;
  for (const Axis& axis : t.axes) {
    const auto found = chosen.find(axis.name);
    const Value value = found == chosen.end() ? axis.levels[axis.default_level] : found->second;
    out.axis_values[axis.name] = value;
    out.label += " " + axis.name + "=" + to_text(value);
    if (const auto* text = std::get_if<std::string>(&value)) {
      out.source += "#define " + upper(axis.name) + "_" + upper(*text) + " 1\n";
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      out.source += "#define " + upper(axis.name) + (*flag ? " 1\n" : " 0\n");
    } else {
      out.source += "#define " + upper(axis.name) + " " + to_text(value) + "\n";
    }
  }
  out.source += t.source;
  return out;
}

// A candidate, compiled: what the lane needs, or the verdict so far.
struct Ready {
  Candidate candidate;
  LaneJob job;
  Verdict verdict;
  bool ok = false;
  double compile_seconds = 0;
  Json resources;
};

class Bench {
 public:
  explicit Bench(Arguments arguments) : arguments_(std::move(arguments)) {}
  int run();

 private:
  Result<void> measure();
  void stage(const char* name, const Result<void>& done);
  Result<void> open();
  Result<void> check_reference();
  Result<void> costs_of_the_device();
  Result<void> freeze();
  std::size_t baseline_index() const;
  Result<void> corpus();
  Result<void> grid();
  Ready prepare_candidate(Candidate candidate,
                          const std::vector<std::string>& only,
                          bool hidden) const;
  void compile(Ready& ready, std::vector<CompileJob> jobs) const;
  Json report(const Ready& ready, const LaneResult& result) const;
  std::vector<ValueMap> genomes(const Template& t, const Workload& workload, int count) const;
  double left() const { return arguments_.seconds - seconds_since(begin_); }

  Arguments arguments_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::optional<Op> op_;
  const Suite* suite_ = nullptr;
  const PrecisionClass* precision_ = nullptr;
  std::optional<Target> target_;
  std::unique_ptr<NvrtcToolchain> toolchain_;
  std::unique_ptr<CudaLane> lane_;
  std::map<std::string, ValueMap> scalars_;
  Json json_ = Json::object();
};

}  // namespace coppice::bench
