// Gateway: one model behind its provider, with slots, rate limits, retries and the run's ledger.
#pragma once

#include "core/clock.h"
#include "core/thread_safety.h"
#include "llm/budget.h"
#include "llm/retry.h"

#include <condition_variable>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace coppice::llm {

// Waiting comes in from outside, as the clock does.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Returns after `time`, or earlier with false when stop is set. Thread-safe.
  virtual bool wait(Nanoseconds time, const std::stop_token& stop) = 0;
};

class RealWaiter final : public Waiter {
 public:
  bool wait(Nanoseconds time, const std::stop_token& stop) override;
};

// 0: no limit.
struct RateLimits {
  double requests_per_minute = 0.0;
  double tokens_per_minute = 0.0;  // prompt and the most that the reply may have
};

// When the next call may start, by the generic cell rate algorithm: a burst of what ten seconds
// allow, at least one call, then evenly. Not thread-safe.
class Pacer {
 public:
  explicit Pacer(RateLimits limits) : limits_(limits) {}
  // Books a call of so many tokens; says how long to wait before it.
  Nanoseconds book(Nanoseconds now, std::int64_t tokens);
  // Nothing starts before (a provider's Retry-After holds for all its calls).
  void hold_until(Nanoseconds time);

 private:
  static Nanoseconds book_one(Nanoseconds now, double amount, double per_minute, Nanoseconds& due);
  RateLimits limits_;
  Nanoseconds requests_due_{};
  Nanoseconds tokens_due_{};
  Nanoseconds held_{};
};

struct GatewayOptions {
  RetryPolicy retry{};
  RateLimits rates{};
  int slots = 4;                                     // calls at once
  Nanoseconds patience = std::chrono::seconds(900);  // one question with all its attempts
  std::optional<Price> price{};  // unknown: refused while the budget limits money
};

// One question with all its attempts.
struct Exchange {
  Outcome outcome;
  int attempts = 0;
  Usage usage;  // summed over attempts, estimates where a provider did not say
  Money money;
  Nanoseconds time{};                // summed over attempts, waits not counted
  std::vector<std::string> trouble;  // each failed attempt, one line
};

// Thread-safe. ledger, clock and waiter outlive it.
class Gateway {
 public:
  struct Surroundings {
    Ledger& ledger;
    const Clock& clock;
    Waiter& waiter;
  };
  Gateway(std::unique_ptr<Provider> provider, GatewayOptions options, Surroundings surroundings);

  // Blocks; always comes back with an outcome, at the latest when patience and one attempt's
  // deadline have passed.
  Exchange ask(const Call& call, const std::stop_token& stop = {});

  // The most that one attempt is expected to cost: prompt (estimated) and the whole reply.
  Ledger::Ticket most(const Call& call) const;

 private:
  bool take_slot(const std::stop_token& stop);
  void free_slot();
  // Waits for its turn; a failure when there will be none.
  std::optional<Failure> pace(const Call& call, Nanoseconds until, const std::stop_token& stop);
  Outcome attempt(const Call& call, Nanoseconds until, Exchange& exchange, const std::stop_token&);
  void settle(const Call& call, const Outcome& outcome, Exchange& exchange);

  std::unique_ptr<Provider> provider_;
  const GatewayOptions options_;
  Surroundings around_;
  Mutex mutex_;
  std::condition_variable_any slot_freed_;
  int busy_ COPPICE_GUARDED_BY(mutex_) = 0;
  Pacer pacer_ COPPICE_GUARDED_BY(mutex_);
};

}  // namespace coppice::llm
