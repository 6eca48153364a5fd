// Appends, decides, commits in groups, and only then acknowledges.
#include "cli/run_recorder.h"

#include <utility>

namespace coppice::cli {
namespace {

constexpr std::size_t kGroup = 256;                 // events
constexpr Nanoseconds kPatience{20 * 1000 * 1000};  // 20 ms

}  // namespace

Result<void> RunRecorder::append(const Event& event) {
  if (pending_ == 0) {
    oldest_ = clock_.now();
  }
  const Result<EventSeq> place = log_.append(event);
  if (!place.ok()) {
    return place.error();
  }
  ++pending_;
  return {};
}

Result<void> RunRecorder::note(const Event& event) {
  return append(event);
}

Result<Digest> RunRecorder::keep(const std::string& text) {
  return log_.put_blob(text);
}

Result<std::vector<Event>> RunRecorder::step(const Event& input) {
  COPPICE_TRY_VOID(append(input));
  follow(input);
  std::vector<Event> decisions = engine_.handle(input);
  for (const Event& decision : decisions) {
    COPPICE_TRY_VOID(append(decision));
    follow(decision);
  }
  return decisions;
}

void RunRecorder::follow(const Event& event) {
  if (const auto* proposed = std::get_if<Proposed>(&event)) {
    in_flight_.insert(proposed->attempt);
  } else if (const auto* evaluated = std::get_if<Evaluated>(&event)) {
    in_flight_.erase(evaluated->evidence.attempt);
  } else if (const auto* resumed = std::get_if<Resumed>(&event)) {
    for (const AttemptId lost : resumed->lost) {
      in_flight_.erase(lost);
    }
  }
}

void RunRecorder::after_commit(std::function<void()> acknowledge) {
  acknowledgements_.push_back(std::move(acknowledge));
}

Result<void> RunRecorder::commit() {
  if (pending_ > 0) {
    COPPICE_TRY_VOID(log_.commit());
    pending_ = 0;
  }
  const auto ready = std::exchange(acknowledgements_, {});
  for (const auto& acknowledge : ready) {
    acknowledge();
  }
  return {};
}

Result<void> RunRecorder::commit_if_due() {
  const bool due = pending_ >= kGroup || (pending_ > 0 && clock_.now() - oldest_ >= kPatience);
  return due ? commit() : Result<void>();
}

}  // namespace coppice::cli
