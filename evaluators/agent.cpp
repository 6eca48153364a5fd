// One request at a time; a watcher thread turns a vanished caller into a stop request.

#include "evaluators/agent.h"

#include "evaluators/session_wire.h"
#include "evaluators/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace coppice::evaluators {
namespace {

constexpr Nanoseconds kIdle = std::chrono::hours(24 * 365);
constexpr Nanoseconds kAnswer = std::chrono::seconds(60);

// Watches for hang-up of the caller while a call runs.
class HangUpWatch {
 public:
  explicit HangUpWatch(int fd)
      : bell_(::eventfd(0, EFD_CLOEXEC)), thread_([this, fd](const std::stop_token& end) {
          while (!end.stop_requested()) {
            pollfd items[2] = {{fd, 0, 0}, {bell_.get(), POLLIN, 0}};
            if (::poll(items, 2, 200) > 0 && (items[0].revents & (POLLHUP | POLLERR)) != 0) {
              stop_.request_stop();
              return;
            }
          }
        }) {}
  HangUpWatch(const HangUpWatch&) = delete;
  HangUpWatch& operator=(const HangUpWatch&) = delete;
  // Rings, so that no answer waits for the end of a poll.
  ~HangUpWatch() {
    thread_.request_stop();
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t rung = ::write(bell_.get(), &one, sizeof one);
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  const Fd bell_;
  std::jthread thread_;
};

Json answer(Json value) {
  return Json::object().set("value", std::move(value));
}
Json answer_or_error(Result<void> result) {
  return result.ok() ? answer(Json()) : error_json(result.error());
}

Json frozen_json(const Result<std::vector<BaselineFrozen>>& frozen) {
  if (!frozen.ok()) {
    return error_json(frozen.error());
  }
  return answer(Json::array_of(*frozen, [](const BaselineFrozen& f) { return to_json(f); }));
}

Result<std::vector<BaselineFrozen>> read_frozen(const JsonReader& json) {
  COPPICE_TRY(const JsonReader array, json.at("frozen"));
  COPPICE_TRY(const std::vector<JsonReader> items, array.items());
  std::vector<BaselineFrozen> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(BaselineFrozen one, baseline_frozen(item));
    out.push_back(std::move(one));
  }
  return out;
}

Json scalars_json(DeviceBackend& backend) {
  const auto scalars = backend.host_scalars();
  if (!scalars.ok()) {
    return error_json(scalars.error());
  }
  Json out = Json::object();
  for (const auto& [workload, values] : *scalars) {
    Json inner = Json::object();
    for (const auto& [name, value] : values) {
      inner.set(name, Json(value));
    }
    out.set(workload, std::move(inner));
  }
  return answer(std::move(out));
}

Json serve(DeviceBackend& backend, const Message& request, std::stop_token stop) {
  const JsonReader json = request.json.reader("request");
  const Result<std::string> call = json.text_or("call", "");
  if (!call.ok()) {
    return error_json(call.error());
  }
  if (*call == "probe") {
    return answer(backend.probe());
  }
  if (*call == "open") {
    const auto session = json.at("session");
    auto read = session.ok() ? device_session(*session) : Result<DeviceSession>(session.error());
    return read.ok() ? answer_or_error(backend.open(std::move(*read), stop))
                     : error_json(read.error());
  }
  if (*call == "host_scalars") {
    return scalars_json(backend);
  }
  if (*call == "freeze") {
    return frozen_json(backend.freeze_baselines(stop));
  }
  if (*call == "adopt") {
    const auto frozen = read_frozen(json);
    return frozen.ok() ? answer_or_error(backend.adopt_baselines(*frozen, stop))
                       : error_json(frozen.error());
  }
  if (*call == "evaluate") {
    const auto task = device_task(request);
    if (!task.ok()) {
      return error_json(task.error());
    }
    const auto result = backend.evaluate(*task, stop);
    return result.ok() ? answer(to_json(*result)) : error_json(result.error());
  }
  return error_json(json.complain("unknown call"));
}

}  // namespace

int run_agent(int in_fd, int out_fd, const BackendFactory& factory) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);  // Ctrl-C is the program's to handle; it closes our pipe
  Channel channel{Fd(in_fd), Fd(out_fd)};
  const std::unique_ptr<DeviceBackend> backend = factory();
  if (backend == nullptr) {
    return 3;
  }
  while (true) {
    Result<Message> request = channel.receive(kIdle);
    if (!request.ok()) {
      return request.error().code == ErrorCode::io ? 0 : 3;
    }
    const auto call = request->json.reader("request").text_or("call", "");
    if (call.ok() && *call == "exit") {
      return 0;
    }
    Json reply;
    {
      HangUpWatch watch(in_fd);
      reply = serve(*backend, *request, watch.token());
    }
    if (!channel.send(std::move(reply), kAnswer).ok()) {
      return 0;
    }
  }
}

}  // namespace coppice::evaluators
