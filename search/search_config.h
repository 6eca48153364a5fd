// What the engine is given at its birth, and what it shows of itself.
#pragma once

#include "core/axis.h"
#include "core/edit.h"
#include "core/event.h"
#include "core/json.h"
#include "core/search_space.h"
#include "core/units.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coppice::search {

enum class Strategy {
  coppice,       // tree, world model, frontier, elites, adaptive mutators
  random,        // uniform over valid points
  hillclimb,     // first-improvement neighbours, restarts
  best_of_n,     // each template's default and n-1 random points, the best re-timed
  default_only,  // each template's default; spelled "default" in text
};
std::string_view to_text(Strategy strategy);
Result<Strategy> strategy(std::string_view text);

struct Budget {
  std::int64_t attempts = 0;  // 0 = no limit; promotion not counted
  Nanoseconds seconds{};      // 0 = no limit; of Tick::elapsed, with the next attempt in mind
  double money = 0.0;
};

// A language model beside the rules.
struct LlmOptions {
  bool on = false;
  int slots = 2;  // questions at once
  double share =
      0.25;         // of the attempts that its candidates may take; less when they bring nothing
  int repairs = 2;  // of one idea
  std::vector<std::string> actions = {"rewrite", "new_template", "crossover"};  // asked in turn
  // Attempts between two questions about the search itself, half as many while nothing gets
  // better; 0: none.
  int advise = 32;
};

struct SearchOptions {
  Strategy strategy = Strategy::coppice;
  Budget budget;
  int lanes = 1;       // attempts in flight at most
  int stagnation = 8;  // K attempts without improvement before a node is left
  int finalists = 3;   // re-timed at the end of the budget; 0 = none
  bool promote = true;
  bool world_model = true;  // ablation switches
  bool frontier = true;
  bool evolution = true;
  bool memory = true;
  bool tree = true;
  bool warm = true;  // use the warm-start data, where there is any
  LlmOptions llm;
};

struct EngineSetup {
  std::uint64_t seed = 0;
  SearchOptions options;
  SearchSpace templates;
  std::vector<std::string> precision_classes;  // first = headline
  // Stored-text candidates that the user wants to start from ("--seed-kernel").
  std::vector<CandidateSpec> seeds;
  std::vector<Json> warm;  // warm-start data: a planner::WarmSource each
};

Json to_json(const SearchOptions& options);
Result<SearchOptions> search_options(const JsonReader& json);

struct NodeView {
  NodeId id, parent;
  NodeKind kind = NodeKind::root;
  NodeState state = NodeState::open;
  std::string template_name, title, reason;
  ValueMap fixed;  // all fixed axes on the way from the root
  double priority = 0.0;
  std::optional<CandidateId> best;
  double best_log_cost = 0.0;
  std::int64_t attempts = 0, valid = 0;
  int stagnation = 0;
};

struct MutatorView {
  std::string name;
  std::int64_t tried = 0, valid = 0, improved = 0;
  double gain = 0.0;  // summed improvement in log cost
  double seconds = 0.0;
  double weight = 0.0;  // share of the next choices
};

// One line per (template, axis, level): the frontier.
struct FrontierEntry {
  std::string template_name, axis;
  AxisKind kind = AxisKind::other;
  Value level;
  std::string state;  // "tried", "untried", "infeasible", "dead"
  std::int64_t attempts = 0, valid = 0;
  std::optional<double> best_log_cost;
  double expected_gain = 0.0;
};

struct EngineView {
  std::int64_t attempts = 0, valid = 0, in_flight = 0;
  std::optional<CandidateId> best;  // headline precision class
  double best_log_cost = 0.0;
  std::map<std::string, CandidateId> best_by_precision;
  std::map<std::string, std::int64_t> rejected;  // failure class to count
  std::optional<Stopped> stopped;
  std::vector<NodeView> nodes() const;
  std::vector<MutatorView> mutators() const;
  std::vector<FrontierEntry> frontier() const;
  std::vector<CandidateId> elites() const;
  const void* state = nullptr;  // back-pointer for the four above; set by the engine
};

}  // namespace coppice::search
