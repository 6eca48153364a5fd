// Writes the files of a torch package from a prepared candidate.
#include "cli/export_torch.h"

#include "core/codec.h"
#include "core/op_shapes.h"
#include "evaluators/cuda/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace coppice::cli {
namespace embedded {
std::string_view torch_driver_py();
std::string_view torch_plan_py();
std::string_view torch_package_py();
std::string_view torch_check_py();
}  // namespace embedded

namespace {

constexpr int kAlignment = 256;  // of tensors in the judge's memory: what was verified
constexpr std::string_view kFallback = "torch_fallback.py";

using PackageFiles = std::map<std::string, std::string>;

std::string_view role_name(TensorRole role) {
  switch (role) {
    case TensorRole::value:
      return "value";
    case TensorRole::structure:
      return "structure";
    case TensorRole::output:
      return "output";
  }
  COPPICE_UNREACHABLE();
}

std::string_view fill_name(Fill::Kind kind) {
  switch (kind) {
    case Fill::Kind::normal:
      return "normal";
    case Fill::Kind::uniform:
      return "uniform";
    case Fill::Kind::constant:
      return "constant";
  }
  COPPICE_UNREACHABLE();
}

Json limits_json(const Tolerance& t, DType type) {
  Json out = Json::object();
  out.set("nrmse", std::max(t.nrmse, evaluators::cuda::largest_rounding(type)))
      .set("relative", t.relative)
      .set("scaled", t.scaled);
  out.set("row_factor", t.row_factor);
  out.set("absolute", t.absolute ? Json(*t.absolute) : Json());
  return out;
}

Json name_list(const std::vector<std::string>& list) {
  return Json::array_of(list, [](const std::string& name) { return Json(name); });
}

Json dims_json(const DimMap& dims) {
  Json out = Json::object();
  for (const auto& [name, extent] : dims) {
    out.set(name, extent);
  }
  return out;
}

class PackageWriter {
 public:
  explicit PackageWriter(const TorchExport& what) : what_(what) {}

  Result<PackageFiles> write() {
    Json data = Json::object();
    data.set("schema", 1).set("op", what_.op.name).set("alignment", kAlignment);
    data.set("dims", name_list(what_.op.dims)).set("scalars", name_list(what_.op.scalars));
    data.set("constants", coppice::to_json(what_.op.constants))
        .set("values", coppice::to_json(fixed_values()));
    COPPICE_TRY(Json tensors, tensors_json());
    data.set("tensors", std::move(tensors));
    data.set("plan", to_json(what_.candidate.plan));
    data.set("contract_plan", to_json(*what_.op.reference_plan));
    data.set("contract_code", "contract.cubin");
    COPPICE_TRY(Json verified, verified_json());
    data.set("verified", std::move(verified));
    files_["kernels.json"] = data.pretty() + "\n";
    add_code();
    files_["certificate.json"] = certificate();
    return std::move(files_);
  }

 private:
  // What expressions may name besides dims and host scalars.
  ValueMap fixed_values() const {
    const std::map<std::string, ValueMap> none;
    const evaluators::PrepareContext context{what_.op, what_.suite, &what_.target, none, {}};
    ValueMap values =
        evaluators::plan_values(what_.candidate, context, what_.suite.workloads.front());
    for (const std::string& dim : what_.op.dims) {
      values.erase(dim);
    }
    return values;
  }

  Result<Json> tensors_json() const {
    const PrecisionClass* precision = what_.op.precision_class(what_.candidate.precision);
    if (precision == nullptr) {
      return Error{ErrorCode::config,
                   "op " + what_.op.name + ": no precision class " + what_.candidate.precision};
    }
    Json out = Json::array();
    for (const TensorSpec& tensor : what_.op.tensors) {
      COPPICE_TRY(const DType type, tensor_dtype(what_.op, what_.suite, tensor));
      Json json = Json::object();
      json.set("name", tensor.name).set("role", role_name(tensor.role));
      json.set("dtype", to_text(type));
      json.set("shape", Json::array_of(tensor.shape, [](const Expr& e) { return Json(e.text()); }));
      json.set("fill",
               Json::object()
                   .set("kind", fill_name(tensor.fill.kind))
                   .set("scale", tensor.fill.scale)
                   .set("offset", tensor.fill.offset));
      if (tensor.role == TensorRole::output) {
        const auto own = precision->per_output.find(tensor.name);
        json.set(
            "tolerance",
            limits_json(own == precision->per_output.end() ? precision->tolerance : own->second,
                        type));
      }
      out.push(std::move(json));
    }
    return out;
  }

  const Workload* find(const std::string& name) const {
    for (const auto* group : {&what_.suite.workloads, &what_.suite.hidden}) {
      for (const Workload& workload : *group) {
        if (workload.name == name) {
          return &workload;
        }
      }
    }
    return nullptr;
  }

  // Structure tensors go one behind the other into one file.
  Result<Json> structure_json(const std::string& workload) {
    const auto packed = what_.structures.find(workload);
    Json places = Json::object();
    for (const TensorSpec& tensor : what_.op.tensors) {
      if (tensor.role != TensorRole::structure) {
        continue;
      }
      if (packed == what_.structures.end() || packed->second.tensors.count(tensor.name) == 0) {
        return Error{ErrorCode::config, workload + ": no structure tensor " + tensor.name};
      }
      const std::string& bytes = packed->second.tensors.find(tensor.name)->second;
      places.set(tensor.name, Json::array().push(structure_.size()).push(bytes.size()));
      structure_ += bytes;
    }
    return places;
  }

  Result<Json> verified_json() {
    Json out = Json::array();
    for (const evaluators::PreparedWorkload& item : what_.prepared.workloads) {
      const Workload* workload = find(item.workload);
      COPPICE_CHECK(workload != nullptr && item.job < what_.cubins.size());
      Json json = Json::object();
      json.set("workload", item.workload).set("hidden", item.hidden);
      json.set("dims", dims_json(workload->dims)).set("code", code_name(item.job));
      const auto packed = what_.structures.find(item.workload);
      json.set(
          "scalars",
          coppice::to_json(packed == what_.structures.end() ? ValueMap() : packed->second.scalars));
      json.set("graph_safe", item.plan.graph_safe).set("resolved", to_json(item.plan));
      COPPICE_TRY(Json places, structure_json(item.workload));
      json.set("structure", std::move(places));
      out.push(std::move(json));
    }
    return out;
  }

  static std::string code_name(std::size_t job) { return fmt::format("kernel_{}.cubin", job); }

  void add_code() {
    for (std::size_t job = 0; job < what_.cubins.size(); ++job) {
      files_[code_name(job)] = what_.cubins[job];
    }
    files_["contract.cubin"] = what_.contract_cubin;
    files_["structure.bin"] = structure_;
    files_["driver.py"] = embedded::torch_driver_py();
    files_["plan.py"] = embedded::torch_plan_py();
    files_["package.py"] = embedded::torch_package_py();
    files_["check.py"] = embedded::torch_check_py();
    files_["__init__.py"] = init_py();
    const auto contract = what_.op.files.find("op.json");
    if (contract != what_.op.files.end()) {
      files_["contract.json"] = contract->second;
    }
    const auto fallback = what_.op.files.find(kFallback);
    if (fallback != what_.op.files.end()) {
      files_["fallback.py"] = fallback->second;
    }
  }

  std::string init_py() const {
    std::vector<std::string> inputs, outputs, dictionary, given;
    for (const TensorSpec& tensor : what_.op.tensors) {
      const bool output = tensor.role == TensorRole::output;
      (output ? outputs : inputs).push_back(tensor.name);
      (output ? given : dictionary).push_back(fmt::format("\"{0}\": {0}", tensor.name));
    }
    std::string optional;
    for (const std::string& name : outputs) {
      optional += name + "=None, ";
    }
    return fmt::format(
        "\"\"\"{0}\n\nFound by coppice: {1}. certificate.json says how it was checked and timed.\n"
        "\"\"\"\nimport os\n\n"
        "from .package import NotVerified, Package, SelfCheckFailed\n\n"
        "_package = Package(os.path.dirname(os.path.abspath(__file__)))\n"
        "self_check = _package.self_check\nverified = _package.verified\n\n\n"
        "def {2}({3}, *, {4}fallback=None, unverified=\"refuse\",\n"
        "        **scalars):\n"
        "    \"\"\"Returns {5}. Tensors: contiguous, on one device; launched on torch's current\n"
        "    stream, also while a graph is captured. `fallback`: a function of the same inputs, "
        "or\n"
        "    \\\"torch\\\", for shapes that verified() does not cover; without one they raise\n"
        "    NotVerified. unverified=\\\"run\\\": launch there too, where the kernel claims the "
        "shape.\n"
        "    \"\"\"\n"
        "    return _package({{{6}}}, {{{7}}}, fallback, unverified, scalars)\n",
        what_.op.summary,
        what_.candidate.label,
        what_.op.name,
        fmt::join(inputs, ", "),
        optional,
        fmt::join(outputs, ", "),
        fmt::join(dictionary, ", "),
        fmt::join(given, ", "));
  }

  std::string certificate() const {
    Json digests = Json::object();
    for (const auto& [name, bytes] : files_) {
      digests.set(name, sha256(bytes).hex());
    }
    Json out = what_.certificate;
    out.set("files", std::move(digests));
    return out.pretty() + "\n";
  }

  const TorchExport& what_;
  PackageFiles files_;
  std::string structure_;
};

}  // namespace

Result<std::map<std::string, std::string>> torch_package(const TorchExport& what) {
  if (what.candidate.backend != "cuda" || !what.op.reference_plan) {
    return Error{ErrorCode::config,
                 "a torch package needs a cuda candidate and an op with a device reference"};
  }
  return PackageWriter(what).write();
}

}  // namespace coppice::cli
