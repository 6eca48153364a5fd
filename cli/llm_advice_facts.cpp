// What a model is told when it is asked about the search itself, and what its answer may touch.
#include "cli/llm_facts.h"
#include "planner/warm_trust.h"
#include "search/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::cli {
namespace {

constexpr std::size_t kMostLines = 160;
constexpr std::int64_t kEnoughAttempts = 4;  // before a node of the rules may be given up
constexpr double kTooClose = 0.1;            // in log cost

std::string times_text(std::optional<double> log_cost) {
  return log_cost ? fmt::format("best {:.4g}x", std::exp(-*log_cost)) : std::string("none right");
}

double mean_error(const std::vector<double>& said, const std::vector<double>& measured) {
  double sum = 0.0;
  for (std::size_t i = 0; i < said.size(); ++i) {
    sum += std::fabs(said[i] - measured[i]);
  }
  return said.empty() ? 0.0 : sum / static_cast<double>(said.size());
}

}  // namespace

std::map<NodeId, LlmFacts::Tally> LlmFacts::tallies() const {
  std::map<NodeId, Tally> out;
  const auto fastest = best();
  for (const auto& [id, tried] : tried_) {
    const bool timed =
        tried.evidence && tried.evidence->verdict.valid && tried.evidence->performance;
    NodeId node = tried.proposal.node;
    while (nodes_.contains(node)) {
      Tally& tally = out[node];
      ++tally.attempts;
      tally.valid += timed ? 1 : 0;
      if (timed) {
        const double cost = tried.evidence->performance->log_cost;
        tally.best = std::min(tally.best.value_or(cost), cost);
      }
      tally.holds_best = tally.holds_best || fastest == id;
      node = nodes_.at(node).insert.parent;
    }
  }
  return out;
}

std::string LlmFacts::tree_text() const {
  const auto counted = tallies();
  std::string out = "node, under, state, kind: title (expected gain; attempts, best)\n";
  std::size_t lines = 0;
  for (const auto& [id, node] : nodes_) {
    if (++lines > kMostLines) {
      return out + fmt::format("and {} more\n", nodes_.size() - kMostLines);
    }
    const auto found = counted.find(id);
    const Tally tally = found == counted.end() ? Tally{} : found->second;
    out += fmt::format("{}, {}, {}, {}: {} ({:.3g}; {}, {})\n",
                       id.value,
                       node.insert.parent.value,
                       coppice::to_text(node.state),
                       coppice::to_text(node.insert.kind),
                       node.insert.title,
                       node.priority,
                       tally.attempts,
                       times_text(tally.best));
  }
  return out;
}

std::string LlmFacts::levels_text(const RunMaterial& material) const {
  std::map<std::string, std::map<std::string, std::map<std::string, Tally>>> counted;
  for (const auto& [id, tried] : tried_) {
    const CandidateSpec& spec = tried.proposal.spec;
    const TemplateSpace* space = material.space(spec.template_name);
    if (space == nullptr || spec.genome.levels.size() != space->space.size()) {
      continue;
    }
    const bool timed =
        tried.evidence && tried.evidence->verdict.valid && tried.evidence->performance;
    for (const auto& [axis, level] : space->space.values(spec.genome)) {
      Tally& tally = counted[space->name][axis][coppice::to_text(level)];
      ++tally.attempts;
      if (timed) {
        const double cost = tried.evidence->performance->log_cost;
        tally.best = std::min(tally.best.value_or(cost), cost);
      }
    }
  }
  std::string out;
  for (const auto& [name, axes] : counted) {
    out += name + "\n";
    for (const Axis& axis : material.space(name)->space.axes()) {
      out += "  " + axis.name + ":";
      for (const Value& level : axis.levels) {
        const std::string text = coppice::to_text(level);
        const auto& levels = axes.at(axis.name);
        const auto found = levels.find(text);
        out +=
            found == levels.end()
                ? fmt::format(" {} (untried)", text)
                : fmt::format(
                      " {} ({}, {})", text, found->second.attempts, times_text(found->second.best));
      }
      out += "\n";
    }
  }
  return out;
}

std::string LlmFacts::scores_text() const {
  std::vector<double> said, predicted, measured;
  for (const auto& [id, tried] : tried_) {
    const bool timed =
        tried.evidence && tried.evidence->verdict.valid && tried.evidence->performance;
    if (timed && tried.proposal.opinion && tried.proposal.prediction) {
      said.push_back(*tried.proposal.opinion);
      predicted.push_back(tried.proposal.prediction->log_cost);
      measured.push_back(tried.evidence->performance->log_cost);
    }
  }
  if (said.size() < 3) {
    return {};
  }
  return fmt::format(
      "Of {} results that your priors spoke of before they were measured: rank correlation {:.2f} "
      "(statistical model {:.2f}), mean error in ln(time) {:.3f} ({:.3f}); your priors are now "
      "trusted to {:.2f}\n",
      said.size(),
      planner::rank_correlation(said, measured),
      planner::rank_correlation(predicted, measured),
      mean_error(said, measured),
      mean_error(predicted, measured),
      search::advice_trust(said, measured));
}

void LlmFacts::advise_sections(const RunMaterial& material, PromptFacts& out) const {
  out["tree"] = tree_text();
  out["levels"] = levels_text(material);
  out["scores"] = scores_text();
  for (const std::string& reason : advice_refused_) {
    out["refused"] += "- " + reason + "\n";
  }
}

llm::ProposalScope LlmFacts::scope(const RunMaterial& material) const {
  llm::ProposalScope scope;
  const auto counted = tallies();
  const auto root = counted.find(NodeId{1});
  const std::optional<double> fastest = root == counted.end() ? std::nullopt : root->second.best;
  for (const auto& [id, facts] : nodes_) {
    llm::ProposalNode node{
        id, facts.insert.parent, facts.insert.kind, facts.state, facts.insert.template_name, {}};
    const auto found = counted.find(id);
    const Tally tally = found == counted.end() ? Tally{} : found->second;
    if (tally.holds_best) {
      node.keep = "the best so far hangs under it";
    } else if (node.kind != NodeKind::idea && tally.attempts < kEnoughAttempts) {
      node.keep = fmt::format("only {} attempts so far: too few to give it up", tally.attempts);
    } else if (tally.best && fastest && *tally.best < *fastest + kTooClose) {
      node.keep = fmt::format("its best is only {:.1f} % behind the best so far",
                              100.0 * (std::exp(*tally.best - *fastest) - 1.0));
    }
    scope.nodes.push_back(std::move(node));
    scope.next.value = std::max(scope.next.value, id.value + 1);
  }
  std::map<std::string, std::vector<Value>> axes;
  const auto add = [&axes](const TemplateSpace& space) {
    for (const Axis& axis : space.space.axes()) {
      std::vector<Value>& levels = axes[axis.name];
      for (const Value& level : axis.levels) {
        if (std::ranges::find(levels, level) == levels.end()) {
          levels.push_back(level);
        }
      }
    }
  };
  std::ranges::for_each(material.templates.spaces, add);
  for (const auto& [name, brought] : *material.grown) {
    add(brought.space);
  }
  scope.axes.assign(axes.begin(), axes.end());
  return scope;
}

}  // namespace coppice::cli
