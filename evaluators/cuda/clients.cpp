// Turns replies into values, and silence, death and sticky errors into failure classes.
#include "evaluators/cuda/clients.h"

#include "evaluators/cuda/wire.h"

namespace coppice::evaluators::cuda {
namespace {

constexpr Nanoseconds kJudgeDeadline = std::chrono::seconds(120);
constexpr Nanoseconds kSetupDeadline = std::chrono::seconds(60);

Error unreadable(const char* who) {
  return Error{ErrorCode::corrupt, std::string(who) + ": reply out of shape"};
}

// The payload behind the status byte, or the worker's own error text.
struct Answer {
  WorkerStatus status = WorkerStatus::failed;
  std::string payload, error;
};
Answer open_answer(const std::string& bytes) {
  Answer out;
  WireReader in(bytes);
  out.status = in.get<WorkerStatus>();
  if (!in.ok()) {
    out.status = WorkerStatus::failed;
    out.error = "empty reply";
  } else if (out.status == WorkerStatus::ok) {
    out.payload = bytes.substr(1);
  } else {
    out.error = in.text();
  }
  return out;
}

CandidateFailure failure_of(const WorkerReply& reply) {
  switch (reply.outcome) {
    case WorkerReply::Outcome::answered:
      return {};
    case WorkerReply::Outcome::timed_out:
      return {FailureClass::hang, reply.detail};
    case WorkerReply::Outcome::died:
      return {FailureClass::crash, "the candidate's process ended: " + reply.detail};
    case WorkerReply::Outcome::torn:
      return {FailureClass::sandbox_violation, reply.detail};
  }
  return {FailureClass::infrastructure, "unknown outcome"};
}

// One request of setting up, where any failure is ours.
Result<std::string> set_up(WorkerProcess& process, CandidateRequest request, std::string payload) {
  const WorkerReply reply =
      process.call(static_cast<std::uint32_t>(request), payload, kSetupDeadline);
  if (reply.outcome != WorkerReply::Outcome::answered) {
    return Error{ErrorCode::environment, "candidate process: " + reply.detail};
  }
  Answer answer = open_answer(reply.payload);
  if (answer.status != WorkerStatus::ok) {
    return Error{ErrorCode::environment, "candidate process: " + answer.error};
  }
  return std::move(answer.payload);
}

}  // namespace

Result<JudgeClient> JudgeClient::start(JudgeSetup setup, Nanoseconds deadline) {
  COPPICE_TRY(WorkerProcess process,
              WorkerProcess::start("coppice-judge", [&setup] { return make_judge(setup); }));
  JudgeClient out(std::move(process));
  const WorkerReply reply =
      out.process_.call(static_cast<std::uint32_t>(JudgeRequest::start), "", deadline);
  if (reply.outcome != WorkerReply::Outcome::answered) {
    return Error{ErrorCode::environment, "judge: " + reply.detail};
  }
  const Answer answer = open_answer(reply.payload);
  if (answer.status != WorkerStatus::ok) {
    return Error{ErrorCode::environment, "judge: " + answer.error};
  }
  WireReader in(answer.payload);
  COPPICE_TRY(out.facts_, Json::parse(in.text(), "judge"));
  out.start_seconds_ = in.get<double>();
  return out;
}

Result<std::string> JudgeClient::ask(JudgeRequest request, std::string payload) {
  const WorkerReply reply =
      process_.call(static_cast<std::uint32_t>(request), payload, kJudgeDeadline);
  if (reply.outcome != WorkerReply::Outcome::answered) {
    return Error{ErrorCode::environment, "judge lost: " + reply.detail};
  }
  Answer answer = open_answer(reply.payload);
  if (answer.status != WorkerStatus::ok) {
    return Error{ErrorCode::environment, "judge: " + answer.error};
  }
  return std::move(answer.payload);
}

Result<SharedRegions> JudgeClient::open(std::uint64_t workload) {
  COPPICE_TRY(const std::string reply, ask(JudgeRequest::open, WireWriter().put(workload).take()));
  WireReader in(reply);
  SharedRegions out;
  out.inputs = in.get<IpcHandle>();
  out.outputs = in.get<IpcHandle>();
  return in.ok() ? Result<SharedRegions>(out) : unreadable("judge");
}

Result<double> JudgeClient::draw(std::uint64_t workload,
                                 std::uint64_t set,
                                 std::uint64_t seed,
                                 const std::vector<DrawFill>& fills) {
  COPPICE_TRY(
      const std::string reply,
      ask(JudgeRequest::draw, WireWriter().put(workload).put(set).put(seed).list(fills).take()));
  return WireReader(reply).get<double>();
}

Result<double> JudgeClient::expect(std::uint64_t workload, std::uint64_t set) {
  COPPICE_TRY(const std::string reply,
              ask(JudgeRequest::expect, WireWriter().put(workload).put(set).take()));
  return WireReader(reply).get<double>();
}

Result<std::string> JudgeClient::read(std::uint64_t workload,
                                      std::uint64_t set,
                                      const std::string& tensor,
                                      bool expected) {
  COPPICE_TRY(const std::string reply,
              ask(JudgeRequest::read,
                  WireWriter()
                      .put(workload)
                      .put(set)
                      .text(tensor)
                      .put<std::uint8_t>(expected ? 1 : 0)
                      .take()));
  WireReader in(reply);
  std::string out = in.text();
  return in.ok() ? Result<std::string>(std::move(out)) : unreadable("judge");
}

Result<void> JudgeClient::write(std::uint64_t workload,
                                std::uint64_t set,
                                const std::string& tensor,
                                const std::string& bytes) {
  COPPICE_TRY([[maybe_unused]] const std::string reply,
              ask(JudgeRequest::write,
                  WireWriter().put(workload).put(set).text(tensor).text(bytes).take()));
  return {};
}

Result<IpcHandle> JudgeClient::workspace(std::uint64_t slot, std::uint64_t bytes) {
  COPPICE_TRY(const std::string reply,
              ask(JudgeRequest::workspace, WireWriter().put(slot).put(bytes).take()));
  return WireReader(reply).get<IpcHandle>();
}

Result<void> JudgeClient::arm(std::uint64_t workload) {
  COPPICE_TRY([[maybe_unused]] const std::string reply,
              ask(JudgeRequest::arm, WireWriter().put(workload).take()));
  return {};
}

Result<SlotCheck> JudgeClient::check(std::uint64_t workload,
                                     const std::vector<std::uint32_t>& sets,
                                     const std::vector<DeviceTolerance>& limits) {
  COPPICE_TRY(const std::string reply,
              ask(JudgeRequest::check, WireWriter().put(workload).list(sets).list(limits).take()));
  WireReader in(reply);
  SlotCheck out;
  out.results = in.list<DeviceComparison>();
  out.damaged_guards = in.get<std::uint64_t>();
  return in.ok() ? Result<SlotCheck>(std::move(out)) : unreadable("judge");
}

Result<StateCheck> JudgeClient::verify(std::uint64_t workload,
                                       std::uint64_t slot,
                                       const std::vector<GuardRange>& workspace_guards) {
  COPPICE_TRY(const std::string reply,
              ask(JudgeRequest::verify,
                  WireWriter().put(workload).put(slot).list(workspace_guards).take()));
  WireReader in(reply);
  StateCheck out;
  out.changed_inputs = in.get<std::uint64_t>();
  out.input_guards = in.get<std::uint64_t>();
  out.workspace_guards = in.get<std::uint64_t>();
  return in.ok() ? Result<StateCheck>(out) : unreadable("judge");
}

Result<std::uint64_t> JudgeClient::canary() {
  COPPICE_TRY(const std::string reply, ask(JudgeRequest::canary, ""));
  return WireReader(reply).get<std::uint64_t>();
}

Result<double> JudgeClient::stream(std::uint64_t bytes) {
  COPPICE_TRY(const std::string reply, ask(JudgeRequest::stream, WireWriter().put(bytes).take()));
  return WireReader(reply).get<double>();
}

Result<void> JudgeClient::close(std::uint64_t workload) {
  COPPICE_TRY([[maybe_unused]] const std::string reply,
              ask(JudgeRequest::close, WireWriter().put(workload).take()));
  return {};
}

Result<CandidateClient> CandidateClient::start(const CandidateSetup& setup, Nanoseconds deadline) {
  COPPICE_TRY(WorkerProcess process,
              WorkerProcess::start("coppice-cand", [&setup] { return make_candidate(setup); }));
  CandidateClient out(std::move(process));
  const WorkerReply reply =
      out.process_.call(static_cast<std::uint32_t>(CandidateRequest::start), "", deadline);
  const Answer answer = open_answer(reply.payload);
  if (reply.outcome != WorkerReply::Outcome::answered || answer.status != WorkerStatus::ok) {
    return Error{ErrorCode::environment,
                 "candidate process: " + (reply.detail.empty() ? answer.error : reply.detail)};
  }
  WireReader in(answer.payload);
  in.text();
  out.start_seconds_ = in.get<double>();
  return out;
}

Result<double> CandidateClient::attach(std::uint64_t workload, const SharedRegions& regions) {
  COPPICE_TRY(const std::string reply,
              set_up(process_,
                     CandidateRequest::attach,
                     WireWriter().put(workload).put(regions.inputs).put(regions.outputs).take()));
  return WireReader(reply).get<double>();
}

Result<void> CandidateClient::workspace(const IpcHandle& handle) {
  COPPICE_TRY([[maybe_unused]] const std::string reply,
              set_up(process_, CandidateRequest::workspace, WireWriter().put(handle).take()));
  return {};
}

Result<CandidateClient::Loaded> CandidateClient::load(const std::vector<std::string>& binaries,
                                                      const std::vector<PlanToLoad>& plans) {
  WireWriter request;
  request.put<std::uint64_t>(binaries.size());
  for (const std::string& binary : binaries) {
    request.text(binary);
  }
  request.put<std::uint64_t>(plans.size());
  for (const PlanToLoad& plan : plans) {
    request.put(plan.workload).text(to_json(plan.plan).dump()).put(plan.binary);
  }
  const WorkerReply reply = process_.call(
      static_cast<std::uint32_t>(CandidateRequest::load), request.take(), kSetupDeadline);
  Loaded out;
  out.failure = failure_of(reply);
  if (out.failure.failure != FailureClass::none) {
    return out;
  }
  const Answer answer = open_answer(reply.payload);
  if (answer.status != WorkerStatus::ok) {
    out.failure = {
        answer.status == WorkerStatus::sticky ? FailureClass::crash : FailureClass::plan_invalid,
        answer.error};
    return out;
  }
  WireReader in(answer.payload);
  out.seconds = in.get<double>();
  out.resources = in.text();
  return in.ok() ? Result<Loaded>(std::move(out)) : unreadable("candidate process");
}

Result<RunResult> CandidateClient::run(std::uint64_t workload,
                                       const RunOptions& options,
                                       const std::vector<RunItem>& items,
                                       Nanoseconds deadline) {
  const WorkerReply reply =
      process_.call(static_cast<std::uint32_t>(CandidateRequest::run),
                    WireWriter().put(workload).put(options).list(items).take(),
                    deadline);
  RunResult out;
  out.failure = failure_of(reply);
  if (out.failure.failure != FailureClass::none) {
    return out;
  }
  const Answer answer = open_answer(reply.payload);
  if (answer.status != WorkerStatus::ok) {
    out.failure = {
        answer.status == WorkerStatus::sticky ? FailureClass::crash : FailureClass::plan_invalid,
        answer.error};
    return out;
  }
  WireReader in(answer.payload);
  out.reply = in.get<RunReply>();
  out.microseconds = in.list<float>();
  if (!in.ok()) {
    return unreadable("candidate process");
  }
  if (out.reply.status != 0) {
    out.failure = {FailureClass::crash, in.text()};
  } else if (out.microseconds.size() != items.size()) {
    return unreadable("candidate process");
  }
  return out;
}

Result<std::string> CandidateClient::tighten() {
  COPPICE_TRY(const std::string reply, set_up(process_, CandidateRequest::tighten, ""));
  return WireReader(reply).text();
}

Result<std::string> CandidateClient::open_profiler(const std::string& trusted_cubin) {
  COPPICE_TRY(
      const std::string reply,
      set_up(process_, CandidateRequest::profiler, WireWriter().text(trusted_cubin).take()));
  return WireReader(reply).text();
}

Result<WorkloadCounters> CandidateClient::count(std::uint64_t workload,
                                                RunItem item,
                                                Nanoseconds deadline) {
  const WorkerReply reply = process_.call(static_cast<std::uint32_t>(CandidateRequest::count),
                                          WireWriter().put(workload).put(item).take(),
                                          deadline);
  const Answer answer = open_answer(reply.payload);
  if (reply.outcome != WorkerReply::Outcome::answered || answer.status != WorkerStatus::ok) {
    return Error{ErrorCode::environment, reply.detail.empty() ? answer.error : reply.detail};
  }
  COPPICE_TRY(const Json json, Json::parse(WireReader(answer.payload).text(), "counters"));
  return workload_counters(json.reader("counters"));
}

}  // namespace coppice::evaluators::cuda
