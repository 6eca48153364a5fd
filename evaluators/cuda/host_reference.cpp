// Compiles with g++ (or $CXX) in a temporary folder and calls the C ABI of coppice_op.h.
#include "evaluators/cuda/host_reference.h"

#include "evaluators/cuda/host_abi.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

extern char** environ;

namespace coppice::evaluators::cuda {
namespace {

Result<void> write_file(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  const bool good =
      fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) {
    ::close(fd);
  }
  return good ? Result<void>() : Error{ErrorCode::io, path + ": " + std::strerror(errno)};
}

std::string read_start(const std::string& path) {
  std::string out(2000, '\0');
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? 0 : ::read(fd, out.data(), out.size());
  if (fd >= 0) {
    ::close(fd);
  }
  out.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return out;
}

Result<void> run_compiler(const std::string& folder) {
  const char* chosen = std::getenv("CXX");
  const std::string compiler = chosen != nullptr && *chosen != '\0' ? chosen : "g++";
  std::vector<std::string> words = {compiler,
                                    "-std=c++20",
                                    "-O2",
                                    "-ffp-contract=off",
                                    "-shared",
                                    "-fPIC",
                                    "-I" + folder,
                                    "-o",
                                    folder + "/reference.so",
                                    folder + "/reference.cpp"};
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(
      &actions, 2, (folder + "/log").c_str(), O_CREAT | O_WRONLY, 0600);
  pid_t child = 0;
  const int failed =
      posix_spawnp(&child, compiler.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    return Error{
        ErrorCode::environment,
        "no C++ compiler \"" + compiler + "\" for the op's reference.cpp; install g++ or set CXX"};
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error{ErrorCode::config,
                 "reference.cpp does not compile: " + read_start(folder + "/log")};
  }
  return {};
}

}  // namespace

// The arrays behind one HostProblem.
struct HostReference::Problem {
  std::vector<HostNamed> dims, constants, parameters, scalars;
  std::vector<HostTensor> tensors;
  char message[512] = {};
  HostProblem problem{};

  Problem(const Op& op, const Workload& workload) {
    for (const auto& [name, value] : workload.dims) {
      dims.push_back({name.c_str(), static_cast<double>(value)});
    }
    add(op.constants, constants);
    add(workload.structure, parameters);
    for (const std::string& name : op.scalars) {
      scalars.push_back({name.c_str(), 0.0});
    }
  }
  static void add(const ValueMap& from, std::vector<HostNamed>& to) {
    for (const auto& [name, value] : from) {
      const double* real = std::get_if<double>(&value);
      const std::int64_t* whole = std::get_if<std::int64_t>(&value);
      to.push_back({name.c_str(),
                    real != nullptr    ? *real
                    : whole != nullptr ? static_cast<double>(*whole)
                                       : 0.0});
    }
  }
  void add_tensor(const TensorInfo& info, void* data) {
    HostTensor tensor{};
    tensor.name = info.name.c_str();
    tensor.dtype = static_cast<std::int32_t>(info.dtype);
    tensor.rank = static_cast<std::int32_t>(info.shape.size());
    for (std::size_t d = 0; d < info.shape.size() && d < 8; ++d) {
      tensor.shape[d] = info.shape[d];
    }
    tensor.data = data;
    tensors.push_back(tensor);
  }
  const HostProblem* finish() {
    problem = {dims.data(),
               static_cast<std::int32_t>(dims.size()),
               constants.data(),
               static_cast<std::int32_t>(constants.size()),
               parameters.data(),
               static_cast<std::int32_t>(parameters.size()),
               tensors.data(),
               static_cast<std::int32_t>(tensors.size()),
               scalars.data(),
               static_cast<std::int32_t>(scalars.size()),
               message,
               sizeof message};
    return &problem;
  }
  Error error(const Workload& workload, const char* what) const {
    return Error{ErrorCode::config, "workload " + workload.name + ": " + what + ": " + message};
  }
};

HostReference::HostReference(const Op& op, void* library, std::string file)
    : op_(op), library_(library), file_(std::move(file)) {}

HostReference::~HostReference() {
  dlclose(library_);
}

Result<std::unique_ptr<HostReference>> HostReference::build(const Op& op) {
  const char* base = std::getenv("TMPDIR");
  std::string folder =
      std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/coppice-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    return Error{ErrorCode::io, folder + ": " + std::strerror(errno)};
  }
  std::vector<std::string> files = {"reference.cpp"};
  COPPICE_TRY_VOID(write_file(folder + "/reference.cpp", op.reference_cpp));
  for (const auto& [path, text] : op.files) {
    if (path.rfind("include/", 0) == 0) {
      files.push_back(path.substr(8));
      COPPICE_TRY_VOID(write_file(folder + "/" + files.back(), text));
    }
  }
  const Result<void> compiled = run_compiler(folder);
  void* library =
      compiled.ok() ? dlopen((folder + "/reference.so").c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  const std::string why = library == nullptr && compiled.ok() ? dlerror() : "";
  files.insert(files.end(), {"reference.so", "log"});
  for (const std::string& file : files) {
    ::unlink((folder + "/" + file).c_str());
  }
  ::rmdir(folder.c_str());
  if (!compiled.ok()) {
    return compiled.error().within("op " + op.name);
  }
  if (library == nullptr) {
    return Error{ErrorCode::environment, "op " + op.name + ": reference.cpp: " + why};
  }
  return std::unique_ptr<HostReference>(new HostReference(op, library, folder));
}

Result<HostReference::Structure> HostReference::structure(
    const Workload& workload, const std::vector<TensorInfo>& tensors) const {
  Structure out;
  Problem problem(op_, workload);
  for (const TensorInfo& info : tensors) {
    void* data = nullptr;
    if (info.role == TensorRole::structure) {
      std::string& bytes = out.tensors[info.name];
      bytes.assign(info.bytes + 1, '\0');  // never null
      data = bytes.data();
    }
    problem.add_tensor(info, data);
  }
  const auto fill = reinterpret_cast<StructureHook>(dlsym(library_, "coppice_structure"));
  if (fill != nullptr && fill(problem.finish(), workload.structure_seed) != 0) {
    return problem.error(workload, "structure");
  }
  for (const TensorInfo& info : tensors) {
    if (info.role == TensorRole::structure) {
      out.tensors[info.name].resize(info.bytes);
    }
  }
  for (const HostNamed& scalar : problem.scalars) {
    const auto whole = static_cast<std::int64_t>(scalar.value);
    out.scalars[scalar.name] =
        static_cast<double>(whole) == scalar.value ? Value(whole) : Value(scalar.value);
  }
  return out;
}

Result<std::vector<std::vector<double>>> HostReference::reference(
    const Workload& workload, const std::vector<TensorInfo>& tensors, Inputs& inputs) const {
  Problem problem(op_, workload);
  std::vector<std::vector<double>> outputs;
  for (const TensorInfo& info : tensors) {
    if (info.role == TensorRole::output) {
      outputs.emplace_back(info.elements);
      problem.add_tensor(info, nullptr);
    } else {
      problem.add_tensor(info, inputs[info.name].data());
    }
  }
  std::vector<double*> pointers;
  for (std::vector<double>& output : outputs) {
    pointers.push_back(output.data());
  }
  const auto compute = reinterpret_cast<ReferenceHook>(dlsym(library_, "coppice_reference"));
  if (compute == nullptr) {
    return Error{ErrorCode::config, "op " + op_.name + ": reference.cpp has no coppice_reference"};
  }
  const HostProblem* p = problem.finish();
  const int parts = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<int> failed(static_cast<std::size_t>(parts), 0);
  {
    std::vector<std::jthread> threads;
    for (int part = 0; part < parts; ++part) {
      threads.emplace_back([&, part] {
        failed[static_cast<std::size_t>(part)] = compute(p, pointers.data(), part, parts);
      });
    }
  }
  for (const int one : failed) {
    if (one != 0) {
      return problem.error(workload, "reference");
    }
  }
  return outputs;
}

Result<void> HostReference::adjust(const Workload& workload,
                                   const std::vector<TensorInfo>& tensors,
                                   const std::string& name,
                                   std::uint64_t seed,
                                   Inputs& inputs) const {
  Problem problem(op_, workload);
  for (const TensorInfo& info : tensors) {
    problem.add_tensor(info, info.role == TensorRole::output ? nullptr : inputs[info.name].data());
  }
  const auto edit = reinterpret_cast<AdjustHook>(dlsym(library_, "coppice_adjust"));
  if (edit == nullptr || edit(problem.finish(), name.c_str(), seed) != 0) {
    return problem.error(workload, "adjust");
  }
  return {};
}

}  // namespace coppice::evaluators::cuda
