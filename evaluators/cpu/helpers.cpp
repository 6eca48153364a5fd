// Requests to helper processes; each has a deadline.

#include "evaluators/cpu/helpers.h"

#include "core/codec.h"
#include "evaluators/processes.h"
#include "evaluators/session_wire.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::evaluators::cpu {
namespace {

constexpr Nanoseconds kQuick = std::chrono::seconds(20);
constexpr Nanoseconds kSlow = std::chrono::minutes(10);  // a reference of a large workload

Result<void> check(const Message& reply) {
  if (auto error = error_of(reply.json.reader("reply"))) {
    return *error;
  }
  return {};
}

Result<ValueMap> value_map(const JsonReader& json) {
  ValueMap out;
  COPPICE_TRY_VOID(read(json, out));
  return out;
}

Json values_json(const ValueMap& values) {
  return coppice::to_json(values);
}

}  // namespace

double Judgement::error() const {
  double worst = 0.0;
  for (const JudgedOutput& output : outputs) {
    worst = std::max(worst, output.error);
  }
  return worst;
}

const JudgedOutput* Judgement::bad() const {
  for (const JudgedOutput& output : outputs) {
    if (output.failure != FailureClass::none) {
      return &output;
    }
  }
  return nullptr;
}

Result<std::pair<Child, Channel>> start_helper(
    const std::string& name, const std::map<std::string, std::string, std::less<>>& environment) {
  COPPICE_TRY(const std::string program, own_executable());
  COPPICE_TRY(auto ends, socket_pair());
  ChildOptions options;
  options.argv = {program, name};
  options.environment = environment;
  options.errors = -2;
  options.socket = ends.second.get();
  COPPICE_TRY(Child child, Child::start(options));
  return std::pair<Child, Channel>(std::move(child), Channel(std::move(ends.first)));
}

Result<Message> JudgeClient::call(Message request, Nanoseconds timeout) {
  if (auto sent = channel_.send(request, kQuick); !sent.ok()) {
    return sent.error().within("judge");
  }
  COPPICE_TRY(Message reply, channel_.receive(timeout).within("judge"));
  COPPICE_TRY_VOID(check(reply));
  return reply;
}

Result<JudgeClient> JudgeClient::start(const DeviceSession& session,
                                       const std::string& reference,
                                       std::map<std::string, ValueMap>& scalars) {
  COPPICE_TRY(auto started, start_helper("judge", {}));
  JudgeClient out;
  out.child_ = std::move(started.first);
  out.channel_ = std::move(started.second);
  Message request;
  request.json.set("call", "open").set("session", to_json(session));
  request.attachments.push_back(reference);
  COPPICE_TRY(const Message reply, out.call(std::move(request), kSlow));
  COPPICE_TRY(const JsonReader value, reply.json.reader("judge").at("value"));
  COPPICE_TRY(const auto members, value.members());
  for (const auto& [workload, values] : members) {
    COPPICE_TRY(scalars[workload], value_map(values));
  }
  return out;
}

Result<void> JudgeClient::attach_pool(const std::string& workload, std::uint64_t entries, int fd) {
  Message request;
  request.json.set("call", "pool").set("workload", workload).set("entries", entries);
  request.descriptors.push_back(duplicate(fd));
  COPPICE_TRY(const Message reply, call(std::move(request), kQuick));
  return {};
}

Result<void> JudgeClient::attach_outputs(const std::string& workload, std::uint64_t bytes, int fd) {
  Message request;
  request.json.set("call", "outputs").set("workload", workload).set("bytes", bytes);
  request.descriptors.push_back(duplicate(fd));
  COPPICE_TRY(const Message reply, call(std::move(request), kQuick));
  return {};
}

Result<JudgeClient::Drawn> JudgeClient::draw(const std::string& workload,
                                             std::uint64_t entry,
                                             const std::string& value_case,
                                             std::uint64_t seed) {
  Message request;
  request.json.set("call", "draw").set("workload", workload).set("entry", entry);
  request.json.set("case", value_case).set("seed", seed);
  COPPICE_TRY(const Message reply, call(std::move(request), kSlow));
  COPPICE_TRY(const JsonReader value, reply.json.reader("judge").at("value"));
  Drawn out;
  Fields fields(value, {"fill", "reference"});
  return fields.need("fill", out.fill).need("reference", out.reference).done(out);
}

Result<Judgement> JudgeClient::compare(const Question& q) {
  Message request;
  request.json.set("call", "compare").set("workload", q.workload).set("entry", q.entry);
  request.json.set("origin", q.origin).set("precision", q.precision);
  request.json.set("poison", std::uint64_t{q.poison});
  request.json.set("places",
                   Json::array_of(q.places, [](std::uint64_t place) { return Json(place); }));
  COPPICE_TRY(const Message reply, call(std::move(request), kSlow));
  COPPICE_TRY(const JsonReader value, reply.json.reader("judge").at("value"));
  COPPICE_TRY(const std::vector<JsonReader> items, value.items());
  Judgement out;
  for (const JsonReader& item : items) {
    JudgedOutput o;
    COPPICE_TRY(o.name, item.text_or("name", ""));
    COPPICE_TRY(o.nrmse, item.real_or("nrmse", 0.0));
    COPPICE_TRY(o.worst_row, item.real_or("worst_row", 0.0));
    COPPICE_TRY(o.error, item.real_or("error", 0.0));
    COPPICE_TRY(o.message, item.text_or("message", ""));
    COPPICE_TRY(const std::string failure, item.text_or("failure", "none"));
    COPPICE_TRY(o.failure, failure_class(failure));
    out.outputs.push_back(std::move(o));
  }
  return out;
}

Result<CandidateLauncher> CandidateLauncher::start() {
  COPPICE_TRY(auto started, start_helper("candidate", {}));
  CandidateLauncher out;
  out.child_ = std::move(started.first);
  out.channel_ = std::move(started.second);
  COPPICE_TRY(const Message hello, out.channel_.receive(kQuick).within("candidate launcher"));
  COPPICE_TRY(const std::string level, hello.json.reader("launcher").text_or("isolation", "none"));
  COPPICE_TRY(out.level_, isolation(level));
  return out;
}

Result<Runner> CandidateLauncher::launch(const CandidateStart& start,
                                         const Files& files,
                                         Launch& outcome) {
  COPPICE_TRY(SharedMemory control, SharedMemory::create("control", kControlBytes));
  Message request;
  request.json = to_json(start);
  const int workspace = files.workspace >= 0 ? files.workspace : files.inputs;
  for (const int fd : {control.fd(), files.inputs, files.outputs, workspace, files.binary}) {
    request.descriptors.push_back(duplicate(fd));
  }
  if (auto sent = channel_.send(request, kQuick); !sent.ok()) {
    return Error{ErrorCode::environment, "candidate launcher: " + sent.error().message};
  }
  Result<Message> reply = channel_.receive(kQuick);
  if (!reply.ok()) {
    return Error{ErrorCode::environment, "candidate launcher: " + reply.error().message};
  }
  COPPICE_TRY(const std::int64_t pid, reply->json.reader("launcher").integer_or("pid", -1));
  if (pid <= 0) {
    return Error{ErrorCode::environment, "candidate launcher: no process could be made"};
  }
  return Runner::adopt(
      static_cast<pid_t>(pid), std::move(control), start.layout, {.fetched = true}, outcome);
}

Result<Runner> start_baseline(const DeviceSession& session, const BaselineStart& start) {
  COPPICE_TRY(auto started, start_helper("baseline", start.environment));
  Child child = std::move(started.first);
  Channel channel = std::move(started.second);
  const auto ask = [&](const Message& request) -> Result<void> {
    COPPICE_TRY_VOID(channel.send(request, kQuick));
    const Result<Message> reply = channel.receive(kSlow);
    if (!reply.ok()) {
      // A library that uses instructions which this processor lacks ends its process.
      const std::optional<int> status = child.wait(std::chrono::milliseconds(200));
      return Error{
          reply.error().code,
          status ? "its process ended: " + describe_status(*status) : reply.error().message};
    }
    return check(*reply);
  };
  Message open;
  open.json.set("call", "open").set("session", to_json(session)).set("threads", start.threads);
  open.attachments.push_back(start.binary);
  COPPICE_TRY_VOID(ask(open).within("baseline"));
  for (const BaselineStart::Place& place : start.workloads) {
    Message add;
    add.json.set("call", "add").set("workload", place.workload).set("origin", place.origin);
    add.json.set("layout", to_json(place.layout)).set("scalars", values_json(place.scalars));
    add.descriptors.push_back(duplicate(place.inputs));
    add.descriptors.push_back(duplicate(place.outputs));
    COPPICE_TRY_VOID(ask(add).within("baseline: " + place.workload));
  }
  COPPICE_TRY(SharedMemory control, SharedMemory::create("control", kControlBytes));
  Message serve;
  serve.json.set("call", "serve");
  serve.descriptors.push_back(duplicate(control.fd()));
  COPPICE_TRY_VOID(channel.send(serve, kQuick));
  Launch outcome;
  const Layout layout = start.workloads.empty() ? Layout() : start.workloads.front().layout;
  return Runner::adopt(
      child.release(), std::move(control), layout, {.threads = start.threads}, outcome);
}

}  // namespace coppice::evaluators::cpu
