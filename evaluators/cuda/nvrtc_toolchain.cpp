// Runs NVRTC in a forked child: a hostile source costs a process, never the search.
#include "evaluators/cuda/nvrtc_toolchain.h"

#include "evaluators/cuda/jail.h"
#include "evaluators/cuda/ptx_scan.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace coppice::evaluators::cuda {
namespace {

constexpr std::array<std::string_view, 10> kArchitectures = {"sm_80",
                                                             "sm_86",
                                                             "sm_89",
                                                             "sm_90",
                                                             "sm_90a",
                                                             "sm_100",
                                                             "sm_100a",
                                                             "sm_103a",
                                                             "sm_120",
                                                             "sm_120a"};
constexpr std::uint32_t kMagic = 0x43564e31;
constexpr int kNvrtcOutOfMemory = 1;

void write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, at, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      _exit(3);
    }
    at += n;
    size -= static_cast<std::size_t>(n);
  }
}

void write_text(int fd, std::string_view text) {
  const std::uint64_t size = text.size();
  write_all(fd, &size, sizeof size);
  write_all(fd, text.data(), text.size());
}

void set_limits(const CompileLimits& limits) {
  const rlimit memory{limits.memory_bytes, limits.memory_bytes};
  setrlimit(RLIMIT_AS, &memory);
  const rlim_t seconds = static_cast<rlim_t>(to_seconds(limits.wall)) + 5;
  const rlimit cpu{seconds, seconds};
  setrlimit(RLIMIT_CPU, &cpu);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_FSIZE, &none);
}

void compile_in_child(const NvrtcApi& api,
                      const CompileJob& job,
                      const std::vector<std::string>& flags,
                      int fd) {
  std::vector<const char*> names, texts, options;
  for (const auto& [name, text] : job.headers) {
    names.push_back(name.c_str());
    texts.push_back(text.c_str());
  }
  for (const std::string& flag : flags) {
    options.push_back(flag.c_str());
  }
  NvrtcProgram program = nullptr;
  int status = api.create(&program,
                          job.source.c_str(),
                          job.source_name.c_str(),
                          static_cast<int>(names.size()),
                          texts.data(),
                          names.data());
  std::string log, binary, ptx;
  if (status == 0) {
    status = api.compile(program, static_cast<int>(options.size()), options.data());
    std::size_t size = 0;
    if (api.log_size(program, &size) == 0 && size > 1) {
      log.resize(size);
      api.log(program, log.data());
      log.resize(size - 1);
    }
    if (status == 0 && api.cubin_size(program, &size) == 0) {
      binary.resize(size);
      status = api.cubin(program, binary.data());
    }
    if (status == 0 && api.ptx_size(program, &size) == 0 && size > 1) {
      ptx.resize(size);
      api.ptx(program, ptx.data());
      ptx.resize(size - 1);
    }
  }
  const std::int32_t code = status;
  write_all(fd, &kMagic, sizeof kMagic);
  write_all(fd, &code, sizeof code);
  write_text(fd, log);
  write_text(fd, status == 0 ? binary : std::string());
  write_text(fd, ptx);
  _exit(0);
}

struct Reply {
  bool timed_out = false, stopped = false, flooded = false;
  int wait_status = 0;
  std::string bytes;
};

// Collects the child's output until it ends, its deadline passes or the caller asks to stop.
Reply collect(pid_t child, int fd, const CompileLimits& limits, const std::stop_token& stop) {
  Reply reply;
  const auto deadline = std::chrono::steady_clock::now() + limits.wall;
  std::array<char, 65536> buffer;
  const std::size_t most = limits.binary_bytes + (16u << 20);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    reply.timed_out = left.count() <= 0;
    reply.stopped = stop.stop_requested();
    reply.flooded = reply.bytes.size() > most;
    if (reply.timed_out || reply.stopped || reply.flooded) {
      kill(child, SIGKILL);
      break;
    }
    pollfd item{fd, POLLIN, 0};
    if (poll(&item, 1, static_cast<int>(std::min<long long>(left.count() + 1, 100))) <= 0) {
      continue;
    }
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EINTR)) {
      break;
    }
    if (n > 0) {
      reply.bytes.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }
  while (waitpid(child, &reply.wait_status, 0) < 0 && errno == EINTR) {
  }
  return reply;
}

// Takes a length-prefixed text off the front.
bool take_text(std::string_view& from, std::string& out) {
  std::uint64_t size = 0;
  if (from.size() < sizeof size) {
    return false;
  }
  std::memcpy(&size, from.data(), sizeof size);
  from.remove_prefix(sizeof size);
  if (size > from.size()) {
    return false;
  }
  out.assign(from.substr(0, size));
  from.remove_prefix(size);
  return true;
}

Compiled judge_reply(const NvrtcApi& api, const Reply& reply, const CompileLimits& limits) {
  Compiled out;
  if (reply.timed_out) {
    out.failure = FailureClass::compile_timeout;
    out.message = "compiling took longer than " +
                  std::to_string(static_cast<long long>(to_seconds(limits.wall))) + " s";
    return out;
  }
  std::string_view rest = reply.bytes;
  std::uint32_t magic = 0;
  std::int32_t status = 0;
  std::string log, ptx;
  bool whole = rest.size() >= 8;
  if (whole) {
    std::memcpy(&magic, rest.data(), 4);
    std::memcpy(&status, rest.data() + 4, 4);
    rest.remove_prefix(8);
    whole = magic == kMagic && take_text(rest, log) && take_text(rest, out.binary) &&
            take_text(rest, ptx);
  }
  if (reply.flooded || out.binary.size() > limits.binary_bytes) {
    out.failure = FailureClass::output_flood;
    out.message = "the compiler's output is larger than the limit";
    return out;
  }
  if (!whole) {
    out.failure = FailureClass::memory_limit;
    out.message = "the compiler ended without an answer (signal " +
                  std::to_string(WIFSIGNALED(reply.wait_status) ? WTERMSIG(reply.wait_status) : 0) +
                  "), most likely at its memory limit";
    return out;
  }
  out.log = filtered_log(log, limits.log_bytes);
  if (status != 0) {
    out.failure =
        status == kNvrtcOutOfMemory ? FailureClass::memory_limit : FailureClass::compile_error;
    out.message = first_error(log);
    if (out.message.empty()) {
      out.message = std::string("NVRTC: ") + api.error_string(status);
    }
    out.binary.clear();
  } else if (ptx.empty()) {
    out.failure = FailureClass::infrastructure;
    out.message = "NVRTC gave no PTX to look at";
    out.binary.clear();
  } else if (out.message = forbidden_in_ptx(ptx); !out.message.empty()) {
    out.failure = FailureClass::forbidden_code;  // gate `binary`
    out.binary.clear();
  }
  return out;
}

}  // namespace

bool known_architecture(std::string_view name) {
  return std::find(kArchitectures.begin(), kArchitectures.end(), name) != kArchitectures.end();
}

Result<std::unique_ptr<NvrtcToolchain>> NvrtcToolchain::open(std::string architecture,
                                                             CompileLimits limits) {
  if (!known_architecture(architecture)) {
    return Error{ErrorCode::config,
                 "unknown CUDA architecture \"" + architecture +
                     "\", expected one like sm_80, sm_89, sm_90a, sm_100a, sm_120"};
  }
  COPPICE_TRY(const NvrtcApi* api, load_nvrtc());
  return std::unique_ptr<NvrtcToolchain>(new NvrtcToolchain(api, std::move(architecture), limits));
}

std::string NvrtcToolchain::version() const {
  return "nvrtc " + std::to_string(api_->major) + "." + std::to_string(api_->minor) + " " +
         architecture_ + " -std=c++17";
}

Result<Compiled> NvrtcToolchain::compile(const CompileJob& job, std::stop_token stop) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> flags = {
      "--gpu-architecture=" + architecture_, "-std=c++17", "--ptxas-options=-v"};
  flags.insert(flags.end(), job.flags.begin(), job.flags.end());
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return Error{ErrorCode::io, std::string("compile: pipe: ") + std::strerror(errno)};
  }
  const pid_t child = fork();
  if (child < 0) {
    close(ends[0]);
    close(ends[1]);
    return Error{ErrorCode::io, std::string("compile: fork: ") + std::strerror(errno)};
  }
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    set_limits(limits_);
    forbid_system_calls(JailKind::compiler);  // where the kernel allows it
    compile_in_child(*api_, job, flags, ends[1]);
  }
  close(ends[1]);
  const Reply reply = collect(child, ends[0], limits_, stop);
  close(ends[0]);
  if (reply.stopped) {
    return Error{ErrorCode::interrupted, "compile: stopped"};
  }
  Compiled out = judge_reply(*api_, reply, limits_);
  out.elapsed = std::chrono::steady_clock::now() - start;
  return out;
}

}  // namespace coppice::evaluators::cuda
