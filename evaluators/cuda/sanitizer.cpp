// Starts the tool on this program's own "launch-once" and reads the lines that it marks.
#include "evaluators/cuda/sanitizer.h"

#include "evaluators/child.h"
#include "evaluators/processes.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

namespace coppice::evaluators::cuda {
namespace {

constexpr std::string_view kMark = "=========";
constexpr std::size_t kMostReport = 1 << 20;
constexpr std::size_t kMostFinding = 400;

struct SanitizerTool {
  const char* name;
  bool refuses;
};
// Races are only noted: on an H200 the tool named some in kernels whose results are right
// everywhere, and it does not know every way in which asynchronous copies are awaited.
constexpr SanitizerTool kSanitizerTools[] = {{"memcheck", true}, {"racecheck", false}};

std::string trimmed(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  const std::size_t last = line.find_last_not_of(" \t\r");
  return first == std::string_view::npos ? std::string()
                                         : std::string(line.substr(first, last - first + 1));
}

// The marked lines, without the mark.
std::vector<std::string> marked_lines(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line(text.data() + at, end - at);
    if (line.starts_with(kMark)) {
      out.push_back(trimmed(line.substr(kMark.size())));
    }
    at = end + 1;
  }
  return out;
}

bool names_a_place(const std::string& line) {
  return line.find("+0x") != std::string::npos;
}

bool ends_block(const std::string& line) {
  return line.empty() || line.starts_with("Saved host backtrace") ||
         line.starts_with("Host Frame") || line.find("SUMMARY:") != std::string::npos;
}

// "A, at k+0x70 in k.cu:5, by thread (0,0,0) in block (0,0,0), Access at .."
std::string joined(const std::vector<std::string>& lines, std::size_t from) {
  std::string out;
  for (std::size_t i = from; i < lines.size() && !ends_block(lines[i]); ++i) {
    out += (out.empty() ? "" : ", ") + lines[i];
  }
  return out.size() > kMostFinding ? out.substr(0, kMostFinding) + " .." : out;
}

class TemporaryFile {
 public:
  static Result<TemporaryFile> write(const std::string& bytes) {
    const char* base = std::getenv("TMPDIR");
    std::string path =
        std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/coppice-launch-XXXXXX";
    const int fd = ::mkstemp(path.data());
    bool good = fd >= 0;
    for (std::size_t at = 0; good && at < bytes.size();) {
      const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
      good = n > 0;
      at += good ? static_cast<std::size_t>(n) : 0;
    }
    const int why = errno;
    if (fd >= 0) {
      ::close(fd);
    }
    TemporaryFile out(fd >= 0 ? path : std::string());
    return good ? Result<TemporaryFile>(std::move(out))
                : Error{ErrorCode::io, path + ": " + std::strerror(why)};
  }
  TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) {
      ::unlink(path_.c_str());
    }
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct Output {
  std::string text;
  bool in_time = false;
  int status = 0;
};

Result<Output> output_of(std::vector<std::string> words, Nanoseconds limit) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error{ErrorCode::io, std::string("pipe: ") + std::strerror(errno)};
  }
  ChildOptions options;
  options.argv = std::move(words);
  options.output = ends[1];
  options.errors = ends[1];
  Result<Child> child = Child::start(options);
  ::close(ends[1]);
  if (!child.ok()) {
    ::close(ends[0]);
    return child.error();
  }
  const Drained drained = drain(ends[0], kMostReport, limit);
  ::close(ends[0]);
  const std::optional<int> status = child->wait(std::chrono::seconds(2));
  child->kill();
  Output out;
  out.text = drained.text;
  out.in_time = drained.complete && status.has_value();
  out.status = status.value_or(0);
  return out;
}

// The number behind "Version ".
std::string version_in(const std::string& text) {
  const std::size_t at = text.find("Version ");
  if (at == std::string::npos) {
    return "";
  }
  const std::size_t from = at + 8;
  return text.substr(from, text.find_first_of(" \n", from) - from);
}

std::string first_words(const std::string& text) {
  const std::string line = trimmed(std::string_view(text).substr(0, text.find('\n')));
  return line.empty() ? "it said nothing" : line;
}

// What our own program said last, if that was not the name of a workload.
std::string launch_trouble(const std::string& text) {
  constexpr std::string_view kOurs = "launch-once: ";
  const std::size_t at = text.rfind(kOurs);
  return at == std::string::npos || text.compare(at, std::strlen(kLaunchSaid), kLaunchSaid) == 0
             ? std::string()
             : first_words(text.substr(at));
}

// The workload that was launched last before the tool said `line`.
std::string workload_before(const std::string& text, const std::string& line) {
  const std::size_t found = text.find(line);
  const std::size_t said = text.rfind(kLaunchSaid, found);
  return said == std::string::npos
             ? std::string()
             : first_words(text.substr(said + std::strlen(kLaunchSaid))) + ": ";
}

Result<SanitizerReport> run_tool(const Sanitizer& sanitizer,
                                 const char* tool,
                                 const std::string& program,
                                 const std::string& file,
                                 Nanoseconds limit) {
  COPPICE_TRY(
      const Output output,
      output_of(
          {sanitizer.path, "--tool", tool, "--print-limit", "4", program, "launch-once", file},
          limit));
  SanitizerReport report = read_sanitizer_report(output.text);
  if (!output.in_time && report.finding.empty()) {
    report.complete = false;
    report.trouble = "no end within " + std::to_string(static_cast<int>(to_seconds(limit))) + " s";
  } else if (!report.complete && report.trouble.empty()) {
    report.trouble = first_words(output.text) + " (" + describe_status(output.status) + ")";
  }
  return report;
}

}  // namespace

SanitizerReport read_sanitizer_report(const std::string& text) {
  SanitizerReport out;
  const std::vector<std::string> lines = marked_lines(text);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.find("SUMMARY:") != std::string::npos) {
      out.complete = true;
    }
    if (ends_block(line) || line == "COMPUTE-SANITIZER") {
      begin = i + 1;
      continue;
    }
    const bool trouble = line.find("not supported") != std::string::npos ||
                         line.starts_with("Internal") ||
                         line.find("Unable to find") != std::string::npos;
    if (trouble && out.trouble.empty()) {
      out.trouble = line;
    }
    if (out.finding.empty() && names_a_place(line)) {
      out.finding = workload_before(text, line) + joined(lines, begin);
    }
  }
  out.trouble = out.trouble.empty() && out.finding.empty() ? launch_trouble(text) : out.trouble;
  out.complete = out.complete && out.trouble.empty();
  return out;
}

Result<Sanitizer> find_sanitizer() {
  const char* named = std::getenv("COPPICE_SANITIZER");
  const std::string wanted = named == nullptr ? "" : named;
  if (wanted == "off") {
    return Error{ErrorCode::environment, "switched off (COPPICE_SANITIZER=off)"};
  }
  const char* home = std::getenv("CUDA_HOME");
  std::vector<std::string> places = {wanted};
  if (wanted.empty()) {
    places = {"compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer"};
    if (home != nullptr && *home != '\0') {
      places.push_back(std::string(home) + "/bin/compute-sanitizer");
    }
  }
  for (const std::string& place : places) {
    const Result<Output> said = output_of({place, "--version"}, std::chrono::seconds(20));
    if (said.ok() && said->in_time && said->text.find("Sanitizer") != std::string::npos) {
      return Sanitizer{place, version_in(said->text)};
    }
  }
  return Error{ErrorCode::environment,
               wanted.empty()
                   ? std::string("no compute-sanitizer on the PATH or in /usr/local/cuda/bin (it "
                                 "comes with NVIDIA's package cuda-sanitizer-13-0)")
                   : wanted + ": is no compute-sanitizer that can be run"};
}

MemoryCheck sanitize(const LaunchJob& job, const SanitizerOptions& options) {
  MemoryCheck out;
  const auto begin = steady_now();
  for (const LaunchOnce& launch : job.launches) {
    out.workloads += (out.workloads.empty() ? "" : ", ") + launch.workload;
  }
  const auto attempt = [&]() -> Result<void> {
    COPPICE_TRY(const Sanitizer sanitizer, find_sanitizer());
    out.tool = "compute-sanitizer" + (sanitizer.version.empty() ? "" : " " + sanitizer.version);
    std::string program = options.program;
    if (program.empty()) {
      COPPICE_TRY(program, own_executable());
    }
    COPPICE_TRY(const TemporaryFile file, TemporaryFile::write(encode(job)));
    for (const SanitizerTool& tool : kSanitizerTools) {
      COPPICE_TRY(const SanitizerReport report,
                  run_tool(sanitizer, tool.name, program, file.path(), options.limit));
      const std::string name = tool.name;
      if (!report.finding.empty()) {
        (tool.refuses ? out.finding : out.noted) = name + ": " + report.finding;
      } else if (!report.complete) {
        return Error{ErrorCode::environment, name + ": " + report.trouble};
      }
      out.ran += (out.ran.empty() ? "" : ", ") + name;
      if (!out.finding.empty()) {
        break;
      }
    }
    return {};
  };
  if (const Result<void> done = attempt(); !done.ok()) {
    out.unavailable = done.error().message;
  }
  out.seconds = to_seconds(steady_now() - begin);
  return out;
}

}  // namespace coppice::evaluators::cuda
