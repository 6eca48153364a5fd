// Admission and settlement of calls against a budget.
#include "llm/budget.h"

#include <fmt/format.h>

namespace coppice::llm {

std::optional<Failure> Ledger::admit(const Ticket& most) {
  const MutexLock lock(mutex_);
  std::string reached;
  if (budget_.requests > 0 && spent_.requests + in_flight_ >= budget_.requests) {
    reached = fmt::format("{} of {} requests", spent_.requests + in_flight_, budget_.requests);
  } else if (budget_.tokens > 0 && spent_.in + spent_.out + reserved_.tokens >= budget_.tokens) {
    reached = fmt::format("{} of {} tokens, {} of them for calls in flight",
                          spent_.in + spent_.out + reserved_.tokens,
                          budget_.tokens,
                          reserved_.tokens);
  } else if (budget_.money.nano > 0 && spent_.money + reserved_.money >= budget_.money) {
    reached = fmt::format("{:.4f} of {:.4f} dollars, {:.4f} of them for calls in flight",
                          (spent_.money + reserved_.money).dollars(),
                          budget_.money.dollars(),
                          reserved_.money.dollars());
  } else if (budget_.time.count() > 0 && spent_.time >= budget_.time) {
    reached = fmt::format("{:.1f} of {:.1f} s", to_seconds(spent_.time), to_seconds(budget_.time));
  }
  if (!reached.empty()) {
    return Failure{.kind = FailureKind::budget,
                   .message = "the language-model budget is used up: " + reached};
  }
  ++in_flight_;
  reserved_.tokens += most.tokens;
  reserved_.money = reserved_.money + most.money;
  return std::nullopt;
}

void Ledger::settle(const Ticket& most, const Usage& usage, Money money, Nanoseconds time) {
  const MutexLock lock(mutex_);
  --in_flight_;
  reserved_.tokens -= most.tokens;
  reserved_.money.nano -= most.money.nano;
  ++spent_.requests;
  spent_.in += usage.in;
  spent_.out += usage.out;
  spent_.cached += usage.cached;
  spent_.money = spent_.money + money;
  spent_.time += time;
}

Spent Ledger::spent() const {
  const MutexLock lock(mutex_);
  return spent_;
}

Json to_json(const Spent& spent) {
  return Json::object()
      .set("requests", spent.requests)
      .set("tokens_in", spent.in)
      .set("tokens_out", spent.out)
      .set("tokens_cached", spent.cached)
      .set("money", spent.money.dollars())
      .set("seconds", to_seconds(spent.time));
}

}  // namespace coppice::llm
