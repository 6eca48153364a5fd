// Looks for compilers, libraries, devices and isolation.
#include "cli/machine_probe.h"

#include "cli/words.h"
#include "evaluators/cuda/launch_counters.h"
#include "evaluators/cuda/sanitizer.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

namespace coppice::cli {
namespace {

namespace fs = std::filesystem;

std::string first_line_of(const std::string& command) {
  struct Closer {
    void operator()(std::FILE* pipe) const { ::pclose(pipe); }
  };
  const std::unique_ptr<std::FILE, Closer> pipe(::popen(command.c_str(), "re"));
  char line[256] = "";
  if (!pipe || std::fgets(line, sizeof line, pipe.get()) == nullptr) {
    return std::string();
  }
  const std::string text = line;
  return text.substr(0, text.find('\n'));
}

Piece compiler() {
  Piece piece{"host compiler", false, true, "", "nothing can be compiled on the CPU", ""};
  piece.remedy = "apt-get install g++";
  for (const char* name : {"g++", "clang++"}) {
    const std::string version = first_line_of(std::string(name) + " --version 2>/dev/null");
    if (!version.empty()) {
      piece.present = true;
      piece.found = version;
      break;
    }
  }
  return piece;
}

// The first of the names that the loader finds. The library stays: some leave memory behind when
// they go, and others crash.
std::string loadable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* library = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE)) {
      ::dlclose(library);
      return name;
    }
  }
  return std::string();
}

Piece library(const std::string& name,
              std::initializer_list<const char*> files,
              const std::string& costs,
              const std::string& remedy) {
  Piece piece{name, false, false, loadable(files), costs, remedy};
  piece.present = !piece.found.empty();
  return piece;
}

// Whether a child may enter new namespaces, tried in a child.
bool namespaces_allowed() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

Piece isolation() {
  Piece piece{"isolation of candidates", true, false, "process limits", "", ""};
  const bool seccomp = ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
  const bool namespaces = namespaces_allowed();
  piece.found += seccomp ? ", system-call filter" : "";
  piece.found += namespaces ? ", namespaces (no network, nothing to write to)" : "";
  piece.found += namespaces && seccomp ? "" : "; the level reached is in each packet of evidence";
  return piece;
}

Piece operations(const Places& places) {
  const std::vector<std::string> names = places.op_names();
  Piece piece{"operations", !names.empty(), false, "", "only operations given by path", ""};
  for (const std::string& name : names) {
    piece.found += (piece.found.empty() ? "" : ", ") + name;
  }
  piece.remedy = "run coppice from its source tree, or keep share/coppice beside its bin folder";
  return piece;
}

Piece archive_folder(const std::string& archive) {
  Piece piece{"archive folder", false, true, archive, "no run can be kept", ""};
  std::error_code error;
  fs::path where = fs::absolute(archive, error);
  while (!fs::exists(where, error) && where.has_relative_path()) {
    where = where.parent_path();
  }
  piece.present = ::access(where.c_str(), W_OK) == 0;
  const fs::space_info space = fs::space(where, error);
  if (!error) {
    piece.found += ", " + size_text(static_cast<double>(space.available)) + " free";
  }
  piece.remedy = "choose another with --archive DIR";
  return piece;
}

Piece cores() {
  Piece piece{"cores", true, false, "", "", ""};
  const unsigned count = std::max(1u, std::thread::hardware_concurrency());
  piece.found = std::to_string(count);
  piece.found += count <= 2 ? " (compiling pauses while a kernel is timed)" : "";
  return piece;
}

// Tried on the first device: the library alone does not say whether the driver allows it.
Piece hardware_counters() {
  Piece piece{"hardware counters", false, false, "", "", ""};
  piece.costs = "no figures of DRAM, L2, tensor pipes and stalls for finalists";
  const Result<std::string> found = evaluators::cuda::probe_counters(0);
  piece.present = found.ok();
  (found.ok() ? piece.found : piece.remedy) = found.ok() ? *found : found.error().message;
  return piece;
}

Piece memory_checker() {
  Piece piece{"compute-sanitizer", false, false, "", "", ""};
  piece.costs = "promoted CUDA kernels are not watched for accesses outside their memory";
  const Result<evaluators::cuda::Sanitizer> found = evaluators::cuda::find_sanitizer();
  piece.present = found.ok();
  (found.ok() ? piece.found : piece.remedy) =
      found.ok() ? found->version + ", " + found->path : found.error().message;
  return piece;
}

}  // namespace

std::vector<Piece> probe_machine(const Places& places, const std::string& archive) {
  const std::string no_gpu = "no NVIDIA GPU can be searched on (the CPU backend works)";
  return {
      compiler(),
      cores(),
      archive_folder(archive),
      operations(places),
      isolation(),
      library("OpenBLAS",
              {"libopenblas.so.0", "libopenblas.so"},
              "no claim against OpenBLAS",
              "apt-get install libopenblas-dev"),
      library("oneDNN",
              {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"},
              "no claim against oneDNN",
              "apt-get install libdnnl-dev"),
      library("CUDA driver",
              {"libcuda.so.1"},
              no_gpu,
              "install NVIDIA's driver (it brings libcuda.so.1 and NVML; neither is in a bundle)"),
      library("NVRTC",
              {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"},
              "CUDA kernels can't be compiled",
              "pip install nvidia-cuda-nvrtc (nvidia-cuda-nvrtc-cu12 for drivers of CUDA 12), or "
              "NVIDIA's CUDA packages; then put the folder with libnvrtc.so on LD_LIBRARY_PATH"),
      library("NVML",
              {"libnvidia-ml.so.1"},
              "clocks and throttling of GPUs are not seen",
              "comes with NVIDIA's driver"),
      hardware_counters(),
      memory_checker(),
      library("HIP", {"libamdhip64.so"}, "no AMD GPU can be searched on", "install ROCm"),
      Piece{"language model", false, false, "", "rules and statistics search alone", ""},
  };
}

}  // namespace coppice::cli
