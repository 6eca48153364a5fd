// The program's end of one device agent: start it, ask it, notice when it is lost.
#pragma once

#include "evaluators/agent_evaluator.h"
#include "evaluators/child.h"
#include "evaluators/device_backend.h"
#include "evaluators/wire.h"

namespace coppice::evaluators {

// Used by one thread at a time. After an error of code io, busy or corrupt the agent is gone.
class AgentClient {
 public:
  static Result<AgentClient> start(const std::string& backend,
                                   const std::vector<std::string>& launcher,
                                   const std::string& program,
                                   int device = 0,
                                   const std::vector<std::string>& hidden = {});
  Result<Json> probe();
  Result<void> open(const DeviceSession& session);
  Result<std::map<std::string, ValueMap>> host_scalars();
  Result<std::vector<BaselineFrozen>> freeze(std::stop_token stop);
  Result<void> adopt(const std::vector<BaselineFrozen>& frozen);
  Result<Evidence> evaluate(const DeviceTask& task, Nanoseconds deadline, std::stop_token stop);
  bool lost() const { return lost_; }

 private:
  Result<Message> ask(const Message& request, Nanoseconds timeout, const std::stop_token& stop);
  Child child_;
  Channel channel_;
  bool lost_ = false;
};

}  // namespace coppice::evaluators
