// Ledger: what a run's language models may cost, and have cost.
#pragma once

#include "core/thread_safety.h"
#include "llm/prices.h"

#include <optional>

namespace coppice::llm {

// 0: no limit.
struct Budget {
  std::int64_t requests = 0;
  std::int64_t tokens = 0;  // in and out together
  Money money{};
  Nanoseconds time{};  // summed over calls
};

struct Spent {
  std::int64_t requests = 0;
  std::int64_t in = 0, out = 0, cached = 0;
  Money money{};
  Nanoseconds time{};
};

// Thread-safe. A call is admitted while what is spent and what calls in flight may cost stay below
// each limit, so a budget is overshot by one call at most, and by one call in flight a slot when
// providers ignore the limits on their replies. Requests are never overshot.
class Ledger {
 public:
  // `spent`: by earlier sessions of the run.
  explicit Ledger(Budget budget, Spent spent = {}) : budget_(budget), spent_(spent) {}

  struct Ticket {
    std::int64_t tokens = 0;
    Money money{};
  };
  // Reserves, or says which limit is reached (a Failure of kind budget).
  std::optional<Failure> admit(const Ticket& most);
  void settle(const Ticket& most, const Usage& usage, Money money, Nanoseconds time);

  Spent spent() const;
  const Budget& budget() const { return budget_; }

 private:
  const Budget budget_;
  mutable Mutex mutex_;
  Spent spent_ COPPICE_GUARDED_BY(mutex_);
  std::int64_t in_flight_ COPPICE_GUARDED_BY(mutex_) = 0;
  Ticket reserved_ COPPICE_GUARDED_BY(mutex_);
};

Json to_json(const Spent& spent);

}  // namespace coppice::llm
