// Identities as types: a node id can't be passed where a candidate id is meant.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace coppice {

// Ids count from 1 inside one run; 0 means "none".
template <class Tag>
struct Id {
  std::uint64_t value = 0;

  friend auto operator<=>(const Id&, const Id&) = default;
  explicit operator bool() const noexcept { return value != 0; }
};

using NodeId = Id<struct NodeTag>;  // an idea in the search tree
using CandidateId =
    Id<struct CandidateTag>;  // a distinct implementation (template and genome, or source)
using AttemptId = Id<struct AttemptTag>;  // one proposal of a candidate for evaluation
using EventSeq = Id<struct EventTag>;     // place of an event in the log
using LlmRequestId = Id<struct LlmRequestTag>;

}  // namespace coppice

template <class Tag>
struct std::hash<coppice::Id<Tag>> {
  std::size_t operator()(const coppice::Id<Tag>& id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
