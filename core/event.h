// Event: one line of the experiment log; inputs from the world and the engine's decisions about
// them.
#pragma once

#include "core/candidate.h"
#include "core/digest.h"
#include "core/edit.h"
#include "core/evidence.h"
#include "core/ids.h"
#include "core/json.h"
#include "core/units.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace coppice {

// ---- Inputs: what the world told the engine. Replay feeds exactly these to a fresh engine. ----

// First event of a run. Everything that decisions depend on is here or in the blobs it names.
struct RunStarted {
  int decision_version = 0;  // of the engine that decided; others fold, they do not re-decide
  std::string run;           // name, unique in the archive
  std::uint64_t seed = 0;
  Digest config;             // blob: the run configuration, canonical JSON
  Digest op;                 // blob: {relative path: digest} of the op folder's files
  Digest target;             // blob: Target as used
  std::vector<Digest> warm;  // blobs: warm-start data, in order
  // Blob: {file: digest} of the texts that prompts were made from; only where a model is asked.
  std::optional<Digest> prompts;
  Json environment;  // host, device, versions: for people
  // Names of the tasks that share this run's budget; each has a log of its own. Empty: the run
  // searches by itself, as nearly all do. With tasks, `op` is a blob of run_started events, one a
  // line and task, `target` is not used, and the decision version is the allocator's.
  std::vector<std::string> tasks;
};

// A baseline was timed and is now fixed for the run.
struct BaselineFrozen {
  std::string workload;
  std::string name;  // "openblas:haswell:threads=2"
  Nanoseconds median{};
  bool chosen = false;  // the fastest plain-layout one: the bar
  bool prepacked = false;
  Json details;
};

// A free lane asked for work.
struct WorkRequested {
  int lane = 0;
};

// A result arrived.
struct Evaluated {
  Evidence evidence;
};

// Time passed; `elapsed` since the run's start, over all its sessions. Budgets in seconds read this
// alone.
struct Tick {
  Nanoseconds elapsed{};
};

enum class StopReason { budget_attempts, budget_seconds, budget_money, exhausted, user, failed };
std::string_view to_text(StopReason reason);
Result<StopReason> stop_reason(std::string_view text);

// A decision: the run is over.
struct Stopped {
  StopReason reason = StopReason::exhausted;
  std::string message;
};

// The user or a limit outside the engine wants the run to end.
struct StopRequested {
  std::string reason;
  // Given: it is the search that ends, as if the run's own budget were spent; its finalists are
  // still timed again and promoted.
  std::optional<StopReason> spent;
};

// A task of a shared run has had its turn; what it came to, with its log's head at that moment.
struct SliceEnded {
  std::string task;
  std::int64_t attempts = 0, valid = 0;  // of this turn
  Nanoseconds took{};                    // all that the turn cost on the clock
  std::optional<double> best_log_cost;   // of the task so far, headline class
  std::optional<Stopped> stopped;        // the task's own search has ended
  std::string failed;                    // why the turn was cut off; empty: it was not
  std::uint64_t events = 0;              // of the task's log
  Digest head;                           // their chain
};

// The run goes on after an interruption; attempts in flight at that moment are lost and named.
struct Resumed {
  std::vector<AttemptId> lost;
  std::string environment;
};

// ---- Decisions: what the engine concluded. Replay compares these byte for byte. ----

struct Prediction {
  double log_cost = 0.0;  // mean of the predicted Performance::log_cost
  double spread = 0.0;    // standard deviation; 0 = no model yet
  double p_valid = 1.0;
  double gain = 0.0;  // expected improvement over the best
  double cost_seconds = 0.0;
};

// Evaluate this candidate.
struct Proposed {
  AttemptId attempt;
  CandidateId candidate;
  int lane = 0;
  NodeId node;
  CandidateSpec spec;
  std::vector<CandidateId> parents;
  std::string
      mutator;  // "axis_step", "jump", "crossover", "structural_switch", "repair", "seed", ...
  Fidelity fidelity = Fidelity::search;
  std::optional<Prediction> prediction;  // written before the measurement
  std::optional<double> opinion;         // the log_cost that a language model's advice expects
  std::string why;                       // one line for a person
};

struct EditApplied {
  Edit edit;
};

// An LLM mutator asks; the shell writes the prompt and sends it.
struct LlmAsked {
  LlmRequestId request;
  NodeId node;                       // under which the answer belongs
  std::string action;                // "rewrite", "repair", ..., "advise"
  std::vector<CandidateId> parents;  // whose code is shown, the first one to be changed
  std::string why;
};

// Code that a model proposed, as stored text.
struct LlmIdea {
  std::string title, text;  // in words
  CandidateSpec spec;
  std::vector<Genome> variants;  // other levels of the axes that it declared, worth trying too
  // Its axes and restrictions, as a TemplateSpace: once a first version is right it may become a
  // template of the run under this space's name. Null: nothing to tune.
  Json space;
};

// A model's belief about one level of an axis, in whatever template has it.
struct LlmPrior {
  std::string axis;
  Value level;
  double gain = 0.0;        // expected, in ln(time), against the best so far
  double confidence = 0.0;  // 0 to 1
};

// What a model says about the search itself: edits that are sound in this order, and beliefs.
struct LlmAdvice {
  std::vector<Edit> edits;
  std::vector<LlmPrior> priors;
};

struct LlmReplied {  // input
  LlmRequestId request;
  Digest prompt;  // blobs
  Digest reply;
  bool failed = false;  // no idea came of it
  std::string message;  // why
  Cost cost;
  std::string model;  // that answered
  std::int64_t tokens_in = 0, tokens_out = 0, tokens_cached = 0;
  bool gone = false;                 // there is no use in asking again in this run
  std::vector<std::string> refused;  // parts of the reply that were not taken, and why
  std::optional<LlmIdea> idea;
  std::optional<LlmAdvice> advice;
};

Json to_json(const LlmIdea& idea);
Result<LlmIdea> llm_idea(const JsonReader& json);
Json to_json(const LlmAdvice& advice);
Result<LlmAdvice> llm_advice(const JsonReader& json);

// The run's answer for one precision class: passed promotion.
struct Promoted {
  CandidateId candidate;
  AttemptId attempt;
  std::string precision;
};

// There is nothing to do for this lane until another result arrives.
struct Idle {
  int lane = 0;
};

// The next turn of a shared run belongs to this task.
struct Allocated {
  std::string task;
  std::int64_t attempts = 0;  // at most so many; 0 = no limit
  Nanoseconds seconds{};      // at most so long; 0 = no limit
  bool last = false;          // the shared budget is spent: finalists and promotion
  std::string why;            // one line for a person
};

using Event = std::variant<RunStarted,
                           BaselineFrozen,
                           WorkRequested,
                           Evaluated,
                           Tick,
                           StopRequested,
                           Resumed,
                           LlmReplied,
                           SliceEnded,  // inputs
                           Proposed,
                           EditApplied,
                           LlmAsked,
                           Stopped,
                           Promoted,
                           Idle,
                           Allocated>;  // decisions

Json to_json(const CandidateSpec& spec);
Result<CandidateSpec> candidate_spec(const JsonReader& json);

bool is_input(const Event& event);
std::string_view kind_of(const Event& event);  // "run_started", "proposed", ...
// Canonical bytes: one line of JSON, members sorted, numbers in shortest round-trip form, "v":1
// inside.
std::string encode(const Event& event);
Result<Event> decode(std::string_view bytes);

}  // namespace coppice
