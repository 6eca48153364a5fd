// Puts an operation together from its files: contract, suites, templates, baselines, twins.
#include "experiments/op_loader.h"

#include "experiments/contract_reader.h"
#include "experiments/findings.h"
#include "experiments/op_files.h"
#include "experiments/plan_check.h"
#include "experiments/suite_reader.h"
#include "experiments/template_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

namespace coppice::experiments {
namespace {

using ReadPart = void (*)(const JsonReader&, const PartPlace&, Op&, Findings&);

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> out;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    out.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

class OpBuilder {
 public:
  OpBuilder(FileMap files, std::string label) : label_(std::move(label)) {
    op_.files = std::move(files);
    for (const auto& [path, text] : built_in_headers()) {
      op_.files.emplace(path, text);  // an archived op brings its own
    }
  }

  void run() {
    if (!op_.files.contains("op.json")) {
      complain("op.json", "no such file; an operation's folder holds op.json (docs/op-format.md)");
      return;
    }
    with_json("op.json", [&](const JsonReader& json) { read_contract(json, op_, findings_); });
    if (findings_.count() != 0) {
      return;  // what follows would only repeat it
    }
    read_reference();
    read_suites();
    read_parts("templates", "template.json", read_template);
    read_parts("baselines", "baseline.json", read_baseline);
    read_parts("twins", "twin.json", read_twin);
    report_strays();
    op_.digest = digest_of(op_.files);
  }

  const Findings& findings() const { return findings_; }
  Op take() { return std::move(op_); }

 private:
  void complain(const std::string& path, const std::string& message) {
    findings_.add(label_ + "/" + path, message);
  }

  // Marks the file as used and gives its text; nothing when it is missing.
  const std::string* use(const std::string& path) {
    used_.insert(path);
    const auto found = op_.files.find(path);
    return found == op_.files.end() ? nullptr : &found->second;
  }

  template <class Read>
  void with_json(const std::string& path, Read read) {
    const std::string* text = use(path);
    const std::string name = label_ + "/" + path;
    const std::optional<Json> json = findings_.take(Json::parse(*text, name));
    if (json.has_value()) {
      read(json->reader(name));
    }
  }

  void read_reference() {
    const std::string* source = use("reference.cpp");
    if (source == nullptr) {
      complain("reference.cpp", "no such file; every operation has an fp64 reference");
    } else {
      op_.reference_cpp = *source;
      check_hooks();
    }
    const std::string* device = use("reference.cu");
    const bool has_plan = op_.files.contains("reference.plan.json");
    if (device != nullptr) {
      op_.reference_cu = *device;
    }
    if ((device != nullptr) != has_plan) {
      complain(has_plan ? "reference.cu" : "reference.plan.json",
               "no such file; a device reference is reference.cu and reference.plan.json");
    } else if (has_plan) {
      with_json("reference.plan.json",
                [&](const JsonReader& json) { read_reference_plan(json, op_, findings_); });
    }
  }

  void check_hooks() {
    const auto is_structure = [](const TensorSpec& t) {
      return t.role == TensorRole::structure;
    };
    const bool structure = std::ranges::any_of(op_.tensors, is_structure) || !op_.scalars.empty();
    const bool adjust = std::ranges::any_of(op_.cases, &ValueCase::adjust);
    require_hook("coppice_reference", true);
    require_hook("coppice_structure", structure);
    require_hook("coppice_adjust", adjust);
  }

  void require_hook(const std::string& hook, bool needed) {
    if (needed && !mentions(op_.reference_cpp, hook)) {
      complain("reference.cpp", fmt::format("op.json needs the function {}, not found", hook));
    }
  }

  void read_suites() {
    std::size_t count = 0;
    for (const auto& [path, text] : op_.files) {
      const std::vector<std::string> parts = split(path);
      if (parts.size() != 2 || parts[0] != "suites" || !parts[1].ends_with(".json")) {
        continue;
      }
      ++count;
      const std::string name = parts[1].substr(0, parts[1].size() - 5);
      with_json(path, [&](const JsonReader& json) { read_suite(json, name, op_, findings_); });
    }
    if (count == 0) {
      complain("suites", "expected at least one <suite>.json");
    }
  }

  // Every <kind>/<backend>/<name>/ that holds a file.
  void read_parts(const std::string& kind, const std::string& json_name, ReadPart read) {
    std::set<std::pair<std::string, std::string>> found;
    for (const auto& [path, text] : op_.files) {
      const std::vector<std::string> parts = split(path);
      if (parts.size() >= 4 && parts[0] == kind) {
        found.emplace(parts[1], parts[2]);
      }
    }
    for (const auto& [backend, name] : found) {
      if (backend != "cpu" && backend != "cuda") {
        complain(fmt::format("{}/{}", kind, backend), "unknown backend, expected cpu or cuda");
        continue;
      }
      read_part(
          fmt::format("{}/{}/{}", kind, backend, name), json_name, {backend, name, "", ""}, read);
    }
  }

  void read_part(const std::string& folder,
                 const std::string& json_name,
                 PartPlace place,
                 ReadPart read) {
    const bool host_code = json_name == "baseline.json" && place.backend == "cpu";
    const bool python = json_name == "baseline.json" && op_.files.contains(folder + "/baseline.py");
    place.source_name = host_code                 ? "baseline.cpp"
                        : python                  ? "baseline.py"
                        : place.backend == "cuda" ? "kernel.cu"
                                                  : "kernel.cpp";
    const std::string* source = use(folder + "/" + place.source_name);
    const bool derived = json_name == "twin.json" && place.backend == "cuda";  // of a baseline
    if (source == nullptr && !derived) {
      complain(folder + "/" + place.source_name, "no such file");
    } else if (source != nullptr) {
      place.source = *source;
    }
    if (!is_identifier(place.name)) {
      complain(folder, "expected a folder name of letters, digits and underscores");
    }
    if (use(folder + "/" + json_name) == nullptr) {
      complain(folder + "/" + json_name, "no such file");
      return;
    }
    if (source != nullptr || derived) {
      with_json(folder + "/" + json_name,
                [&](const JsonReader& json) { read(json, place, op_, findings_); });
    }
  }

  void report_strays() {
    for (const auto& [path, text] : op_.files) {
      // What other parts of the program read of an operation.
      const bool beside = path == "shapes.json" || path == "torch_fallback.py";
      const bool document = path.ends_with(".md") || path.ends_with("LICENSE") || beside;
      if (!document && !path.starts_with("include/") && !used_.contains(path)) {
        complain(path, "unexpected file, see docs/op-format.md for what an operation holds");
      }
    }
  }

  std::string label_;
  Op op_;
  Findings findings_;
  std::set<std::string, std::less<>> used_;
};

Result<Op> finish(OpBuilder& builder) {
  builder.run();
  const std::vector<Error>& errors = builder.findings().errors();
  if (errors.empty()) {
    return builder.take();
  }
  Error first = errors.front();
  if (errors.size() > 1) {
    first.message += fmt::format(" (and {} more; `coppice check` lists all)", errors.size() - 1);
  }
  return first;
}

std::string without_slash(std::string folder) {
  while (folder.size() > 1 && folder.ends_with('/')) {
    folder.pop_back();
  }
  return folder;
}

}  // namespace

Result<Op> load_op(const std::string& folder) {
  COPPICE_TRY(FileMap files, read_op_files(folder));
  OpBuilder builder(std::move(files), without_slash(folder));
  return finish(builder);
}

Result<Op> load_op(const std::map<std::string, std::string, std::less<>>& files,
                   const std::string& name) {
  OpBuilder builder(files, name);
  return finish(builder);
}

std::vector<Error> lint_op(const std::string& folder) {
  Result<FileMap> files = read_op_files(folder);
  if (!files.ok()) {
    return {files.error()};
  }
  OpBuilder builder(std::move(files).value(), without_slash(folder));
  builder.run();
  return builder.findings().errors();
}

Result<std::string> find_op(const std::string& name_or_path,
                            const std::vector<std::string>& search_paths) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (fs::is_directory(name_or_path, ignored)) {
    return name_or_path;
  }
  std::set<std::string, std::less<>> known;
  for (const std::string& path : search_paths) {
    const fs::path folder = fs::path(path) / name_or_path;
    if (name_or_path.find('/') == std::string::npos && fs::is_directory(folder, ignored)) {
      return folder.string();
    }
    for (fs::directory_iterator it(path, ignored); it != fs::directory_iterator();
         it.increment(ignored)) {
      if (fs::is_regular_file(it->path() / "op.json", ignored)) {
        known.insert(it->path().filename().string());
      }
    }
  }
  const std::string close = nearest(name_or_path, known);
  return Error{ErrorCode::missing,
               fmt::format("operation '{}': no such folder, and none of that name in {}{}",
                           name_or_path,
                           fmt::join(search_paths, ", "),
                           close.empty() ? "" : fmt::format("; nearest is '{}'", close))};
}

Result<std::vector<TensorShape>> shapes(const Op& op,
                                        const Suite& suite,
                                        const Workload& workload) {
  return tensor_shapes(op, suite, workload);
}

}  // namespace coppice::experiments
