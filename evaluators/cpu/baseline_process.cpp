// Setup calls come over the socket; launches by the doorbell, on one calling thread: the library
// makes its own.

#include "evaluators/cpu/baseline_process.h"

#include "core/codec.h"
#include "evaluators/cpu/control_block.h"
#include "evaluators/cpu/layout.h"
#include "evaluators/cpu/library_threads.h"
#include "evaluators/cpu/op_abi.h"
#include "evaluators/cpu/shared_memory.h"
#include "evaluators/session_wire.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

namespace coppice::evaluators::cpu {
namespace {

struct Problems {
  DeviceSession session;
  const Suite* suite = nullptr;
  TrustedLibrary library;
  BaselineSetup setup = nullptr;
  BaselineRun run = nullptr;
  int threads = 1;
  std::vector<std::unique_ptr<Problem>> list;
  std::vector<Mapping> mappings;  // live as long as the process
};

Result<void> open(Problems& p, const Message& request) {
  const JsonReader json = request.json.reader("baseline");
  COPPICE_TRY(const JsonReader session, json.at("session"));
  COPPICE_TRY(p.session, device_session(session));
  p.suite = p.session.op.suite(p.session.suite);
  COPPICE_TRY(const std::int64_t threads, json.integer_or("threads", 1));
  p.threads = static_cast<int>(threads);
  if (request.attachments.size() != 1 || p.suite == nullptr) {
    return json.complain("needs the compiled baseline");
  }
  COPPICE_TRY(p.library, TrustedLibrary::load(request.attachments.front()));
  p.setup = reinterpret_cast<BaselineSetup>(p.library.find("coppice_baseline_setup"));
  p.run = reinterpret_cast<BaselineRun>(p.library.find("coppice_baseline_run"));
  if (p.run == nullptr) {
    return json.complain("defines no coppice_baseline_run");
  }
  return {};
}

const Workload* workload_of(const Suite& suite, const std::string& name) {
  for (const Workload& workload : suite.workloads) {
    if (workload.name == name) {
      return &workload;
    }
  }
  return nullptr;
}

Result<void> set_scalars(Problem& problem, const JsonReader& json) {
  COPPICE_TRY(const JsonReader object, json.at("scalars"));
  ValueMap values;
  COPPICE_TRY_VOID(read(object, values));
  auto* abi = problem.abi();
  for (std::int32_t i = 0; i < abi->n_scalars; ++i) {
    const auto found = values.find(abi->scalars[i].name);
    if (found == values.end()) {
      continue;
    }
    const auto* whole = std::get_if<std::int64_t>(&found->second);
    const auto* real = std::get_if<double>(&found->second);
    abi->scalars[i].value = whole != nullptr  ? static_cast<double>(*whole)
                            : real != nullptr ? *real
                                              : 0.0;
  }
  return {};
}

Result<void> add_problem(Problems& p, const JsonReader& json, std::vector<Fd>& files) {
  COPPICE_TRY(const std::string name, json.text_or("workload", ""));
  COPPICE_TRY(const JsonReader places, json.at("layout"));
  COPPICE_TRY(const Layout where, layout(places));
  std::uint64_t origin = 0;
  COPPICE_TRY(const JsonReader origin_json, json.at("origin"));
  COPPICE_TRY_VOID(read(origin_json, origin));
  const Workload* workload = workload_of(*p.suite, name);
  if (workload == nullptr || files.size() != 2) {
    return json.complain("needs a timed workload and two descriptors");
  }
  COPPICE_TRY(Mapping inputs, Mapping::of(files[0].get(), where.inputs_bytes, false));
  COPPICE_TRY(Mapping outputs, Mapping::of(files[1].get(), origin + where.slot_bytes, true));
  COPPICE_TRY(const auto tensors, tensor_shapes(p.session.op, *p.suite, *workload));
  auto problem = std::make_unique<Problem>(p.session.op, *workload, tensors);
  COPPICE_TRY_VOID(set_scalars(*problem, json));
  std::size_t input = 0;
  std::size_t output = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    problem->set_data(i,
                      tensors[i].role == TensorRole::output
                          ? outputs.data() + origin + where.outputs.at(output++).data
                          : inputs.data() + where.inputs.at(input++).data);
  }
  if (p.setup != nullptr && p.setup(problem->abi(), p.threads) != 0) {
    return Error{ErrorCode::environment, fmt::format("setup: {}", problem->message())};
  }
  p.list.push_back(std::move(problem));
  p.mappings.push_back(std::move(inputs));
  p.mappings.push_back(std::move(outputs));
  return {};
}

[[noreturn]] void serve_baseline(const Problems& p, const Mapping& control_mapping) {
  auto& control = *reinterpret_cast<ControlBlock*>(control_mapping.data());
  LibraryThreads threads(p.library, p.threads);
  threads.wake();  // the first time makes them: from here on the agent sees them all
  control.phase.store(static_cast<std::uint32_t>(Phase::waiting), std::memory_order_release);
  futex_wake(control.phase);
  std::uint32_t seen = 0;
  while (true) {
    while (control.arm.load(std::memory_order_acquire) == seen) {
      futex_wait(control.arm, seen, Nanoseconds(-1));
    }
    seen = control.arm.load(std::memory_order_acquire);
    threads.wake();
    wait_for_bell(control, seen, 1, false);
    control.status = control.workload < p.list.size() ? p.run(p.list[control.workload]->abi()) : -1;
    control.done.store(seen, std::memory_order_release);
    futex_wake(control.done);
  }
}

}  // namespace

int run_baseline(int socket) {
  ::prctl(PR_SET_NAME, "coppice-base");
  std::signal(SIGPIPE, SIG_IGN);
  Channel channel{Fd(socket)};
  Problems problems;
  while (true) {
    Result<Message> request = channel.receive(std::chrono::seconds(60));
    if (!request.ok()) {
      return 0;
    }
    const JsonReader json = request->json.reader("baseline");
    const auto call = json.text_or("call", "");
    Result<void> done = json.complain("unknown call");
    if (call.ok() && *call == "open") {
      done = open(problems, *request);
    } else if (call.ok() && *call == "add") {
      done = add_problem(problems, json, request->descriptors);
    } else if (call.ok() && *call == "serve" && request->descriptors.size() == 1) {
      auto control = Mapping::of(request->descriptors[0].get(), kControlBytes, true);
      if (control.ok()) {
        channel.close();
        serve_baseline(problems, *control);
      }
      done = control.error();
    }
    Json reply = done.ok() ? Json::object().set("value", true) : error_json(done.error());
    if (!channel.send(std::move(reply), std::chrono::seconds(10)).ok()) {
      return 0;
    }
  }
}

}  // namespace coppice::evaluators::cpu
