// Runs NVRTC in a process of its own: a hostile source costs a process, never the search.
#include "evaluators/cuda/nvrtc_toolchain.h"

#include "evaluators/cuda/jail.h"
#include "evaluators/cuda/ptx_scan.h"
#include "evaluators/cuda/wire.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

void set_limits(const CompileLimits& limits) {
// The shadows of sanitizers take terabytes of addresses.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit memory{limits.memory_bytes, limits.memory_bytes};
  setrlimit(RLIMIT_AS, &memory);
#endif
  const rlim_t seconds = static_cast<rlim_t>(to_seconds(limits.wall)) + 5;
  const rlimit cpu{seconds, seconds};
  setrlimit(RLIMIT_CPU, &cpu);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_FSIZE, &none);
}

std::string compile_in_child(const NvrtcApi& api,
                             const CompileJob& job,
                             const std::vector<std::string>& flags) {
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
  return WireWriter()
      .put(kMagic)
      .put<std::int32_t>(status)
      .text(log)
      .text(status == 0 ? binary : std::string())
      .text(ptx)
      .take();
}

// The whole life of a job's process: bounds, jail, compile.
std::string serve_job(const NvrtcApi& api, const CompileLimits& limits, std::string_view request) {
  WireReader in(request);
  CompileJob job;
  job.source_name = in.text();
  job.source = in.text();
  std::vector<std::string> flags(std::min<std::uint64_t>(in.get<std::uint64_t>(), 1000));
  for (std::string& flag : flags) {
    flag = in.text();
  }
  for (auto left = in.get<std::uint64_t>(); left > 0 && in.ok(); --left) {
    std::string name = in.text();
    job.headers[std::move(name)] = in.text();
  }
  set_limits(limits);
  forbid_system_calls(JailKind::compiler);  // where the kernel allows it
  return compile_in_child(api, job, flags);
}

std::string request_of(const CompileJob& job, const std::vector<std::string>& flags) {
  WireWriter out;
  out.text(job.source_name).text(job.source).put<std::uint64_t>(flags.size());
  for (const std::string& flag : flags) {
    out.text(flag);
  }
  out.put<std::uint64_t>(job.headers.size());
  for (const auto& [name, text] : job.headers) {
    out.text(name).text(text);
  }
  const std::string bytes = out.take();
  return WireWriter().put<std::uint64_t>(bytes.size()).take() + bytes;
}

struct Reply {
  bool timed_out = false, stopped = false, flooded = false;
  std::string bytes;  // behind the pid
};

bool send_request(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// Collects the child's output until it ends, its deadline passes or the caller asks to stop.
Reply collect(int fd, const CompileLimits& limits, const std::stop_token& stop) {
  Reply reply;
  const auto deadline = std::chrono::steady_clock::now() + limits.wall;
  std::array<char, 65536> buffer;
  std::int32_t child = 0;
  const std::size_t most = limits.binary_bytes + (16u << 20);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    reply.timed_out = left.count() <= 0;
    reply.stopped = stop.stop_requested();
    reply.flooded = reply.bytes.size() > most;
    if (reply.timed_out || reply.stopped || reply.flooded) {
      if (child > 0) {
        kill(child, SIGKILL);
      }
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
      if (child == 0 && reply.bytes.size() >= sizeof child) {
        std::memcpy(&child, reply.bytes.data(), sizeof child);
      }
    }
  }
  reply.bytes.erase(0, std::min(reply.bytes.size(), sizeof child));
  return reply;
}

Compiled judge_reply(const NvrtcApi& api, const Reply& reply, const CompileLimits& limits) {
  Compiled out;
  if (reply.timed_out) {
    out.failure = FailureClass::compile_timeout;
    out.message = "compiling took longer than " +
                  std::to_string(static_cast<long long>(to_seconds(limits.wall))) + " s";
    return out;
  }
  WireReader in(reply.bytes);
  const auto magic = in.get<std::uint32_t>();
  const auto status = in.get<std::int32_t>();
  const std::string log = in.text();
  out.binary = in.text();
  const std::string ptx = in.text();
  const bool whole = in.ok() && magic == kMagic;
  if (reply.flooded || out.binary.size() > limits.binary_bytes) {
    out.failure = FailureClass::output_flood;
    out.message = "the compiler's output is larger than the limit";
    return out;
  }
  if (!whole) {
    out.failure = FailureClass::memory_limit;
    out.message = "the compiler ended without an answer, most likely at its memory limit";
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

Result<std::unique_ptr<NvrtcToolchain>> NvrtcToolchain::open(
    std::string architecture, CompileLimits limits, const std::vector<std::string>& hidden) {
  if (!known_architecture(architecture)) {
    return Error{ErrorCode::config,
                 "unknown CUDA architecture \"" + architecture +
                     "\", expected one like sm_80, sm_89, sm_90a, sm_100a, sm_120"};
  }
  COPPICE_TRY(const NvrtcApi* api, load_nvrtc());
  COPPICE_TRY(
      std::unique_ptr<CompileServer> server,
      CompileServer::start(
          [api, limits](std::string_view request) { return serve_job(*api, limits, request); },
          hidden));
  return std::unique_ptr<NvrtcToolchain>(
      new NvrtcToolchain(api, std::move(architecture), limits, std::move(server)));
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
  COPPICE_TRY(const int fd, server_->begin());
  const std::string request = request_of(job, flags);
  const Reply reply = send_request(fd, request) ? collect(fd, limits_, stop) : Reply{};
  close(fd);
  if (reply.stopped) {
    return Error{ErrorCode::interrupted, "compile: stopped"};
  }
  Compiled out = judge_reply(*api_, reply, limits_);
  out.elapsed = std::chrono::steady_clock::now() - start;
  return out;
}

}  // namespace coppice::evaluators::cuda
