// The loader takes a sound operation whole.
#include "experiments/op_loader.h"

#include "tests/experiments/op_fixture.h"

#include <filesystem>
#include <fstream>

namespace coppice::experiments {
namespace {

namespace fs = std::filesystem;

Op load_good() {
  Result<Op> op = load_op(good_op(), "row_scale");
  if (!op.ok()) {
    FAIL(op.error().message);
  }
  return std::move(op).value();
}

// A folder on disk that is removed at the end.
class OpFolder {
 public:
  explicit OpFolder(const Files& files) {
    std::string pattern = (fs::temp_directory_path() / "coppice-op-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    for (const auto& [path, text] : files) {
      write(path, text);
    }
  }
  ~OpFolder() { fs::remove_all(path_); }
  OpFolder(const OpFolder&) = delete;
  OpFolder& operator=(const OpFolder&) = delete;

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((path_ / path).parent_path());
    std::ofstream(path_ / path) << text;
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

}  // namespace

TEST_CASE("a sound operation loads with its contract") {
  const Op op = load_good();
  CHECK(op.name == "row_scale");
  CHECK(op.family == "norm");
  CHECK(op.dims == std::vector<std::string>{"rows", "columns"});
  REQUIRE(op.tensors.size() == 5);
  CHECK(op.tensors[0].fill.scale == 2.0);
  CHECK(op.tensors[1].weight);
  CHECK(op.tensors[2].role == TensorRole::structure);
  REQUIRE(op.precision.size() == 3);
  CHECK(op.precision[0].types.at("T") == "f32");
  CHECK(op.precision[0].per_output.at("norm").absolute == 1e-3);
  CHECK(op.precision[0].per_output.at("norm").nrmse == 1e-5);
  REQUIRE(op.cases.size() == 3);
  CHECK(op.cases[1].fills.at("x").kind == Fill::Kind::constant);
  CHECK(op.cases[2].adjust);
  CHECK(op.cost.compute == "f32_fma");
}

TEST_CASE("a sound operation loads with its suites, templates, baselines and twins") {
  const Op op = load_good();
  const Suite* suite = op.suite("small");
  REQUIRE(suite != nullptr);
  REQUIRE(suite->workloads.size() == 2);
  CHECK(suite->workloads[0].structure_seed == 7);
  CHECK(suite->hidden.size() == 1);
  const Template* part = op.find_template("banded");
  REQUIRE(part != nullptr);
  CHECK(part->backend == "cpu");
  CHECK(part->flags == std::vector<std::string>{"-ffast-math"});
  REQUIRE(part->axes.size() == 4);
  CHECK(part->axes[0].default_level == 2);
  CHECK(part->axes[3].when.has_value());
  CHECK(part->plan.steps.size() == 3);
  REQUIRE(op.baselines.size() == 1);
  CHECK(op.baselines[0].variants.size() == 2);
  REQUIRE(op.twins.size() == 2);
  CHECK(op.twins[0].expect_gate == "correctness");
  CHECK(op.twins[1].good);
}

TEST_CASE("shapes follow the workload's dims and the suite's types") {
  const Op op = load_good();
  const Suite& suite = *op.suite("small");
  const auto tensors = shapes(op, suite, suite.workloads[0]);
  REQUIRE(tensors.ok());
  REQUIRE(tensors->size() == 5);
  CHECK((*tensors)[0].shape == std::vector<std::int64_t>{8, 64});
  CHECK((*tensors)[0].bytes == 8 * 64 * 4);
  CHECK((*tensors)[2].shape == std::vector<std::int64_t>{9});
  CHECK((*tensors)[2].dtype == DType::i32);
}

TEST_CASE("a workload without a dim has no shapes, and the message names the tensor") {
  const Op op = load_good();
  Workload workload = op.suite("small")->workloads[0];
  workload.dims.erase("columns");
  const auto tensors = shapes(op, *op.suite("small"), workload);
  REQUIRE_FALSE(tensors.ok());
  CHECK_THAT(tensors.error().message, Catch::Contains("tensor 'x'") && Catch::Contains("columns"));
}

TEST_CASE("the headers that sources include belong to the operation's identity") {
  const Op op = load_good();
  CHECK(op.files.contains("include/coppice_cpu.h"));
  CHECK(op.files.contains("include/coppice_op.h"));
  Files files = good_op();
  files["include/coppice_cpu.h"] = "// an older interface\n";
  const auto archived = load_op(files, "archive");
  REQUIRE(archived.ok());
  CHECK(archived->files.at("include/coppice_cpu.h") == "// an older interface\n");
  CHECK(archived->digest != op.digest);
}

TEST_CASE("an operation that was loaded loads again from its own files with the same digest") {
  const Op op = load_good();
  const auto again = load_op(op.files, "archive");
  REQUIRE(again.ok());
  CHECK(again->digest == op.digest);
}

TEST_CASE("any change of any file changes the digest") {
  const Op op = load_good();
  Files files = good_op();
  edit(files, "templates/cpu/banded/kernel.cpp", "(void)task;", "(void)task; ");
  const auto changed = load_op(files, "row_scale");
  REQUIRE(changed.ok());
  CHECK(changed->digest != op.digest);
}

TEST_CASE("a folder and a map of the same files give the same operation") {
  const OpFolder folder(good_op());
  folder.write(".git/config", "hidden\n");
  folder.write("templates/cpu/banded/kernel.cpp~", "backup\n");
  folder.write("prebuilt.so", "binary\n");
  const auto op = load_op(folder.path() + "/");
  if (!op.ok()) {
    FAIL(op.error().message);
  }
  CHECK(op->digest == load_good().digest);
  CHECK(lint_op(folder.path()).empty());
}

TEST_CASE("a folder that does not exist is an error of kind missing") {
  const auto op = load_op("no/such/folder");
  REQUIRE_FALSE(op.ok());
  CHECK(op.error().code == ErrorCode::missing);
  CHECK_THAT(op.error().message, Catch::Contains("no/such/folder"));
}

TEST_CASE("a file in place of a folder is refused") {
  const OpFolder folder(good_op());
  const auto op = load_op(folder.path() + "/op.json");
  REQUIRE_FALSE(op.ok());
  CHECK_THAT(op.error().message, Catch::Contains("expected an operation's folder"));
}

TEST_CASE("an operation is found by path, by name, and otherwise the nearest name is told") {
  const OpFolder folder({{"gemm/op.json", "{}"}, {"moe_ffn/op.json", "{}"}});
  CHECK(find_op(folder.path(), {}).value() == folder.path());
  CHECK(find_op("gemm", {"/nowhere", folder.path()}).value() == folder.path() + "/gemm");
  const auto missing = find_op("gem", {folder.path()});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::missing);
  CHECK_THAT(missing.error().message, Catch::Contains("nearest is 'gemm'"));
}

TEST_CASE("lint lists every problem, load tells the first and how many more there are") {
  Files files = good_op();
  edit(files, "suites/small.json", "\"columns\": 16", "\"columns\": 18");
  edit(files, "templates/cpu/banded/template.json", "\"finish\"", "\"finnish\"");
  const OpFolder folder(files);
  CHECK(lint_op(folder.path()).size() == 2);
  const auto op = load_op(folder.path());
  REQUIRE_FALSE(op.ok());
  CHECK_THAT(op.error().message, Catch::Contains("and 1 more"));
}

}  // namespace coppice::experiments
