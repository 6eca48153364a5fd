// Slots, pacing and retries around a provider; every attempt passes the ledger.
#include "llm/gateway.h"

#include "core/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

namespace coppice::llm {
namespace {

constexpr double kMinute = 60e9;                          // nanoseconds
constexpr Nanoseconds kBurst = std::chrono::seconds(10);  // what may run ahead of an even pace

// What an attempt used, where the provider did not say: a timeout may have been paid in full.
Usage used_by(const Call& call, const Outcome& outcome) {
  if (const Reply* reply = std::get_if<Reply>(&outcome)) {
    return reply->usage;
  }
  const Failure& failure = std::get<Failure>(outcome);
  Usage usage = failure.usage;
  if (usage.counted) {
    return usage;
  }
  const bool paid = failure.kind == FailureKind::timeout ||
                    failure.kind == FailureKind::bad_reply || failure.kind == FailureKind::refused;
  if (paid) {
    usage.in = std::max(usage.in, estimated_tokens(call.messages));
    usage.out = failure.kind == FailureKind::timeout ? call.max_tokens : usage.out;
  }
  return usage;
}

Usage sum(const Usage& a, const Usage& b) {
  return Usage{.in = a.in + b.in,
               .out = a.out + b.out,
               .cached = a.cached + b.cached,
               .written = a.written + b.written,
               .reasoning = a.reasoning + b.reasoning,
               .counted = a.counted && b.counted};
}

}  // namespace

bool RealWaiter::wait(Nanoseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

Nanoseconds Pacer::book_one(Nanoseconds now, double amount, double per_minute, Nanoseconds& due) {
  if (per_minute <= 0.0) {
    return Nanoseconds(0);
  }
  constexpr double kMostWait = 1e16;  // four months
  const double takes = std::min(amount * kMinute / per_minute, kMostWait);
  const Nanoseconds start = std::max(due, now);
  due = start + Nanoseconds(static_cast<std::int64_t>(std::llround(takes)));
  // What the call itself takes may run ahead too, so that the first never waits.
  return std::max(Nanoseconds(0), start - now - kBurst);
}

Nanoseconds Pacer::book(Nanoseconds now, std::int64_t tokens) {
  const Nanoseconds a = book_one(now, 1.0, limits_.requests_per_minute, requests_due_);
  const Nanoseconds b =
      book_one(now, static_cast<double>(tokens), limits_.tokens_per_minute, tokens_due_);
  return std::max({a, b, held_ - now});
}

void Pacer::hold_until(Nanoseconds time) {
  held_ = std::max(held_, time);
}

Gateway::Gateway(std::unique_ptr<Provider> provider,
                 GatewayOptions options,
                 Surroundings surroundings)
    : provider_(std::move(provider)),
      options_(std::move(options)),
      around_(surroundings),
      pacer_(options_.rates) {}

Ledger::Ticket Gateway::most(const Call& call) const {
  const Usage usage{.in = estimated_tokens(call.messages), .out = call.max_tokens};
  return {usage.in + usage.out, options_.price ? cost_of(*options_.price, usage) : Money()};
}

bool Gateway::take_slot(const std::stop_token& stop) {
  mutex_.lock();
  const bool got = slot_freed_.wait(
      mutex_, stop, [this]() COPPICE_REQUIRES(mutex_) { return busy_ < options_.slots; });
  busy_ += got ? 1 : 0;
  mutex_.unlock();
  return got;
}

void Gateway::free_slot() {
  {
    const MutexLock lock(mutex_);
    --busy_;
  }
  slot_freed_.notify_one();
}

std::optional<Failure> Gateway::pace(const Call& call,
                                     Nanoseconds until,
                                     const std::stop_token& stop) {
  const Nanoseconds now = around_.clock.now();
  Nanoseconds wait{};
  {
    const MutexLock lock(mutex_);
    wait = pacer_.book(now, most(call).tokens);
  }
  if (now + wait > until) {
    return Failure{.kind = FailureKind::rate_limited,
                   .message = fmt::format("its turn would come in {:.1f} s, later than we wait",
                                          to_seconds(wait))};
  }
  if (wait.count() > 0 && !around_.waiter.wait(wait, stop)) {
    return Failure{.kind = FailureKind::cancelled, .message = "stopped"};
  }
  return std::nullopt;
}

void Gateway::settle(const Call& call, const Outcome& outcome, Exchange& exchange) {
  const Usage usage = used_by(call, outcome);
  const Money money = options_.price ? cost_of(*options_.price, usage) : Money();
  const Reply* reply = std::get_if<Reply>(&outcome);
  const Nanoseconds latency = reply ? reply->latency : std::get<Failure>(outcome).latency;
  around_.ledger.settle(most(call), usage, money, latency);
  exchange.usage = exchange.attempts == 1 ? usage : sum(exchange.usage, usage);
  exchange.money = exchange.money + money;
  exchange.time += latency;
}

Outcome Gateway::attempt(const Call& call,
                         Nanoseconds until,
                         Exchange& exchange,
                         const std::stop_token& stop) {
  if (auto failure = pace(call, until, stop)) {
    return *std::move(failure);
  }
  if (auto failure = around_.ledger.admit(most(call))) {
    return *std::move(failure);
  }
  ++exchange.attempts;
  Outcome outcome = provider_->send(call, stop);
  settle(call, outcome, exchange);
  return outcome;
}

Exchange Gateway::ask(const Call& call, const std::stop_token& stop) {
  Exchange exchange{
      Failure{.kind = FailureKind::cancelled, .message = "stopped"}, 0, {}, {}, {}, {}};
  if (around_.ledger.budget().money.nano > 0 && !options_.price) {
    exchange.outcome = Failure{
        .kind = FailureKind::budget,
        .message = fmt::format("the price of {} is not known, and the budget limits money: give "
                               "the profile a price",
                               call.model)};
    return exchange;
  }
  if (!take_slot(stop)) {
    return exchange;
  }
  const Nanoseconds until = around_.clock.now() + options_.patience;
  const std::uint64_t subject = hash_text(call.identity().hex());
  while (true) {
    const int before = exchange.attempts;
    exchange.outcome = attempt(call, until, exchange, stop);
    const Failure* failure = std::get_if<Failure>(&exchange.outcome);
    if (!failure || exchange.attempts == before) {
      break;  // answered, or not even asked
    }
    exchange.trouble.push_back(fmt::format("{}: {}", to_text(failure->kind), failure->message));
    const auto delay = retry_delay(options_.retry, *failure, exchange.attempts, subject);
    const Nanoseconds now = around_.clock.now();
    if (!delay || now + *delay > until || stop.stop_requested()) {
      break;
    }
    if (failure->retry_after) {
      const MutexLock lock(mutex_);
      pacer_.hold_until(now + *failure->retry_after);
    }
    if (!around_.waiter.wait(*delay, stop)) {
      break;
    }
  }
  free_slot();
  return exchange;
}

}  // namespace coppice::llm
