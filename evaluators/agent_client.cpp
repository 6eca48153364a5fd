// Requests over the agent's standard input and output; a stop or a missed deadline ends the agent.

#include "evaluators/agent_client.h"

#include "core/codec.h"
#include "evaluators/processes.h"
#include "evaluators/session_wire.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace coppice::evaluators {
namespace {

constexpr Nanoseconds kStart = std::chrono::minutes(5);  // compiles a reference, measures ceilings
constexpr Nanoseconds kFreeze = std::chrono::minutes(30);
constexpr Nanoseconds kSlice = std::chrono::milliseconds(200);

Message call(std::string_view name) {
  Message out;
  out.json.set("call", name);
  return out;
}

}  // namespace

Result<AgentClient> AgentClient::start(const std::string& backend,
                                       const std::vector<std::string>& launcher,
                                       const std::string& program,
                                       int device,
                                       const std::vector<std::string>& hidden) {
  ChildOptions options;
  options.argv = launcher;
  std::string own = program;
  if (own.empty()) {
    COPPICE_TRY(own, own_executable());
  }
  for (const std::string& word : {own, std::string("agent"), std::string("--backend"), backend}) {
    options.argv.push_back(word);
  }
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0) {
    return Error{ErrorCode::environment, fmt::format("pipe: {}", std::strerror(errno))};
  }
  const Fd to_read(to[0]);
  Fd to_write(to[1]);
  // A task with its binaries fits in: it is handed over in one piece, not 64 KiB at a time while
  // the device waits. Where the system allows less, it goes as before.
  ::fcntl(to_write.get(), F_SETPIPE_SZ, 1 << 20);
  if (::pipe2(from, O_CLOEXEC) != 0) {
    return Error{ErrorCode::environment, fmt::format("pipe: {}", std::strerror(errno))};
  }
  Fd from_read(from[0]);
  const Fd from_write(from[1]);
  options.input = to_read.get();
  options.output = from_write.get();
  options.errors = -2;
  options.hidden = hidden;
  if (device > 0) {
    options.environment.emplace("COPPICE_CUDA_DEVICE", std::to_string(device));
  }
  options.dies_with_thread = false;  // it ends by itself when our pipe closes
  AgentClient out;
  COPPICE_TRY(out.child_, Child::start(options));
  out.channel_ = Channel(std::move(from_read), std::move(to_write));
  return out;
}

Result<Message> AgentClient::ask(const Message& request,
                                 Nanoseconds timeout,
                                 const std::stop_token& stop) {
  const Nanoseconds deadline = steady_now() + timeout;
  Result<void> sent = channel_.send(request, std::chrono::seconds(60));
  Result<Message> reply = sent.ok() ? Error{ErrorCode::busy, ""} : Result<Message>(sent.error());
  while (!reply.ok() && reply.error().code == ErrorCode::busy) {
    if (stop.stop_requested()) {
      lost_ = true;
      child_.kill();
      return Error{ErrorCode::interrupted, "stopped"};
    }
    if (steady_now() > deadline) {
      break;
    }
    reply = channel_.receive(kSlice);
  }
  if (!reply.ok()) {
    lost_ = true;
    const std::optional<int> status = child_.wait(std::chrono::milliseconds(100));
    child_.kill();
    return Error{reply.error().code,
                 fmt::format("device agent: {}{}",
                             reply.error().message,
                             status ? " (" + describe_status(*status) + ")" : std::string())};
  }
  if (auto error = error_of(reply->json.reader("agent"))) {
    return *error;
  }
  return reply;
}

Result<Json> AgentClient::probe() {
  COPPICE_TRY(const Message reply, ask(call("probe"), kStart, {}));
  COPPICE_TRY(const JsonReader value, reply.json.reader("agent").at("value"));
  return value.copy();
}

Result<void> AgentClient::open(const DeviceSession& session) {
  Message request = call("open");
  request.json.set("session", to_json(session));
  COPPICE_TRY(const Message reply, ask(request, kStart, {}));
  return {};
}

Result<std::map<std::string, ValueMap>> AgentClient::host_scalars() {
  COPPICE_TRY(const Message reply, ask(call("host_scalars"), kStart, {}));
  COPPICE_TRY(const JsonReader value, reply.json.reader("agent").at("value"));
  COPPICE_TRY(const auto members, value.members());
  std::map<std::string, ValueMap> out;
  for (const auto& [workload, values] : members) {
    COPPICE_TRY_VOID(read(values, out[workload]));
  }
  return out;
}

Result<std::vector<BaselineFrozen>> AgentClient::freeze(std::stop_token stop) {
  COPPICE_TRY(const Message reply, ask(call("freeze"), kFreeze, stop));
  COPPICE_TRY(const JsonReader value, reply.json.reader("agent").at("value"));
  COPPICE_TRY(const std::vector<JsonReader> items, value.items());
  std::vector<BaselineFrozen> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(BaselineFrozen one, baseline_frozen(item));
    out.push_back(std::move(one));
  }
  return out;
}

Result<void> AgentClient::adopt(const std::vector<BaselineFrozen>& frozen) {
  Message request = call("adopt");
  request.json.set("frozen",
                   Json::array_of(frozen, [](const BaselineFrozen& f) { return to_json(f); }));
  COPPICE_TRY(const Message reply, ask(request, kFreeze, {}));
  return {};
}

Result<Evidence> AgentClient::evaluate(const DeviceTask& task,
                                       Nanoseconds deadline,
                                       std::stop_token stop) {
  COPPICE_TRY(const Message reply, ask(task_message(task), deadline, stop));
  COPPICE_TRY(const JsonReader value, reply.json.reader("agent").at("value"));
  return evidence(value);
}

}  // namespace coppice::evaluators
