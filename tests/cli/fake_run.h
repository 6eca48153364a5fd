// What the tests of cli share: a tiny operation, its run material, a folder that goes away, streams
// that can be read back.
#pragma once

#include "archive/run_store.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/run_material.h"
#include "cli/run_session.h"
#include "core/executor.h"
#include "tests/cli/fake_evaluator.h"
#include "tests/support/catch.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace coppice::tests {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "coppice_cli_XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Streams of a console, kept in memory.
class Streams {
 public:
  Streams() : out_(std::tmpfile()), err_(std::tmpfile()), console(out_, err_, {}) {}
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  ~Streams() {
    std::fclose(out_);
    std::fclose(err_);
  }
  std::string out() const { return text(out_); }
  std::string err() const { return text(err_); }

 private:
  static std::string text(std::FILE* file) {
    std::string all;
    std::rewind(file);
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) {
      all += static_cast<char>(c);
    }
    return all;
  }
  std::FILE* out_;
  std::FILE* err_;

 public:
  cli::Console console;
};

// What a command printed, and its exit status.
struct Said {
  int status = 0;
  std::string out, err;
};

inline Said say(const std::vector<std::string>& words) {
  Streams streams;
  const int status = cli::run_program(words, streams.console);
  return {status, streams.out(), streams.err()};
}

// An operation with one template and five axes, complete enough for the loader.
inline constexpr const char* kTinyContract = R"json({
  "schema": 1, "name": "tiny", "family": "norm", "summary": "Doubles a vector.",
  "dims": ["n"], "types": {"T": ["f32"]},
  "tensors": [
    {"name": "x", "role": "value", "dtype": "T", "shape": ["n"], "fill": {"kind": "normal"}},
    {"name": "y", "role": "output", "dtype": "T", "shape": ["n"]}],
  "precision": [{"name": "f32", "nrmse": 1e-6, "relative": 1e-5, "scaled": 1e-5}],
  "cases": [{"name": "normal"}],
  "cost": {"flops": "n", "bytes": "8 * n", "compute": "f32_fma"}
})json";

inline constexpr const char* kTinySuite = R"json({
  "schema": 1, "types": {"T": "f32"}, "workloads": [{"name": "small", "dims": {"n": 64}}]
})json";

inline constexpr const char* kTinyReference = R"json(#include "coppice_op.h"
extern "C" int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const coppice_tensor* x = coppice_tensor_of(p, "x");
  for (std::int64_t i = part; i < x->shape[0]; i += parts) {
    outputs[0][i] = 2.0 * coppice_real(x, i);
  }
  return 0;
}
)json";

inline constexpr const char* kTinyTemplate = R"json({
  "schema": 1, "summary": "A loop.",
  "axes": [
    {"name": "tile", "type": "ordinal", "kind": "tile", "levels": [1, 2, 4, 8, 16, 32], "default": 1},
    {"name": "unroll", "type": "ordinal", "kind": "vector", "levels": [1, 2, 4, 8, 16], "default": 2},
    {"name": "depth", "type": "integer", "kind": "stage", "levels": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "default": 2},
    {"name": "ahead", "type": "integer", "kind": "other", "levels": [1, 2, 3, 4], "default": 1},
    {"name": "fuse", "type": "boolean", "kind": "fusion", "levels": [false, true], "default": false, "structural": true}],
  "restrictions": ["tile * unroll <= 256"],
  "plan": {"threads": 1, "steps": [
    {"kernel": "twice", "grid": ["ceil_div(n, 8 * tile)"],
     "args": [{"tensor": "x"}, {"tensor": "y"}, {"dim": "n"}]
}]
}
})json";

inline constexpr const char* kTinyKernel = R"json(#include "coppice_cpu.h"
COPPICE_KERNEL(twice) {
  const float* x = coppice_in<float>(args, 0);
  float* y = coppice_out<float>(args, 1);
  const std::int64_t n = coppice_dim(args, 2);
  const std::int64_t first = task->index[0] * 8 * TILE;
  for (std::int64_t i = first; i < n && i < first + 8 * TILE; ++i) {
    y[i] = 2.0f * x[i];
  }
}
)json";

inline void write_tiny_op(const std::string& folder) {
  write(folder + "/op.json", kTinyContract);
  write(folder + "/suites/small.json", kTinySuite);
  write(folder + "/reference.cpp", kTinyReference);
  write(folder + "/templates/cpu/plain/template.json", kTinyTemplate);
  write(folder + "/templates/cpu/plain/kernel.cpp", kTinyKernel);
}

inline std::string tiny_config(const std::string& op_folder,
                               int attempts,
                               int lanes = 1,
                               const std::string& strategy = "coppice") {
  return R"({"schema": 1, "op": ")" + op_folder +
         R"(", "suite": "small", "seed": 3, "strategy": ")" + strategy + R"(", "lanes": )" +
         std::to_string(lanes) + R"(, "budget": {"attempts": )" + std::to_string(attempts) + "}}";
}

// Everything a session needs, with the fake evaluator.
struct FakeWorld {
  explicit FakeWorld(int attempts = 12,
                     int lanes = 1,
                     FakeOptions options = {},
                     const std::string& strategy = "coppice")
      : evaluator(std::move(options)) {
    write_tiny_op(folder / "tiny");
    write(folder / "tiny.json", tiny_config(folder / "tiny", attempts, lanes, strategy));
  }
  cli::RunMaterial material() {
    const auto config = cli::load_run_config(folder / "tiny.json");
    if (!config.ok()) {
      FAIL(config.error().message);
    }
    auto material = cli::gather(*config, cli::Places{{}});
    if (!material.ok()) {
      FAIL(material.error().message);
    }
    return *material;
  }
  archive::RunStore store() {
    auto store = archive::RunStore::open(folder / "archive", archive::RunStore::Access::create);
    if (!store.ok()) {
      FAIL(store.error().message);
    }
    return *store;
  }
  cli::SessionWorld world() {
    return {evaluator, clock, executor, streams.console, [this] { return interrupts.load(); }, ""};
  }
  // A whole run; its name.
  std::string run() {
    const auto result = cli::start_run(store(), "tiny", material(), {}, world());
    if (!result.ok()) {
      FAIL(result.error().message);
    }
    return result->run;
  }

  TemporaryFolder folder;
  FakeEvaluator evaluator;
  SteadyClock clock;
  InlineExecutor executor;
  Streams streams;
  std::atomic<int> interrupts{0};
};

}  // namespace coppice::tests
