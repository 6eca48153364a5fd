// Starts the Python process in a folder of its own and exchanges one line a request with it.
#include "evaluators/cuda/opponent.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace coppice::evaluators::cuda {

std::string_view opponent_py();  // opponent.py, embedded

namespace {

constexpr std::size_t kMostAnswer = 16u << 20;

std::string hex(const IpcHandle& handle) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : handle.bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

Json tensor_json(const WorkloadLayout& layout, const TensorInfo& tensor) {
  const bool output = tensor.role == TensorRole::output;
  const bool value = tensor.role == TensorRole::value;
  const std::uint64_t offset = output ? tensor.offset : layout.input_offset(tensor, 0);
  const std::uint64_t stride = output ? layout.slot_stride : value ? layout.set_stride : 0;
  Json shape = Json::array();
  for (const std::int64_t extent : tensor.shape) {
    shape.push(extent);
  }
  Json out = Json::object();
  out.set("name", tensor.name)
      .set("role",
           output  ? "output"
           : value ? "value"
                   : "structure")
      .set("dtype", to_text(tensor.dtype))
      .set("bytes", tensor.bytes)
      .set("offset", offset)
      .set("stride", stride)
      .set("shape", std::move(shape));
  return out;
}

Json open_request(const OpponentSetup& setup) {
  Json workloads = Json::array();
  for (const OpponentWorkload& w : setup.workloads) {
    Json dims = Json::object();
    for (const auto& [name, extent] : w.dims) {
      dims.set(name, extent);
    }
    Json tensors = Json::array();
    for (const TensorInfo& tensor : w.layout.tensors) {
      tensors.push(tensor_json(w.layout, tensor));
    }
    Json one = Json::object();
    one.set("name", w.layout.name)
        .set("dims", std::move(dims))
        .set("inputs", hex(w.regions.inputs))
        .set("outputs", hex(w.regions.outputs))
        .set("inputs_bytes", w.layout.inputs_bytes)
        .set("outputs_bytes", w.layout.outputs_bytes)
        .set("tensors", std::move(tensors));
    workloads.push(std::move(one));
  }
  Json constants = Json::object();
  for (const auto& [name, value] : setup.constants) {
    constants.set(name, Json(value));
  }
  Json out = Json::object();
  out.set("call", "open")
      .set("device", setup.device)
      .set("constants", std::move(constants))
      .set("workloads", std::move(workloads));
  return out;
}

// A folder with the shared module and the opponent's own file: Triton wants to read its source.
Result<std::string> write_sources(const std::string& source) {
  std::error_code error;
  std::string pattern =
      (std::filesystem::temp_directory_path(error) / "coppice-opponent-XXXXXX").string();
  if (error || ::mkdtemp(pattern.data()) == nullptr) {
    return Error{ErrorCode::environment, "no folder for an opponent's files: " + pattern};
  }
  for (const auto& [name, text] :
       {std::pair<std::string_view, std::string_view>("coppice_opponent.py", opponent_py()),
        std::pair<std::string_view, std::string_view>("baseline.py", source)}) {
    std::ofstream file(std::filesystem::path(pattern) / name);
    file << text;
    file.close();
    if (!file) {
      return Error{ErrorCode::environment, pattern + ": cannot be written"};
    }
  }
  return pattern;
}

}  // namespace

std::string python_program() {
  const char* named = std::getenv("COPPICE_PYTHON");
  return named != nullptr && *named != '\0' ? named : "python3";
}

Result<std::unique_ptr<OpponentClient>> OpponentClient::start(const OpponentSetup& setup,
                                                              Nanoseconds deadline) {
  std::unique_ptr<OpponentClient> out(new OpponentClient());
  COPPICE_TRY(out->folder_, write_sources(setup.source));
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0) {
    return Error{ErrorCode::environment, std::string("pipe: ") + std::strerror(errno)};
  }
  Fd to_read(to[0]);
  out->to_ = Fd(to[1]);
  if (::pipe2(from, O_CLOEXEC) != 0) {
    return Error{ErrorCode::environment, std::string("pipe: ") + std::strerror(errno)};
  }
  out->from_ = Fd(from[0]);
  Fd from_write(from[1]);
  ChildOptions options;
  options.argv = {python_program(), "-u", out->folder_ + "/baseline.py"};
  options.environment = setup.environment;
  options.environment["PYTHONDONTWRITEBYTECODE"] = "1";
  options.input = to_read.get();
  options.output = from_write.get();
  const std::string said = out->folder_ + "/errors.txt";
  const Fd errors(::open(said.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  options.errors = errors.get();
  Result<Child> child = Child::start(options);
  if (!child.ok()) {
    return Error{ErrorCode::missing, setup.name + ": " + child.error().message};
  }
  out->child_ = std::move(*child);
  // The child's ends are the child's alone: else nobody would see that it has ended.
  to_read = Fd();
  from_write = Fd();
  for (std::size_t i = 0; i < setup.workloads.size(); ++i) {
    out->places_[setup.workloads[i].index] = i;
  }
  COPPICE_TRY(const Json answer, out->ask(open_request(setup), deadline).within(setup.name));
  const JsonReader reader = answer.reader(setup.name);
  COPPICE_TRY(const JsonReader outputs, reader.at("outputs"));
  COPPICE_TRY(out->outputs_, outputs.texts());
  COPPICE_TRY(const JsonReader details, reader.at("details"));
  out->details_ = details.copy();
  return out;
}

OpponentClient::~OpponentClient() {
  child_.kill();
  std::error_code ignored;
  if (!folder_.empty()) {
    std::filesystem::remove_all(folder_, ignored);
  }
}

// How the process ended, with the last line that it wrote to its standard error.
std::string OpponentClient::last_words() {
  const auto status = child_.wait(std::chrono::seconds(1));
  std::string out = "its process ended" + (status ? ": " + describe_status(*status) : "");
  std::ifstream file(folder_ + "/errors.txt");
  std::string line, last;
  while (std::getline(file, line)) {
    last = line.empty() ? last : line;
  }
  return last.empty() ? out : out + ": " + last;
}

Result<Json> OpponentClient::ask(const Json& request, Nanoseconds deadline) {
  const Nanoseconds until = steady_now() + deadline;
  const std::string line = request.dump() + "\n";
  std::size_t sent = 0;
  std::array<char, 65536> buffer;
  while (unread_.find('\n') == std::string::npos && unread_.size() < kMostAnswer) {
    const Nanoseconds left = until - steady_now();
    pollfd items[2] = {{from_.get(), POLLIN, 0}, {to_.get(), POLLOUT, 0}};
    const int count = sent < line.size() ? 2 : 1;
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    if (left.count() <= 0 || ::poll(items, count, static_cast<int>(wait) + 1) == 0) {
      return Error{ErrorCode::busy, "no answer in time"};
    }
    if (count == 2 && (items[1].revents & POLLOUT) != 0) {
      // A pipe that is ready takes at least PIPE_BUF bytes without blocking.
      const ssize_t n =
          ::write(to_.get(), line.data() + sent, std::min<std::size_t>(4096, line.size() - sent));
      sent += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    if (items[0].revents == 0) {
      if (count == 2 && (items[1].revents & (POLLERR | POLLHUP)) != 0) {
        return Error{ErrorCode::missing, last_words()};
      }
      continue;
    }
    const ssize_t n = ::read(from_.get(), buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EINTR)) {
      return Error{ErrorCode::missing, last_words()};
    }
    unread_.append(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  const std::size_t end = unread_.find('\n');
  COPPICE_TRY(Json answer, Json::parse(unread_.substr(0, end), "opponent's answer"));
  unread_.erase(0, end == std::string::npos ? end : end + 1);
  COPPICE_TRY(const std::string missing, answer.reader("opponent").text_or("missing", ""));
  COPPICE_TRY(const std::string error, answer.reader("opponent").text_or("error", ""));
  if (!missing.empty() || !error.empty()) {
    return Error{missing.empty() ? ErrorCode::environment : ErrorCode::missing, missing + error};
  }
  return answer;
}

Result<RunResult> OpponentClient::run(std::uint64_t workload,
                                      const RunOptions& options,
                                      const std::vector<RunItem>& items,
                                      Nanoseconds deadline) {
  const auto place = places_.find(workload);
  if (place == places_.end()) {
    return Error{ErrorCode::environment, "opponent: workload was not opened"};
  }
  Json list = Json::array();
  for (const RunItem item : items) {
    Json pair = Json::array();
    pair.push(static_cast<std::int64_t>(item.slot)).push(static_cast<std::int64_t>(item.set));
    list.push(std::move(pair));
  }
  Json request = Json::object();
  request.set("call", "run")
      .set("workload", place->second)
      .set("items", std::move(list))
      .set("flush_bytes", options.flush_bytes)
      .set("warm_up", static_cast<std::int64_t>(options.warm_up));
  COPPICE_TRY(const Json answer, ask(request, deadline + std::chrono::seconds(30)));
  COPPICE_TRY(const JsonReader times, answer.reader("opponent").at("microseconds"));
  COPPICE_TRY(const std::vector<JsonReader> numbers, times.items());
  RunResult out;
  for (const JsonReader& number : numbers) {
    COPPICE_TRY(const double microseconds, number.real());
    out.microseconds.push_back(static_cast<float>(microseconds));
  }
  if (out.microseconds.size() != items.size()) {
    return Error{ErrorCode::environment, "opponent: an answer with another number of times"};
  }
  return out;
}

}  // namespace coppice::evaluators::cuda
