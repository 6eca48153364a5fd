// Each way to get an operation wrong has one clear message: file, place, what was found or
// expected.
#include "tests/experiments/op_fixture.h"

#include <vector>

namespace coppice::experiments {
namespace {

struct BadOp {
  std::string what;
  std::string path;  // the file to edit
  std::string from;  // text to replace; empty: the file is removed
  std::string to;
  std::vector<std::string> says;  // all must stand in the message
};

const std::string kT = "templates/cpu/banded/template.json";
const std::string kS = "suites/small.json";

std::vector<BadOp> contract_mistakes() {
  return {
      {"unknown key", "op.json", "\"family\"", "\"famly\"", {"bad/op.json", "famly", "family"}},
      {"wrong type", "op.json", "[\"rows\", \"columns\"],", "\"rows\",", {"/dims", "array"}},
      {"torn JSON", "op.json", "\"cost\":", "", {"bad/op.json", "line"}},
      {"no op.json", "op.json", "", "", {"bad/op.json", "no such file"}},
      {"other schema", "op.json", "\"schema\": 1", "\"schema\": 2", {"/schema", "2"}},
      {"missing name", "op.json", "\"name\": \"row_scale\",", "", {"bad/op.json", "name"}},
      {"dim twice",
       "op.json",
       "\"columns\"],",
       "\"rows\"],",
       {"/dims/1", "'rows' is declared twice"}},
      {"dim like a constant", "op.json", "\"eps\"", "\"rows\"", {"'rows' is declared twice"}},
      {"unknown dim in a shape",
       "op.json",
       "\"rows + 1\"",
       "\"rws + 1\"",
       {"/tensors/2/shape/0", "'rws'", "nearest is 'rows'"}},
      {"broken expression", "op.json", "\"rows + 1\"", "\"rows +\"", {"/tensors/2/shape/0"}},
      {"unknown dtype",
       "op.json",
       "\"dtype\": \"i32\"",
       "\"dtype\": \"i33\"",
       {"/tensors/2/dtype", "i33"}},
      {"real structure",
       "op.json",
       "\"dtype\": \"i32\"",
       "\"dtype\": \"f32\"",
       {"/tensors/2/dtype", "whole-number"}},
      {"unknown role",
       "op.json",
       "\"role\": \"structure\"",
       "\"role\": \"index\"",
       {"/tensors/2/role", "value, structure or output", "index"}},
      {"tensor twice",
       "op.json",
       "\"name\": \"weight\"",
       "\"name\": \"x\"",
       {"/tensors/1/name", "'x' is declared twice"}},
      {"unknown fill",
       "op.json",
       "\"kind\": \"uniform\"",
       "\"kind\": \"gauss\"",
       {"/tensors/1/fill/kind", "normal, uniform or constant", "gauss"}},
      {"negative tolerance",
       "op.json",
       "\"nrmse\": 1e-5",
       "\"nrmse\": -1",
       {"/precision/0/nrmse", "positive", "-1"}},
      {"precision twice",
       "op.json",
       "\"name\": \"bf16\"",
       "\"name\": \"f32\"",
       {"/precision/1/name", "declared twice"}},
      {"limit for an input",
       "op.json",
       "\"outputs\": {\"norm\"",
       "\"outputs\": {\"weight\"",
       {"/precision/0/outputs", "'weight' is not an output"}},
      {"precision for an unknown type",
       "op.json",
       "\"types\": {\"T\": \"f32\"}",
       "\"types\": {\"U\": \"f32\"}",
       {"/precision/0/types/U", "no type 'U'"}},
      {"fill of an output in a case",
       "op.json",
       "\"fills\": {\"x\"",
       "\"fills\": {\"out\"",
       {"/cases/1/fills/out", "not a value tensor"}},
      {"unknown name in cost", "op.json", "3 * rows", "3 * row", {"/cost/flops", "'row'"}},
      {"constraint over a scalar",
       "op.json",
       "columns % 4",
       "longest % 4",
       {"/constraints/0", "longest"}},
  };
}

std::vector<BadOp> suite_mistakes() {
  return {
      {"no suite", kS, "", "", {"bad/suites", "at least one"}},
      {"unknown dim", kS, "\"rows\": 8", "\"rowz\": 8", {"/workloads/0/dims", "'rowz'", "'rows'"}},
      {"missing dim", kS, "\"rows\": 8, ", "", {"/workloads/0/dims", "'rows' has no value"}},
      {"negative dim", kS, "\"rows\": 8", "\"rows\": -8", {"/workloads/0/dims/rows", "-8"}},
      {"fractional dim", kS, "\"rows\": 8", "\"rows\": 8.5", {"/workloads/0/dims/rows", "8.5"}},
      {"broken constraint",
       kS,
       "\"columns\": 16",
       "\"columns\": 18",
       {"/workloads/1", "'columns % 4 == 0'"}},
      {"impossible size",
       kS,
       "\"rows\": 8, \"columns\": 64",
       "\"rows\": 1000000000000, \"columns\": 1000000000000",
       {"/workloads/0", "2^48"}},
      {"workload twice",
       kS,
       "\"name\": \"tiny\"",
       "\"name\": \"wide\"",
       {"/hidden/0/name", "'wide' is declared twice"}},
      {"type not offered",
       kS,
       "{\"T\": \"f32\"}",
       "{\"T\": \"f16\"}",
       {"/types/T", "f32 bf16", "f16"}},
      {"type not chosen", kS, "{\"T\": \"f32\"}", "{}", {"no choice for type 'T'"}},
      {"no workload", kS, "\"workloads\": [", "\"workloads\": [], \"hiden\": [", {"hiden"}},
      {"torn JSON", kS, "\"schema\": 1,", "\"schema\": 1", {"bad/suites/small.json", "line"}},
  };
}

std::vector<BadOp> axis_mistakes() {
  return {
      {"no level", kT, "[1, 2, 4, 8]", "[]", {"/axes/0/levels", "axis 'band' has no level"}},
      {"level twice", kT, "[1, 2, 4, 8]", "[1, 2, 4, 4]", {"/axes/0/levels/3", "twice"}},
      {"mixed levels", kT, "[1, 2, 4, 8]", "[1, \"two\", 4]", {"/axes/0/levels/1", "two"}},
      {"default not a level",
       kT,
       "\"default\": 4",
       "\"default\": 5",
       {"/axes/0/default", "1 2 4 8", "5"}},
      {"axis twice",
       kT,
       "\"name\": \"unroll\"",
       "\"name\": \"band\"",
       {"/axes/1/name", "'band' is declared twice"}},
      {"axis like a dim",
       kT,
       "\"name\": \"unroll\"",
       "\"name\": \"rows\"",
       {"/axes/1/name", "'rows'"}},
      {"unknown axis kind", kT, "\"kind\": \"tile\"", "\"kind\": \"tiles\"", {"/axes/0", "tiles"}},
      {"unknown axis type", kT, "\"type\": \"integer\"", "\"type\": \"int\"", {"/axes/1", "int"}},
      {"text in an integer axis",
       kT,
       "[1, 2, 3]",
       "[1, 2.5]",
       {"/axes/1/levels/1", "whole number"}},
      {"a level that is no macro",
       kT,
       "\"half\"]",
       "\"half-way\"]",
       {"/axes/3/levels/1", "half-way"}},
      {"when looks forward",
       kT,
       "\"default\": 4}",
       "\"default\": 4, \"when\": \"unroll > 1\"}",
       {"/axes/0/when", "'unroll'", "earlier axis"}},
      {"axis without a valid level",
       kT,
       "\"band <= rows\"",
       "\"band > 100\"",
       {"/restrictions/1", "axis 'band' has no valid level", "wide"}},
      {"restriction that nothing satisfies",
       kT,
       "\"band * unroll <= columns\"",
       "\"band * unroll > columns * 100\"",
       {"/restrictions/0", "no combination of levels"}},
      {"default breaks a restriction",
       kT,
       "\"band <= rows\"",
       "\"band == 2\"",
       {"/restrictions/1", "default genome breaks it", "band=4"}},
      {"unknown name in a restriction",
       kT,
       "\"band <= rows\"",
       "\"bandd <= rows\"",
       {"/restrictions/1", "'bandd'", "nearest is 'band'"}},
      {"undeclared precision", kT, "'loose' if", "'lose' if", {"/precision", "'lose'"}},
      {"forbidden flag",
       kT,
       "\"-ffast-math\"",
       "\"-fplugin=evil.so\"",
       {"/flags/0", "-fplugin=evil.so"}},
      {"macro twice", kT, "\"COLUMNS\"", "\"BAND\"", {"macro BAND"}},
  };
}

std::vector<BadOp> plan_mistakes() {
  return {
      {"no plan", kT, "\"plan\"", "\"plann\"", {"plann"}},
      {"unknown tensor",
       kT,
       "{\"tensor\": \"weight\"}",
       "{\"tensor\": \"weigth\"}",
       {"/plan/steps/1/args/1", "unknown tensor 'weigth'", "'weight'"}},
      {"unknown workspace",
       kT,
       "{\"workspace\": \"partial\"}, {\"tensor\": \"norm\"}",
       "{\"workspace\": \"partials\"}, {\"tensor\": \"norm\"}",
       {"/plan/steps/2/args/0", "unknown workspace 'partials'"}},
      {"unknown dim in a grid",
       kT,
       "ceil_div(rows, band)",
       "ceil_div(row, band)",
       {"/plan/steps/1/grid", "'row'"}},
      {"unknown kernel",
       kT,
       "\"kernel\": \"finish\"",
       "\"kernel\": \"finnish\"",
       {"/plan/steps/2/kernel", "kernel.cpp defines no kernel 'finnish'"}},
      {"output that nobody writes", kT, ", {\"tensor\": \"norm\"}", "", {"output 'norm'"}},
      {"fill of an input",
       kT,
       "\"fill\": \"partial\"",
       "\"fill\": \"x\"",
       {"/plan/steps/0/fill", "'x'"}},
      {"run-time scalar in a define",
       kT,
       "\"COLUMNS\": \"columns\"",
       "\"COLUMNS\": \"longest\"",
       {"/plan/defines/COLUMNS", "longest"}},
      {"prepare over values",
       kT,
       "{\"kernel\": \"finish\",",
       "{\"kernel\": \"finish\", \"prepare\": true,",
       {"/plan/steps/2/args/1", "structure tensors only"}},
      {"missing kernel source",
       "templates/cpu/banded/kernel.cpp",
       "",
       "",
       {"bad/templates/cpu/banded/kernel.cpp", "no such file"}},
      {"missing template.json", kT, "", "", {kT, "no such file"}},
  };
}

std::vector<BadOp> part_mistakes() {
  const std::string baseline = "baselines/cpu/plain/baseline.json";
  const std::string twin = "twins/cpu/honest/twin.json";
  const std::string bad_twin = "twins/cpu/forgets_tail/twin.json";
  return {
      {"missing reference", "reference.cpp", "", "", {"bad/reference.cpp", "no such file"}},
      {"missing structure hook",
       "reference.cpp",
       "coppice_structure",
       "coppice_structur",
       {"reference.cpp", "coppice_structure"}},
      {"missing adjust hook",
       "reference.cpp",
       "int coppice_adjust",
       "// int coppice_adjust",
       {"reference.cpp", "coppice_adjust"}},
      {"unknown library", baseline, "openblas", "openbals", {"/library", "openbals", "openblas"}},
      {"variant that is no text",
       baseline,
       "\"Haswell\"",
       "3",
       {"/variants/1/OPENBLAS_CORETYPE", "3"}},
      {"baseline without its function",
       "baselines/cpu/plain/baseline.cpp",
       "coppice_baseline_run",
       "baseline_run",
       {"coppice_baseline_run"}},
      {"twin of an unknown template", twin, "\"banded\"", "\"bandit\"", {"/template", "bandit"}},
      {"twin without template or plan",
       twin,
       ", \"template\": \"banded\"",
       "",
       {"\"template\" or \"plan\""}},
      {"good twin with a gate",
       twin,
       "\"good\": true",
       "\"good\": true, \"gate\": \"smoke\"",
       {"/gate", "refused at no gate"}},
      {"twin without the template's kernel",
       "twins/cpu/honest/kernel.cpp",
       "(finish)",
       "(finnish)",
       {"twins/cpu/honest/twin.json", "kernel.cpp defines no kernel 'finish'", "'banded'"}},
      {"unknown gate", bad_twin, "\"correctness\"", "\"corectness\"", {"/gate", "corectness"}},
  };
}

void check_all(const std::vector<BadOp>& mistakes) {
  for (const BadOp& bad : mistakes) {
    INFO(bad.what);
    Files files = good_op();
    if (bad.from.empty()) {
      REQUIRE(files.erase(bad.path) == 1);
    } else {
      edit(files, bad.path, bad.from, bad.to);
    }
    const Result<Op> op = load_op(files, "bad");
    CHECK_FALSE(op.ok());
    if (op.ok()) {
      continue;
    }
    CHECK(op.error().code == ErrorCode::config);
    for (const std::string& word : bad.says) {
      CHECK_THAT(op.error().message, Catch::Contains(word));
    }
  }
}

}  // namespace

TEST_CASE("a mistake in the contract is refused by place and value") {
  check_all(contract_mistakes());
}
TEST_CASE("a mistake in a suite is refused by place and value") {
  check_all(suite_mistakes());
}
TEST_CASE("a mistake in axes and restrictions is refused by place and value") {
  check_all(axis_mistakes());
}
TEST_CASE("a mistake in a plan is refused by place and value") {
  check_all(plan_mistakes());
}
TEST_CASE("a mistake in reference, baselines or twins is refused by place and value") {
  check_all(part_mistakes());
}

TEST_CASE("a file that nobody reads is refused, so that a misspelt folder is noticed") {
  Files files = good_op();
  files["suits/full.json"] = std::string(kSuiteJson);
  const auto op = load_op(files, "bad");
  REQUIRE_FALSE(op.ok());
  CHECK_THAT(op.error().message,
             Catch::Contains("bad/suits/full.json") && Catch::Contains("unexpected file"));
}

TEST_CASE("an unknown backend is refused by name") {
  Files files = good_op();
  files["templates/vulkan/a/template.json"] = "{}";
  const auto op = load_op(files, "bad");
  REQUIRE_FALSE(op.ok());
  CHECK_THAT(op.error().message,
             Catch::Contains("templates/vulkan") && Catch::Contains("cpu or cuda"));
}

TEST_CASE("a device reference needs its plan") {
  Files files = good_op();
  files["reference.cu"] = "extern \"C\" __global__ void reference_kernel() {}\n";
  const auto op = load_op(files, "bad");
  REQUIRE_FALSE(op.ok());
  CHECK_THAT(op.error().message, Catch::Contains("reference.plan.json"));
}

}  // namespace coppice::experiments
