// The agent's ends of its helper processes: judge, candidate launcher, baseline.
#pragma once

#include "evaluators/child.h"
#include "evaluators/compare.h"
#include "evaluators/cpu/candidate_process.h"
#include "evaluators/cpu/runner.h"
#include "evaluators/device_backend.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cpu {

// One output of one launch, as the judge saw it.
struct JudgedOutput {
  std::string name;
  FailureClass failure = FailureClass::none;
  double nrmse = 0.0, worst_row = 0.0, error = 0.0;
  std::string message;
};
struct Judgement {
  std::vector<JudgedOutput> outputs;
  double error() const;             // worst share of a limit
  const JudgedOutput* bad() const;  // the first that failed, or null
};

// Errors of all calls mean that the judge is lost or the contract is broken, never a candidate.
class JudgeClient {
 public:
  // Starts the process and opens the session with the compiled reference. Also gives the host
  // scalars of every workload.
  static Result<JudgeClient> start(const DeviceSession& session,
                                   const std::string& reference,
                                   std::map<std::string, ValueMap>& scalars);
  Result<void> attach_pool(const std::string& workload, std::uint64_t entries, int fd);
  Result<void> attach_outputs(const std::string& workload, std::uint64_t bytes, int fd);
  struct Drawn {
    double fill = 0.0, reference = 0.0;  // seconds
  };
  Result<Drawn> draw(const std::string& workload,
                     std::uint64_t entry,
                     const std::string& value_case,
                     std::uint64_t seed);
  struct Question {
    std::string workload;
    std::uint64_t entry = 0;
    std::uint64_t origin = 0;           // of the slot
    std::vector<std::uint64_t> places;  // of each output in the slot
    std::string precision;
    std::uint32_t poison = 0;
  };
  Result<Judgement> compare(const Question& question);

 private:
  Result<Message> call(Message request, Nanoseconds timeout);
  Child child_;
  Channel channel_;
};

// Starts candidate processes behind the walls.
class CandidateLauncher {
 public:
  static Result<CandidateLauncher> start();
  Isolation level() const { return level_; }
  struct Files {
    int inputs = -1, outputs = -1, workspace = -1, binary = -1;
  };
  // A candidate ready to be launched; `outcome` says what happened when there is none: the error's
  // code is io or busy then, and anything else is our own failure.
  Result<Runner> launch(const CandidateStart& start, const Files& files, Launch& outcome);

 private:
  Child child_;
  Channel channel_;
  Isolation level_ = Isolation::none;
};

// What a baseline process is started with.
struct BaselineStart {
  std::string binary;
  int threads = 1;
  std::map<std::string, std::string, std::less<>> environment;
  struct Place {
    std::string workload;
    Layout layout;
    std::uint64_t origin = 0;
    int inputs = -1, outputs = -1;
    ValueMap scalars;
  };
  std::vector<Place> workloads;  // launch with the index here
};
Result<Runner> start_baseline(const DeviceSession& session, const BaselineStart& start);

// Starts this program as a helper with a socket on descriptor 3.
Result<std::pair<Child, Channel>> start_helper(
    const std::string& name, const std::map<std::string, std::string, std::less<>>& environment);

}  // namespace coppice::evaluators::cpu
