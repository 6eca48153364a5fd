// Writes the facts of a run down for a model: only what decides, in few words.
#include "cli/llm_facts.h"

#include "cli/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace coppice::cli {
namespace {

constexpr std::size_t kMostTried = 40;  // ideas of models, and as many of the rules' best
constexpr std::size_t kMostLost = 8;
constexpr std::size_t kMostDead = 12;   // nodes that were given up
constexpr std::size_t kMostLog = 6000;  // bytes of a compiler's words

std::string contract_text(const RunMaterial& material) {
  const Op& op = material.op;
  const auto contract = op.files.find("op.json");
  std::string out = op.name + "\n";
  out += contract == op.files.end() ? std::string() : contract->second;
  if (!out.ends_with('\n')) {
    out += '\n';
  }
  const auto suite = op.files.find("suites/" + material.config.suite + ".json");
  if (suite != op.files.end()) {
    out += "\nThe shapes that are timed (workloads) and those that must only be right (hidden):\n";
    out += suite->second;
  }
  out += "\nThe headline's precision class: " +
         (material.classes.empty() ? std::string("the only one") : material.classes.front()) + "\n";
  const auto reference = op.files.find("reference.cpp");
  if (reference != op.files.end()) {
    out += "\nThe reference in fp64 (for clarity, not speed):\n" + reference->second;
  }
  return out;
}

std::string target_text(const Target& target) {
  std::string out = "target " + target.name + " (" + target.backend + ")\n";
  for (const auto& [name, value] : target.facts) {
    out += fmt::format("target.{} = {}\n", name, to_text(value));
  }
  for (const std::string& feature : target.features) {
    out += "feature " + feature + "\n";
  }
  for (const HardRule& rule : target.rules) {
    out += "rule " + rule.name + ": " + rule.holds.text() + "\n";
  }
  return out;
}

std::string header_text(const RunMaterial& material) {
  const std::string name =
      material.config.backend == "cuda" ? "include/coppice_cuda.cuh" : "include/coppice_cpu.h";
  const auto header = material.op.files.find(name);
  std::string out = header == material.op.files.end() ? std::string() : header->second;
  for (const auto& [path, text] : material.op.files) {
    if (path.starts_with("include/") && !path.starts_with("include/coppice_")) {
      out += "\n// ---- " + path.substr(8) + "\n" + text;
    }
  }
  return out;
}

std::string recipe_text(const KernelText& kernel) {
  std::string out = kernel.recipe;
  if (!kernel.levels.empty()) {
    out += "\nIts values here:";
    for (const auto& [name, value] : kernel.levels) {
      out += fmt::format(" {}={}", name, to_text(value));
    }
    out += "\n";
  }
  return out;
}

// The lines of a compiler that name an error or a warning, with the line behind each.
std::string decisive_lines(const std::string& log) {
  std::string out;
  int follow = 0;
  for (std::size_t at = 0; at < log.size() && out.size() < kMostLog;) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, end - at);
    at = end + 1;
    if (line.find("error") != std::string::npos || line.find("warning") != std::string::npos) {
      follow = 3;
    }
    if (follow > 0) {
      out += line + "\n";
      --follow;
    }
  }
  return out.empty() ? log.substr(0, kMostLog) : out;
}

}  // namespace

std::string library_text(const Op& op, std::string_view backend) {
  const std::string templates = fmt::format("templates/{}/", backend);
  const std::string shown = backend == "cuda" ? "coppice_cuda.cuh" : "coppice_cpu.h";
  std::vector<std::string> to_read;
  for (const auto& [path, text] : op.files) {
    if (path.starts_with(templates)) {
      to_read.push_back(text);
    }
  }
  std::set<std::string, std::less<>> found;
  while (!to_read.empty()) {
    const std::string text = std::move(to_read.back());
    to_read.pop_back();
    for (const auto& [path, header] : op.files) {
      if (path.starts_with("include/") &&
          text.find("#include \"" + path.substr(8) + "\"") != std::string::npos &&
          found.insert(path).second) {
        to_read.push_back(header);
      }
    }
  }
  std::string out;
  for (const std::string& path : found) {
    if (path.starts_with("include/coppice_") && !path.ends_with(shown)) {
      out += "// ---- " + path.substr(8) + "\n" + op.files.find(path)->second + "\n";
    }
  }
  return out;
}

void LlmFacts::proposed(const Proposed& proposal) {
  if (proposal.fidelity == Fidelity::search) {
    tried_[proposal.candidate].proposal = proposal;
  }
}

void LlmFacts::evaluated(const Evidence& evidence) {
  const auto found = tried_.find(evidence.candidate);
  const bool ours = evidence.verdict.failure != FailureClass::infrastructure;
  if (found != tried_.end() && found->second.evidence && evidence.counters) {
    found->second.evidence->counters = evidence.counters;  // only finalists have them
  }
  if (evidence.fidelity == Fidelity::search && found != tried_.end() && ours) {
    found->second.evidence = evidence;
    found->second.evidence->environment = Json();
  }
}

void LlmFacts::edited(const Edit& edit) {
  if (const auto* insert = std::get_if<Insert>(&edit)) {
    nodes_[insert->node] = {*insert, NodeState::open, insert->priority, {}};
  } else if (const auto* update = std::get_if<Update>(&edit)) {
    NodeFacts& node = nodes_[update->node];
    node.state = update->state.value_or(node.state);
    node.priority = update->priority.value_or(node.priority);
  } else {
    // Children have higher ids than their parents.
    const Prune& prune = std::get<Prune>(edit);
    nodes_[prune.node].state = NodeState::pruned;
    nodes_[prune.node].given_up = prune.reason;
    for (auto& [id, node] : nodes_) {
      const auto parent = nodes_.find(node.insert.parent);
      if (parent != nodes_.end() && parent->second.state == NodeState::pruned) {
        node.state = NodeState::pruned;
      }
    }
  }
}

void LlmFacts::replied(const LlmReplied& reply) {
  if (advice_asked_.contains(reply.request)) {
    advice_refused_ = reply.refused;
    if (reply.failed) {
      advice_refused_.push_back(reply.message);
    }
    return;
  }
  if (reply.failed && !reply.gone) {
    lost_.push_back(reply.message);
  }
}

void LlmFacts::take(const Event& event) {
  if (const auto* proposal = std::get_if<Proposed>(&event)) {
    proposed(*proposal);
  } else if (const auto* result = std::get_if<Evaluated>(&event)) {
    evaluated(result->evidence);
  } else if (const auto* edit = std::get_if<EditApplied>(&event)) {
    edited(edit->edit);
  } else if (const auto* asked = std::get_if<LlmAsked>(&event)) {
    if (asked->action == "advise") {
      advice_asked_.insert(asked->request);
    }
  } else if (const auto* reply = std::get_if<LlmReplied>(&event)) {
    replied(*reply);
  }
}

Result<CandidateSpec> LlmFacts::spec(CandidateId candidate) const {
  const auto found = tried_.find(candidate);
  if (found == tried_.end()) {
    return Error{ErrorCode::missing, fmt::format("no candidate {} was tried", candidate.value)};
  }
  return found->second.proposal.spec;
}

std::optional<CandidateId> LlmFacts::best() const {
  std::optional<CandidateId> best;
  double cost = 0.0;
  for (const auto& [id, tried] : tried_) {
    if (tried.evidence && tried.evidence->verdict.valid && tried.evidence->performance &&
        (!best || tried.evidence->performance->log_cost < cost)) {
      best = id;
      cost = tried.evidence->performance->log_cost;
    }
  }
  return best;
}

std::string LlmFacts::outcome(const Tried& tried) const {
  if (!tried.evidence) {
    return "not judged yet";
  }
  const Verdict& verdict = tried.evidence->verdict;
  if (!verdict.valid) {
    return fmt::format("failed at {}: {}: {}",
                       to_text(verdict.gate),
                       to_text(verdict.failure),
                       verdict.message.substr(0, verdict.message.find('\n')));
  }
  return tried.evidence->performance ? fmt::format("right, {:.4g} times the baseline's speed",
                                                   std::exp(-tried.evidence->performance->log_cost))
                                     : std::string("right");
}

// Ideas of models first, newest first; then the best of the rules.
std::string LlmFacts::tried_text() const {
  std::string out;
  std::size_t shown = 0;
  std::vector<const Tried*> rules;
  for (auto it = tried_.rbegin(); it != tried_.rend(); ++it) {
    const Tried& tried = it->second;
    if (tried.proposal.spec.template_name.empty() && shown < kMostTried) {
      out += fmt::format(
          "- {} ({}): {}\n", tried.proposal.why, tried.proposal.mutator, outcome(tried));
      ++shown;
    } else if (tried.evidence && tried.evidence->verdict.valid && tried.evidence->performance) {
      rules.push_back(&tried);
    }
  }
  for (std::size_t i = 0; i < std::min(lost_.size(), kMostLost); ++i) {
    out += "- a reply that could not be used: " + lost_[lost_.size() - 1 - i] + "\n";
  }
  std::size_t dead = 0;
  for (auto it = nodes_.rbegin(); it != nodes_.rend() && dead < kMostDead; ++it) {
    const NodeFacts& node = it->second;
    if (node.state == NodeState::pruned && !node.given_up.empty()) {
      out += fmt::format(
          "- given up: {} ({}): {}\n", node.insert.title, node.insert.template_name, node.given_up);
      ++dead;
    }
  }
  std::ranges::stable_sort(
      rules, {}, [](const Tried* tried) { return tried->evidence->performance->log_cost; });
  rules.resize(std::min<std::size_t>(rules.size(), 6));
  for (const Tried* tried : rules) {
    out += fmt::format("- by rules: candidate {} of template {}: {}\n",
                       tried->proposal.candidate.value,
                       tried->proposal.spec.template_name,
                       outcome(*tried));
  }
  return out;
}

std::string LlmFacts::evidence_text(const Tried& tried) const {
  std::string out = outcome(tried) + "\n";
  if (!tried.evidence) {
    return out;
  }
  const Evidence& evidence = *tried.evidence;
  if (!evidence.verdict.valid) {
    out += evidence.verdict.message + "\n";
    if (!evidence.validation.is_null()) {
      out += evidence.validation.dump().substr(0, 1500) + "\n";
    }
  } else if (evidence.performance) {
    for (const WorkloadTiming& row : evidence.performance->workloads) {
      out += fmt::format("{}: {} (baseline {}, floor of the memory and compute roofline {})\n",
                         row.workload,
                         time_text(row.median),
                         time_text(row.baseline_median),
                         row.floor.count() > 0 ? time_text(row.floor) : "unknown");
    }
  }
  if (evidence.counters) {
    for (const WorkloadCounters& one : evidence.counters->workloads) {
      out += "hardware counters of " + one.workload + ": " + text_of(one) + "\n";
    }
  }
  if (!evidence.resources.is_null()) {
    out += "resources: " + evidence.resources.dump().substr(0, 1000) + "\n";
  }
  return out;
}

Result<PromptFacts> LlmFacts::sections(const RunMaterial& material, const LlmAsked& ask) const {
  if (ask.parents.empty() || !tried_.contains(ask.parents.front())) {
    return Error{ErrorCode::missing, "the request names no candidate that was tried"};
  }
  const Tried& parent = tried_.at(ask.parents.front());
  COPPICE_TRY(const KernelText kernel, kernel_text(material, parent.proposal.spec));
  PromptFacts out;
  out["contract"] = contract_text(material);
  out["target"] = target_text(material.target);
  out["header"] = header_text(material);
  out["library"] = library_text(material.op, material.config.backend);
  out["parent"] = kernel.source;
  out["recipe"] = recipe_text(kernel);
  out["evidence"] = evidence_text(parent);
  out["tried"] = tried_text();
  if (ask.action == "advise") {
    advise_sections(material, out);
    return out;
  }
  if (ask.action != "repair") {
    out["levels"] = levels_text(material);
  }
  if (ask.action == "port" && material.llm && !material.llm->ports.empty()) {
    const std::vector<LlmPort>& ports = material.llm->ports;
    const LlmPort& port = ports[ask.request.value % ports.size()];
    out["foreign"] = port.name + "\n" + port.text;
  }
  if (ask.parents.size() > 1) {
    COPPICE_TRY(const CandidateSpec other, spec(ask.parents[1]));
    COPPICE_TRY(const KernelText second, kernel_text(material, other));
    out["second"] = second.source + "\n" + recipe_text(second);
  }
  if (parent.evidence) {
    const auto log = parent.evidence->artifacts.reader("artifacts").find("compiler_log");
    if (log && log->is_string() && !parent.evidence->verdict.valid) {
      out["log"] = decisive_lines(log->text().value());
    }
  }
  const auto best_id = best();
  if (best_id && *best_id != ask.parents.front()) {
    out["best"] = fmt::format("candidate {}: {}\n", best_id->value, outcome(tried_.at(*best_id)));
  }
  const auto node = nodes_.find(ask.node);
  // Of a repair, and of an idea that nobody has written yet.
  const bool written = std::ranges::any_of(
      tried_, [&](const auto& tried) { return tried.second.proposal.node == ask.node; });
  if (node != nodes_.end() && node->second.insert.kind == NodeKind::idea &&
      (ask.action == "repair" || !written)) {
    out["idea"] = node->second.insert.title + "\n" + node->second.insert.text;
  }
  return out;
}

Result<LlmAsked> LlmFacts::would_ask(NodeId node) const {
  LlmAsked ask;
  ask.node = node;
  ask.action = "rewrite";
  const Tried* last = nullptr;
  const Tried* fastest = nullptr;
  for (const auto& [id, tried] : tried_) {
    if (tried.proposal.node != node) {
      continue;
    }
    last = &tried;
    const bool timed =
        tried.evidence && tried.evidence->verdict.valid && tried.evidence->performance;
    if (timed && (fastest == nullptr || tried.evidence->performance->log_cost <
                                            fastest->evidence->performance->log_cost)) {
      fastest = &tried;
    }
  }
  if (last != nullptr && fastest == nullptr && last->evidence) {
    ask.action = "repair";
    ask.parents = {last->proposal.candidate};
  } else if (fastest != nullptr) {
    ask.parents = {fastest->proposal.candidate};
  } else if (const auto best_id = best()) {
    ask.parents = {*best_id};
  } else {
    return Error{ErrorCode::missing,
                 "no candidate passed the gates yet: there is nothing to ask about"};
  }
  return ask;
}

}  // namespace coppice::cli
