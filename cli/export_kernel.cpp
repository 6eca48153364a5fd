// Writes a winner as a ready C++ header and source.
#include "cli/export_kernel.h"

#include "core/op_shapes.h"
#include "evaluators/prepare.h"

#include <fmt/format.h>

#include <set>

namespace coppice::cli {
namespace embedded {
std::string_view coppice_launch_h();
std::string_view check_cpp();
}  // namespace embedded

namespace {

using Files = std::map<std::string, std::string>;

std::string c_type(DType type) {
  switch (type) {
    case DType::f64:
      return "double";
    case DType::f32:
      return "float";
    case DType::f16:
    case DType::bf16:
      return "std::uint16_t";
    case DType::e4m3:
    case DType::e5m2:
    case DType::u8:
      return "std::uint8_t";
    case DType::i64:
      return "std::int64_t";
    case DType::i32:
      return "std::int32_t";
    case DType::i8:
      return "std::int8_t";
  }
  COPPICE_UNREACHABLE();
}

// Offsets of the workspace slices, each aligned as in the engine.
std::map<std::string, std::int64_t> offsets(const ResolvedPlan& plan, std::int64_t& total) {
  std::map<std::string, std::int64_t> out;
  total = 0;
  for (const auto& [name, bytes] : plan.workspace) {
    out[name] = total;
    total += bytes;
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const KernelExport& what) : what_(what) {}

  Result<Files> write() {
    const std::map<std::string, ValueMap> no_scalars;
    std::vector<std::string> names;
    for (const Workload& workload : what_.suite.workloads) {
      names.push_back(workload.name);
    }
    const evaluators::PrepareContext context{
        what_.op, what_.suite, &what_.target, no_scalars, names};
    const evaluators::Prepared prepared = evaluators::prepare(what_.candidate, context);
    if (prepared.refused) {
      return Error{ErrorCode::config,
                   "candidate can't be exported alone: " + prepared.refused->message};
    }
    COPPICE_TRY(files_[what_.op.name + ".h"], header(prepared));
    int index = 0;
    for (const evaluators::PreparedWorkload& workload : prepared.workloads) {
      if (!workload.hidden) {
        files_[fmt::format("{}_{}.cpp", what_.op.name, index)] =
            source(workload, prepared.jobs[workload.job], index);
        ++index;
      }
    }
    add_check();
    return files_;
  }

 private:
  std::string banner() const {
    return fmt::format(
        "// {}: {}\n// Found by coppice in run {}, candidate {}; evidence.json says how "
        "it was checked.\n",
        what_.op.name,
        what_.candidate.label,
        what_.run,
        what_.candidate.id.value);
  }

  static std::string struct_name(int index) { return fmt::format("workload_{}", index); }

  Result<std::string> header(const evaluators::Prepared& prepared) {
    const Workload& first = what_.suite.workloads.front();
    COPPICE_TRY(const auto tensors, tensor_shapes(what_.op, what_.suite, first));
    std::string text = banner() + "#pragma once\n\n#include <cstddef>\n#include <cstdint>\n\n";
    text +=
        fmt::format("namespace {} {{\n\n// Dense, row-major.\nstruct Tensors {{\n", what_.op.name);
    for (const TensorShape& tensor : tensors) {
      const char* constant = tensor.role == TensorRole::output ? "" : "const ";
      text += fmt::format("  {}{}* {};\n", constant, c_type(tensor.dtype), tensor.name);
    }
    text += "};\n";
    int index = 0;
    for (const evaluators::PreparedWorkload& item : prepared.workloads) {
      if (item.hidden) {
        continue;
      }
      const Workload& workload = what_.suite.workloads[static_cast<std::size_t>(index)];
      COPPICE_TRY(const std::string part, workload_struct(item, workload, index++));
      text += part;
    }
    return text + fmt::format("\n}}  // namespace {}\n", what_.op.name);
  }

  Result<std::string> workload_struct(const evaluators::PreparedWorkload& item,
                                      const Workload& workload,
                                      int index) {
    COPPICE_TRY(const auto tensors, tensor_shapes(what_.op, what_.suite, workload));
    std::int64_t bytes = 0;
    offsets(item.plan, bytes);
    std::string text = fmt::format("\n// Workload {}:", workload.name);
    for (const TensorShape& tensor : tensors) {
      text += fmt::format(" {}[{}]", tensor.name, fmt::join(tensor.shape, ","));
    }
    text += fmt::format("\nstruct {} {{\n", struct_name(index));
    for (const auto& [name, value] : workload.dims) {
      text += fmt::format("  static constexpr std::int64_t {} = {};\n", name, value);
    }
    text += fmt::format("  static constexpr std::size_t workspace_bytes = {};\n", bytes);
    text +=
        "  // `workspace`: aligned to 64 bytes; its content does not matter and does not "
        "survive.\n";
    text += "  static void run(const Tensors& tensors, void* workspace, int threads);\n};\n";
    return text;
  }

  std::string source(const evaluators::PreparedWorkload& item,
                     const evaluators::CompileJob& job,
                     int index) const {
    std::set<std::string> entries;
    for (const ResolvedStep& step : item.plan.steps) {
      if (step.kind == StepKind::kernel) {
        entries.insert(step.entry);
      }
    }
    std::string text = banner();
    for (const std::string& entry : entries) {
      text += fmt::format("#define {0} {1}_{2}_{0}\n", entry, what_.op.name, index);
    }
    text += job.source + "\n";
    text +=
        fmt::format("\n#include \"{}.h\"\n#include \"coppice_launch.h\"\n\n#include <cstring>\n\n",
                    what_.op.name);
    text +=
        fmt::format("void {}::{}::run(const Tensors& tensors, void* workspace, int threads) {{\n",
                    what_.op.name,
                    struct_name(index));
    text +=
        "  auto* const scratch = static_cast<unsigned char*>(workspace);\n"
        "  static_cast<void>(scratch);\n  static_cast<void>(tensors);\n"
        "  threads = threads < 1 ? 1 : threads;\n";
    std::int64_t total = 0;
    const auto places = offsets(item.plan, total);
    for (const ResolvedStep& step : item.plan.steps) {
      text += step.kind == StepKind::kernel ? launch(step, places) : fill(item.plan, step, places);
    }
    return text + "}\n";
  }

  std::string launch(const ResolvedStep& step,
                     const std::map<std::string, std::int64_t>& places) const {
    std::string before;
    std::string args;
    int n = 0;
    for (const ResolvedArg& arg : step.args) {
      switch (arg.kind) {
        case ArgKind::tensor:
          args += fmt::format("        const_cast<void*>(static_cast<const void*>(tensors.{})),\n",
                              arg.name);
          break;
        case ArgKind::workspace:
          args += fmt::format("        scratch + {},\n", places.at(arg.name) + arg.integer);
          break;
        case ArgKind::dim:
          before += fmt::format("    std::int64_t dim_{} = {};\n", n, arg.integer);
          args += fmt::format("        &dim_{},\n", n++);
          break;
        case ArgKind::scalar:
          before += fmt::format(
              "    float scalar_{} = static_cast<float>({});\n", n, Json(arg.real).dump());
          args += fmt::format("        &scalar_{},\n", n++);
          break;
        case ArgKind::tensor_map:
          COPPICE_UNREACHABLE();  // a CPU plan with one was refused
      }
    }
    return fmt::format(
        "  {{\n{}    void* const args[] = {{\n{}    }};\n"
        "    coppice_launch(&{}, {{{}, {}, {}}}, args, threads);\n  }}\n",
        before,
        args,
        step.entry,
        step.grid[0],
        step.grid[1],
        step.grid[2]);
  }

  std::string fill(const ResolvedPlan& plan,
                   const ResolvedStep& step,
                   const std::map<std::string, std::int64_t>& places) const {
    for (const auto& [name, bytes] : plan.workspace) {
      if (name == step.target) {
        return fmt::format(
            "  std::memset(scratch + {}, {}, {});\n", places.at(name), step.byte, bytes);
      }
    }
    const Workload& workload = what_.suite.workloads.front();
    const auto tensors = tensor_shapes(what_.op, what_.suite, workload);
    for (const TensorShape& tensor : tensors.ok() ? *tensors : std::vector<TensorShape>()) {
      if (tensor.name == step.target) {
        return fmt::format(
            "  std::memset(tensors.{}, {}, {});\n", tensor.name, step.byte, tensor.bytes);
      }
    }
    return "";
  }

  static std::string named(const ValueMap& values) {
    std::string out;
    for (const auto& [name, value] : values) {
      const bool* flag = std::get_if<bool>(&value);
      out += fmt::format("    {{\"{}\", {}}},\n",
                         name,
                         flag != nullptr ? (*flag ? "1" : "0") : coppice::to_text(value));
    }
    return out;
  }

  // What check.cpp needs to know of workload 0.
  std::map<std::string, std::string> check_words() const {
    const Workload& workload = what_.suite.workloads.front();
    ValueMap dims;
    for (const auto& [name, value] : workload.dims) {
      dims[name] = value;
    }
    ValueMap scalars;
    for (const std::string& name : what_.op.scalars) {
      scalars[name] = std::int64_t{0};
    }
    std::string list;
    std::string pointers;
    const auto tensors = tensor_shapes(what_.op, what_.suite, workload);
    for (const TensorShape& tensor : tensors.ok() ? *tensors : std::vector<TensorShape>()) {
      list += fmt::format("    {{\"{}\", {}, {}, {{{}}}}},\n",
                          tensor.name,
                          static_cast<int>(tensor.dtype),
                          static_cast<int>(tensor.role),
                          fmt::join(tensor.shape, ", "));
      pointers +=
          fmt::format("      static_cast<{}*>(data(\"{}\")),\n", c_type(tensor.dtype), tensor.name);
    }
    const PrecisionClass* chosen = what_.op.precision_class(what_.candidate.precision);
    return {{"BANNER", banner()},
            {"OP", what_.op.name},
            {"DIMS", named(dims)},
            {"CONSTANTS", named(what_.op.constants)},
            {"STRUCTURE", named(workload.structure)},
            {"SCALARS", named(scalars)},
            {"TENSORS", list},
            {"POINTERS", pointers},
            {"SEED", std::to_string(workload.structure_seed)},
            {"WORKLOAD", workload.name},
            {"NRMSE", Json(chosen == nullptr ? 1e-5 : chosen->tolerance.nrmse).dump()}};
  }

  std::string makefile() const {
    std::string flags;
    for (const std::string& flag : what_.candidate.flags) {
      flags += " " + flag;
    }
    return fmt::format(
        "# make check: compiles the kernel and compares it with the fp64 reference.\n"
        "CXX ?= g++\n"
        "KERNEL_FLAGS = -O3 -march=native -std=c++20 -fno-exceptions -fno-rtti "
        "-ffp-contract=fast -fno-math-errno -fno-trapping-math{1}\n"
        "KERNELS = $(patsubst %.cpp,%.o,$(wildcard {0}_*.cpp))\n"
        "check: check_kernel\n\t./check_kernel\n"
        "check_kernel: $(KERNELS) check.cpp reference.cpp\n"
        "\t$(CXX) -O2 -std=c++20 -I. check.cpp reference.cpp $(KERNELS) -o $@ -pthread\n"
        "{0}_%.o: {0}_%.cpp\n\t$(CXX) $(KERNEL_FLAGS) -I. -c $< -o $@\n.PHONY: check\n",
        what_.op.name,
        flags);
  }

  // A program that fills the inputs, runs workload 0, and compares with the contract's reference.
  void add_check() {
    files_["check.cpp"] = filled(embedded::check_cpp(), check_words());
    files_["reference.cpp"] = what_.op.reference_cpp;
    files_["coppice_launch.h"] = std::string(embedded::coppice_launch_h());
    for (const auto& [name, text] : evaluators::op_headers(what_.op)) {
      files_[name] = text;
    }
    files_["Makefile"] = makefile();
  }

  static std::string filled(std::string_view text,
                            const std::map<std::string, std::string>& words) {
    std::string out;
    while (!text.empty()) {
      const std::size_t at = text.find('@');
      const std::size_t end = at == text.npos ? text.npos : text.find('@', at + 1);
      if (end == text.npos) {
        break;
      }
      const auto word = words.find(std::string(text.substr(at + 1, end - at - 1)));
      COPPICE_CHECK(word != words.end());
      out += text.substr(0, at);
      out += word->second;
      text.remove_prefix(end + 1);
    }
    out += text;
    return out;
  }

  const KernelExport& what_;
  Files files_;
};

}  // namespace

Result<std::map<std::string, std::string>> export_kernel(const KernelExport& what) {
  Files files;
  if (what.candidate.backend == "cpu") {
    COPPICE_TRY(files, Writer(what).write());
  } else {
    files[what.candidate.source_name] = what.candidate.source;
  }
  files["plan.json"] = to_json(what.candidate.plan).pretty() + "\n";
  files["evidence.json"] = to_json(what.evidence).pretty() + "\n";
  const auto contract = what.op.files.find("op.json");
  if (contract != what.op.files.end()) {
    files["contract.json"] = contract->second;
  }
  return files;
}

}  // namespace coppice::cli
