// Runs the compiler in its own process group with limits, in a private folder that holds nothing
// but the job.

#include "evaluators/cpu/host_toolchain.h"

#include "evaluators/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace coppice::evaluators::cpu {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLogCap = 64 << 10;
constexpr std::uint64_t kLargestBinary = 64ULL << 20;

const std::vector<std::string>& candidate_flags() {
  static const std::vector<std::string> kFlags = {"-std=c++20",
                                                  "-O3",
                                                  "-march=native",
                                                  "-fno-exceptions",
                                                  "-fno-rtti",
                                                  "-ffp-contract=fast",
                                                  "-fno-math-errno",
                                                  "-fno-trapping-math",
                                                  "-fPIC",
                                                  "-fvisibility=hidden",
                                                  "-fno-stack-protector",
                                                  "-U_FORTIFY_SOURCE",
                                                  "-fcf-protection=none",
                                                  "-fno-asynchronous-unwind-tables",
                                                  "-fno-threadsafe-statics",
                                                  "-w",
                                                  "-fmax-errors=5",
                                                  "-fno-diagnostics-show-caret",
                                                  "-ftemplate-depth=256",
                                                  "-fconstexpr-ops-limit=20000000"};
  return kFlags;
}
const std::vector<std::string>& link_flags() {
  static const std::vector<std::string> kFlags = {"-shared",
                                                  "-nostdlib",
                                                  "-Wl,--hash-style=sysv",
                                                  "-Wl,--build-id=none",
                                                  "-Wl,-z,now",
                                                  "-Wl,-z,noexecstack",
                                                  "-Wl,-Bsymbolic",
                                                  "-Wl,--gc-sections"};
  return kFlags;
}
// Everything that a candidate may include comes first and can be compiled ahead; afterwards the
// words that only attacks need are poisoned, also for the preprocessor's token pasting.
constexpr std::string_view kPoison =
    "#pragma GCC poison asm __asm __asm__ __constructor__ __ifunc__ __thread thread_local\n";

std::string prelude_text(const CompileJob& job) {
  std::string out;
  for (const auto& [name, text] : job.headers) {
    if (name == "coppice_cpu.h") {
      out += "#include \"coppice_cpu.h\"\n";
    }
  }
#if defined(__x86_64__)
  out += "#include <immintrin.h>\n";
#elif defined(__aarch64__)
  out += "#include <arm_neon.h>\n";
#endif
  return out + "#include <algorithm>\n#include <cmath>\n#include <cstring>\n#include <limits>\n";
}

bool write_text(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  return file.good();
}

Result<std::string> read_binary(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || size > kLargestBinary) {
    return Error{ErrorCode::io, fmt::format("{}: missing or too large", path)};
  }
  std::ifstream file(path, std::ios::binary);
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  return file.good() ? Result<std::string>(std::move(bytes))
                     : Error{ErrorCode::io, fmt::format("{}: can't be read", path)};
}

std::optional<std::string> in_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const std::string candidate = std::string(rest.substr(0, colon)) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return std::nullopt;
}

// Output of a short, trusted command.
std::string output_of(const std::vector<std::string>& argv) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return {};
  }
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  ChildOptions options;
  options.argv = argv;
  options.output = writer.get();
  auto child = Child::start(options);
  writer.reset();
  if (!child.ok()) {
    return {};
  }
  return drain(reader.get(), 1 << 16, std::chrono::seconds(10)).text;
}

// A folder of our own below `root`, removed with everything in it.
class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {
    std::error_code error;
    made_ = fs::create_directory(path_, error);
  }
  ~Folder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  bool ok() const { return made_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool made_ = false;
};

bool safe_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name[0] != '.' && name[0] != '-';
}

// A file beside the job or a system header; anything else was smuggled in.
std::optional<std::string> foreign_dependency(const std::string& rules,
                                              const std::string& folder,
                                              const std::string& prelude) {
  std::size_t at = rules.find(':');
  while (at != std::string::npos && at + 1 < rules.size()) {
    const std::size_t start = rules.find_first_not_of(" \t\n\r\\", at + 1);
    if (start == std::string::npos) {
      break;
    }
    std::size_t end = start;
    while (end < rules.size() && (rules[end] != ' ' || rules[end - 1] == '\\') &&
           rules[end] != '\n') {
      ++end;
    }
    const std::string path = rules.substr(start, end - start);
    const bool absolute = path.compare(0, 1, "/") == 0;
    const auto under = [&](std::string_view root) {
      return !root.empty() && path.compare(0, root.size(), root) == 0 &&
             path.find("/../") == std::string::npos;
    };
    const bool climbs = path.find("..") != std::string::npos && !absolute;
    const std::string plain = fs::path(path).lexically_normal().string();
    const bool system = plain.compare(0, 9, "/usr/lib/") == 0 ||
                        plain.compare(0, 13, "/usr/include/") == 0 ||
                        plain.compare(0, 11, "/usr/local/") == 0;
    if (climbs || (absolute && !system && !under(folder) && !under(prelude))) {
      return path;
    }
    at = end;
  }
  return std::nullopt;
}

}  // namespace

struct HostToolchain::Invocation {
  std::vector<std::string> flags;     // for the compiler
  std::vector<std::string> trailing;  // after the source: libraries
  bool trusted = false;
};

std::string clean_log(std::string_view log, std::size_t cap) {
  std::string out;
  for (std::size_t i = 0; i < log.size() && out.size() < cap; ++i) {
    const auto c = static_cast<unsigned char>(log[i]);
    out.push_back(c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) ? log[i] : '?');
  }
  return out;
}

std::string only_lines_of(const std::string& log, const std::string& source_name) {
  std::string out;
  std::size_t at = 0;
  while (at < log.size()) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, end - at);
    if (line.compare(0, source_name.size() + 1, source_name + ":") == 0) {
      out += line + "\n";
    }
    at = end + 1;
  }
  return out;
}

std::string first_error(const std::string& log) {
  std::size_t at = 0;
  std::string first;
  while (at < log.size()) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, std::min<std::size_t>(end - at, 300));
    if (line.find("error:") != std::string::npos) {
      return line;
    }
    if (first.empty()) {
      first = line;
    }
    at = end + 1;
  }
  return first.empty() ? "the compiler gave no reason" : first;
}

Result<std::unique_ptr<HostToolchain>> HostToolchain::open(HostToolchainConfig config) {
  std::vector<std::string> names = {"g++", "clang++", "c++"};
  if (!config.compiler.empty()) {
    names = {config.compiler};
  }
  for (const std::string& name : names) {
    const auto path = name.find('/') == std::string::npos ? in_path(name) : name;
    const std::string text = path ? output_of({*path, "--version"}) : std::string();
    if (text.empty()) {
      continue;
    }
    config.compiler = *path;
    if (config.work_folder.empty()) {
      const char* temporary = std::getenv("TMPDIR");
      config.work_folder = temporary != nullptr ? temporary : "/tmp";
    }
    std::unique_ptr<HostToolchain> out(new HostToolchain(std::move(config)));
    out->gcc_ = text.find("Free Software Foundation") != std::string::npos;
    // -march=native means another machine elsewhere: its expansion belongs to the identity.
    const std::string native =
        output_of({out->config_.compiler, "-march=native", "-Q", "--help=target"});
    std::string identity = clean_log(text.substr(0, text.find('\n')), 200);
    for (const std::string& flag : candidate_flags()) {
      identity += " " + flag;
    }
    for (const std::string& flag : link_flags()) {
      identity += " " + flag;
    }
    identity += out->config_.poison ? "" : " unpoisoned";
    out->version_ = identity + " native=" + sha256(native).hex().substr(0, 12);
    std::string pattern = out->config_.work_folder + "/coppice-cc-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
      return Error{
          ErrorCode::environment,
          fmt::format(
              "{}: can't make a folder: {}", out->config_.work_folder, std::strerror(errno))};
    }
    out->folder_ = pattern;
    return out;
  }
  return Error{ErrorCode::environment,
               "no C++ compiler found (looked for g++, clang++, c++ in PATH): install g++ to build "
               "CPU kernels"};
}

HostToolchain::~HostToolchain() {
  std::error_code error;
  fs::remove_all(folder_, error);
}

std::string HostToolchain::prelude(const CompileJob& job, const std::vector<std::string>& flags) {
  std::string key = prelude_text(job);
  for (const auto& [name, text] : job.headers) {
    key += name + "\n" + text;
  }
  for (const std::string& flag : flags) {
    key += flag + "\n";
  }
  const Digest digest = sha256(key);
  // One thread makes it, the others wait: compiling the same headers twice would cost more.
  const MutexLock lock(mutex_);
  if (const auto found = preludes_.find(digest); found != preludes_.end()) {
    return found->second;
  }
  const std::string folder = folder_ + "/prelude-" + digest.hex().substr(0, 16);
  std::error_code error;
  fs::create_directory(folder, error);
  bool ok = !error && write_text(folder + "/prelude.h", prelude_text(job));
  for (const auto& [name, text] : job.headers) {
    ok = ok && safe_name(name) && write_text(folder + "/" + name, text);
  }
  if (ok && gcc_) {
    ChildOptions options;
    options.argv = {config_.compiler};
    options.argv.insert(options.argv.end(), flags.begin(), flags.end());
    options.argv.insert(options.argv.end(),
                        {"-x", "c++-header", "prelude.h", "-o", "prelude.h.gch"});
    options.folder = folder;
    options.hidden = config_.hidden;
    auto child = Child::start(options);
    const auto status = child.ok() ? child->wait(config_.deadline) : std::nullopt;
    if (!status || *status != 0) {
      fs::remove(folder + "/prelude.h.gch", error);  // slower, but right
    }
  }
  return preludes_.emplace(digest, ok ? folder : std::string()).first->second;
}

Result<Compiled> HostToolchain::compile(const CompileJob& job, std::stop_token stop) {
  Invocation invocation;
  invocation.flags = candidate_flags();
  invocation.flags.insert(invocation.flags.end(), job.flags.begin(), job.flags.end());
  invocation.flags.insert(invocation.flags.end(), link_flags().begin(), link_flags().end());
  invocation.trailing = {"-lgcc"};
  return run(job, std::move(invocation), std::move(stop));
}

Result<Compiled> HostToolchain::compile_trusted(const CompileJob& job,
                                                const std::vector<std::string>& libraries,
                                                std::stop_token stop) {
  Invocation invocation;
  invocation.trusted = true;
  invocation.flags = {"-std=c++20", "-O2", "-march=native", "-fPIC", "-shared", "-pthread"};
  invocation.flags.insert(invocation.flags.end(), job.flags.begin(), job.flags.end());
  for (const std::string& library : libraries) {
    invocation.trailing.push_back("-l" + library);
  }
  return run(job, std::move(invocation), std::move(stop));
}

Result<Compiled> HostToolchain::run(const CompileJob& job,
                                    Invocation invocation,
                                    std::stop_token stop) {
  const Nanoseconds started = steady_now();
  std::uint64_t number = 0;
  {
    const MutexLock lock(mutex_);
    number = next_++;
  }
  const Folder folder(fmt::format("{}/job-{}", folder_, number));
  bool written = folder.ok() && safe_name(job.source_name);
  std::string ahead;
  if (!invocation.trusted) {
    std::vector<std::string> flags = candidate_flags();
    flags.insert(flags.end(), job.flags.begin(), job.flags.end());
    ahead = prelude(job, flags);
  }
  for (const auto& [name, text] : job.headers) {
    written = written && safe_name(name) && write_text(folder.file(name), text);
  }
  const bool poison = config_.poison && !invocation.trusted;
  written = written && write_text(folder.file(job.source_name),
                                  (poison ? std::string(kPoison) : "") + job.source);
  if (!written) {
    return Error{ErrorCode::io, fmt::format("{}: can't write the compile job", folder.path())};
  }
  ChildOptions options;
  options.argv = {config_.compiler};
  options.argv.insert(options.argv.end(), invocation.flags.begin(), invocation.flags.end());
  if (!ahead.empty()) {
    options.argv.insert(options.argv.end(), {"-I", ahead, "-include", "prelude.h"});
  }
  options.argv.insert(options.argv.end(),
                      {"-I", ".", "-MD", "-MF", "deps", "-o", "out.so", job.source_name});
  options.argv.insert(options.argv.end(), invocation.trailing.begin(), invocation.trailing.end());
  options.folder = folder.path();
  options.hidden = config_.hidden;
  options.environment = {{"LC_ALL", "C"}, {"TMPDIR", folder.path()}};
  options.limits.address_space = config_.memory_bytes;
  options.limits.cpu_seconds = static_cast<std::uint64_t>(to_seconds(config_.deadline)) + 5;
  options.limits.file_bytes = 256ULL << 20;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error{ErrorCode::environment, "no pipe for the compiler"};
  }
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  options.errors = writer.get();
  COPPICE_TRY(Child child, Child::start(options));
  writer.reset();

  // A compiler that writes without end is stopped like one that runs without end.
  constexpr std::uint64_t kFlood = 16ULL << 20;
  Drained log;
  const Nanoseconds deadline = started + config_.deadline;
  bool late = false;
  while (true) {
    Drained part = drain(
        reader.get(), kLogCap - std::min(kLogCap, log.text.size()), std::chrono::milliseconds(100));
    log.text += part.text;
    log.total += part.total;
    if (part.complete) {
      break;
    }
    late = steady_now() > deadline;
    if (late || log.total > kFlood || stop.stop_requested()) {
      break;
    }
  }
  const auto status =
      late || log.total > kFlood ? std::nullopt : child.wait(std::chrono::seconds(1));
  child.kill();
  if (stop.stop_requested()) {
    return Error{ErrorCode::interrupted, "stopped while compiling"};
  }
  Compiled out;
  out.elapsed = steady_now() - started;
  out.log = clean_log(log.text, kLogCap);
  if (!invocation.trusted) {
    const auto rules = read_binary(folder.file("deps"));
    const auto foreign =
        rules.ok() ? foreign_dependency(*rules, folder.path(), ahead) : std::nullopt;
    if (foreign) {
      out.failure = FailureClass::forbidden_code;
      out.message = fmt::format("{}: includes a file of the host", job.source_name);
      out.log.clear();
      return out;
    }
    out.log = only_lines_of(out.log, job.source_name);
  }
  if (!status) {
    const bool flood = log.total > kFlood;
    out.failure = flood ? FailureClass::output_flood : FailureClass::compile_timeout;
    out.message = flood ? "the compiler wrote more than 16 MB"
                        : fmt::format("not compiled within {:.0f} s", to_seconds(config_.deadline));
    return out;
  }
  if (*status != 0) {
    const bool memory = log.text.find("out of memory") != std::string::npos ||
                        log.text.find("virtual memory exhausted") != std::string::npos ||
                        log.text.find("bad_alloc") != std::string::npos ||
                        (WIFSIGNALED(*status) && WTERMSIG(*status) == SIGKILL);
    out.failure = memory ? FailureClass::memory_limit : FailureClass::compile_error;
    out.message = memory ? "the compiler ran out of its memory" : first_error(out.log);
    return out;
  }
  COPPICE_TRY(out.binary, read_binary(folder.file("out.so")));
  return out;
}

}  // namespace coppice::evaluators::cpu
