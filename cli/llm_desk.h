// LlmDesk: sends the engine's questions to language models on threads of its own and turns their
// answers into events.
#pragma once

#include "cli/llm_facts.h"
#include "cli/llm_setup.h"
#include "cli/run_material.h"
#include "cli/run_recorder.h"
#include "cli/work_queue.h"
#include "core/clock.h"
#include "llm/ensemble.h"
#include "llm/gateway.h"
#include "llm/prompt.h"

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace coppice::cli {

// Used by the run's main thread; its own threads only wait for answers.
class LlmDesk {
 public:
  struct Parts {
    const RunMaterial& material;  // new stored texts go into material.stored
    const Clock& clock;
    llm::Spent spent;                         // by earlier sessions
    std::shared_ptr<llm::Cassette> cassette;  // may be null
    llm::Environment environment;
    llm::PromptSet prompts = llm::PromptSet::shipped();
  };
  // Errors: a provider that can't be opened (a key that is missing).
  static Result<std::unique_ptr<LlmDesk>> open(Parts parts);
  ~LlmDesk();
  LlmDesk(const LlmDesk&) = delete;
  LlmDesk& operator=(const LlmDesk&) = delete;

  // Every event of the run, in order: what prompts know, and what models are credited with. A
  // question is written down with it, and sent after the next commit.
  Result<void> hear(const Event& event, RunRecorder& recorder);
  // The same for events of earlier sessions: nothing is asked.
  void remember(const Event& event);
  // The next answer that has come, its texts kept in the log; to be recorded by the caller.
  Result<std::optional<LlmReplied>> answer(RunRecorder& recorder);
  // For recorded evidence: from here on questions are asked at this time, and answers come in the
  // order in which their recorded latencies end.
  void set_recorded_time(Nanoseconds now);
  // Every question that is out has its answer here.
  bool complete();
  // When the first of those answers comes; nothing: there is none.
  std::optional<Nanoseconds> next_end() const;
  bool waiting() const { return !open_.empty() || !ready_.empty(); }
  // Gives up what is under way; answers still come, as cancelled ones.
  void stop();
  Json report() const;  // one row a model

 private:
  struct Question {
    LlmAsked asked;
    llm::Call call;
    std::size_t model = 0;
    Digest prompt;
    Nanoseconds asked_at{};  // recorded time
  };
  struct Answer {
    LlmRequestId request;
    llm::Exchange exchange;
  };
  explicit LlmDesk(Parts parts);
  void collect();
  Nanoseconds end_of(const Answer& answer) const;
  std::optional<Answer> next_arrived();
  Result<void> open_gateways();
  Result<void> ask(const LlmAsked& asked, RunRecorder& recorder);
  void credit(const Evidence& evidence);
  void work(const std::stop_token& stop);
  LlmReplied refused(const LlmAsked& asked, std::string message, bool gone) const;
  Result<void> read_idea(const Question& question,
                         const llm::Reply& reply,
                         LlmReplied& out,
                         RunRecorder& recorder);
  Result<void> read_advice(const llm::Reply& reply, LlmReplied& out) const;
  Result<void> read(const Question& question,
                    const llm::Reply& reply,
                    const llm::Credit& cost,
                    LlmReplied& out,
                    RunRecorder& recorder);
  bool all_gone(llm::FailureKind kind) const;

  Parts parts_;
  const LlmSetup setup_;
  llm::Ledger ledger_;
  llm::RealWaiter waiter_;
  LlmFacts facts_;
  std::vector<std::unique_ptr<llm::Gateway>> gateways_;
  std::optional<llm::Ensemble> ensemble_;
  std::map<LlmRequestId, Question> open_;
  std::vector<Answer> arrived_;  // in the order of their coming
  std::optional<Nanoseconds> recorded_now_;
  std::vector<LlmReplied> ready_;            // answers that needed no model
  std::map<Digest, std::uint64_t> samples_;  // how often the same was asked
  struct Owed {
    std::size_t model = 0;
    llm::Credit cost;
  };
  std::map<std::string, Owed> owed_;  // spec to the model that proposed it
  std::map<CandidateId, Owed> candidates_;
  std::optional<double> best_;
  WorkQueue<std::pair<LlmRequestId, std::pair<std::size_t, llm::Call>>> to_ask_;
  WorkQueue<Answer> answers_;
  std::stop_source stop_;
  std::vector<std::jthread> threads_;  // end before all else does
};

}  // namespace coppice::cli
