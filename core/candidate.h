// Candidate: one concrete implementation; source, plan, and how it came to be.
#pragma once

#include "core/axis.h"
#include "core/digest.h"
#include "core/ids.h"
#include "core/plan.h"

#include <optional>
#include <string>
#include <vector>

namespace coppice {

// Where a candidate's code comes from: a template and genome, or stored text (user's kernel, LLM).
struct CandidateSpec {
  std::string template_name;  // empty for stored text
  Genome genome;
  std::optional<Digest> source;  // stored text: digests of source and plan in the log's blobs
  std::optional<Digest> plan;
  friend bool operator==(const CandidateSpec&, const CandidateSpec&) = default;
};

// Ready to be compiled.
struct Candidate {
  CandidateId id;
  std::string backend;      // "cpu", "cuda"
  std::string source_name;  // "kernel.cpp"
  std::string source;       // self-contained: axis values stand in it as #defines
  LaunchPlan plan;
  ValueMap axis_values;
  std::vector<std::string> flags;  // compiler flags of its template (Template::flags)
  std::string precision;           // name of the permitted class it claims
  std::string label;               // "split_kv: tile_kv=64 ..." for people
  // SHA-256 over backend, source, canonical plan, axis values, flags and precision: equal means the
  // same work.
  Digest identity() const;
};

}  // namespace coppice
