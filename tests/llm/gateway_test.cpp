// The gateway: retries, waits, rates and budgets, on a clock that only the test moves.
#include "llm/gateway.h"

#include "tests/llm/outcomes.h"
#include "tests/support/text.h"

#include <deque>
#include <thread>

namespace coppice::llm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HandClock final : public Clock {
 public:
  Nanoseconds now() const override { return time; }
  Nanoseconds time = seconds(1000);
};

// Waiting moves the clock; each wait is kept.
class HandWaiter final : public Waiter {
 public:
  explicit HandWaiter(HandClock& clock) : clock_(clock) {}
  bool wait(Nanoseconds time, const std::stop_token& stop) override {
    waits.push_back(time);
    clock_.time += time;
    return !stop.stop_requested();
  }
  std::vector<Nanoseconds> waits;

 private:
  HandClock& clock_;
};

class Scripted final : public Provider {
 public:
  explicit Scripted(std::deque<Outcome> outcomes)
      : Provider(Secrets()), outcomes_(std::move(outcomes)) {}

 protected:
  Outcome attempt(const Call&, const std::stop_token&) override {
    REQUIRE_FALSE(outcomes_.empty());
    Outcome out = std::move(outcomes_.front());
    outcomes_.pop_front();
    return out;
  }

 private:
  std::deque<Outcome> outcomes_;
};

Reply answer(std::int64_t in = 10, std::int64_t out = 20) {
  Reply reply;
  reply.text = "t";
  reply.usage = {.in = in, .out = out, .counted = true};
  reply.latency = seconds(2);
  return reply;
}

Failure trouble(FailureKind kind, std::optional<Nanoseconds> wait = std::nullopt) {
  return Failure{.kind = kind, .message = "m", .retry_after = wait, .latency = milliseconds(500)};
}

struct World {
  explicit World(Budget budget = {}) : ledger(budget) {}
  Exchange ask(std::deque<Outcome> outcomes, GatewayOptions options = {}) {
    Gateway gateway(std::make_unique<Scripted>(std::move(outcomes)),
                    std::move(options),
                    {ledger, clock, waiter});
    return gateway.ask(small_call());
  }
  HandClock clock;
  HandWaiter waiter{clock};
  Ledger ledger;
};

FailureKind kind_of(const Exchange& exchange) {
  return failure_in(exchange.outcome).kind;
}

}  // namespace

TEST_CASE("a call that works is asked once and its cost is booked") {
  World world;
  const Exchange exchange =
      world.ask({answer()}, {.price = Price{.in = 2, .out = 10, .cached = 2, .written = 2}});
  CHECK(reply_of(exchange.outcome).text == "t");
  CHECK(exchange.attempts == 1);
  CHECK(exchange.money == Money{10 * 2000 + 20 * 10000});
  CHECK(exchange.time == seconds(2));
  CHECK(world.waiter.waits.empty());
  CHECK(world.ledger.spent().requests == 1);
  CHECK(world.ledger.spent().out == 20);
  CHECK(world.ledger.spent().money == exchange.money);
}

TEST_CASE("back-off grows, is bounded, and is the same for the same call and seed") {
  const auto waits = [](std::uint64_t seed) {
    World world;
    const Failure busy = trouble(FailureKind::overloaded);
    GatewayOptions options;
    options.retry = {.attempts = 6, .first = seconds(1), .most = seconds(5), .seed = seed};
    const Exchange exchange = world.ask({busy, busy, busy, busy, busy, answer()}, options);
    CHECK(reply_of(exchange.outcome).text == "t");
    CHECK(exchange.attempts == 6);
    CHECK(exchange.trouble.size() == 5);
    CHECK(contains(exchange.trouble[0], "overloaded: m"));
    return world.waiter.waits;
  };
  const auto first = waits(1);
  REQUIRE(first.size() == 5);
  const seconds most[] = {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(first[i] <= most[i]);
    CHECK(first[i] >= most[i] / 2);
  }
  CHECK(waits(1) == first);
  CHECK(waits(2) != first);
}

TEST_CASE("the provider's Retry-After is a floor, and holds for its other calls too") {
  HandClock clock;
  HandWaiter waiter(clock);
  Ledger ledger({});
  Gateway gateway(std::make_unique<Scripted>(std::deque<Outcome>{
                      trouble(FailureKind::rate_limited, seconds(40)), answer(), answer()}),
                  {.retry = {.attempts = 2}},
                  {ledger, clock, waiter});
  CHECK(gateway.ask(small_call()).attempts == 2);
  REQUIRE(waiter.waits.size() == 1);
  CHECK(waiter.waits[0] == seconds(40));
  clock.time -= seconds(10);  // another thread's call, ten seconds before the hold ends
  CHECK(gateway.ask(small_call()).attempts == 1);
  REQUIRE(waiter.waits.size() == 2);
  CHECK(waiter.waits[1] == seconds(10));
}

TEST_CASE("a Retry-After beyond our patience ends the call at once") {
  World world;
  GatewayOptions options;
  options.retry.patience = seconds(60);
  const Exchange exchange = world.ask({trouble(FailureKind::rate_limited, seconds(61))}, options);
  CHECK(kind_of(exchange) == FailureKind::rate_limited);
  CHECK(world.waiter.waits.empty());
}

TEST_CASE("a call gives up when its patience would be over before the next attempt") {
  World world;
  GatewayOptions options;
  options.retry = {.attempts = 100, .first = seconds(30), .most = seconds(30)};
  options.patience = seconds(70);
  const Failure busy = trouble(FailureKind::overloaded);
  const Exchange exchange = world.ask(std::deque<Outcome>(20, busy), options);
  CHECK(kind_of(exchange) == FailureKind::overloaded);
  CHECK(world.clock.time <= seconds(1070));
  CHECK(exchange.attempts >= 3);
  CHECK(exchange.attempts <= 5);
}

TEST_CASE("what can't get better is not tried again; what was paid is tried once more") {
  for (const FailureKind kind : {FailureKind::auth,
                                 FailureKind::refused,
                                 FailureKind::bad_request,
                                 FailureKind::tls,
                                 FailureKind::missing}) {
    CAPTURE(to_text(kind));
    World world;
    const Exchange exchange = world.ask({trouble(kind)});
    CHECK(kind_of(exchange) == kind);
    CHECK(exchange.attempts == 1);
  }
  for (const FailureKind kind : {FailureKind::timeout, FailureKind::bad_reply}) {
    World world;
    CHECK(world.ask({trouble(kind), trouble(kind)}).attempts == 2);
  }
}

TEST_CASE("a timeout is booked as if the whole reply had been paid for") {
  World world;
  const Exchange exchange =
      world.ask({trouble(FailureKind::timeout), answer(10, 20)}, {.retry = {.attempts = 2}});
  CHECK(exchange.usage.out == 64 + 20);  // small_call() permits 64
  CHECK_FALSE(exchange.usage.counted);
  CHECK(world.ledger.spent().requests == 2);
  CHECK(world.ledger.spent().time == milliseconds(2500));
}

TEST_CASE("a request budget is never overshot, not even by retries") {
  World world({.requests = 2});
  const Failure busy = trouble(FailureKind::overloaded);
  const Exchange exchange = world.ask({busy, busy});
  CHECK(exchange.attempts == 2);
  CHECK(kind_of(exchange) == FailureKind::budget);
  CHECK(contains(failure_in(exchange.outcome).message, "2 of 2 requests"));
  CHECK(world.ask({}).attempts == 0);
}

TEST_CASE("a token budget is overshot by one call at most") {
  World world({.tokens = 100});
  CHECK(world.ask({answer(30, 40)}).attempts == 1);  // 70 spent
  CHECK(world.ask({answer(30, 50)}).attempts == 1);  // admitted below 100; 150 spent
  const Exchange third = world.ask({});
  CHECK(third.attempts == 0);
  CHECK(kind_of(third) == FailureKind::budget);
  CHECK(world.ledger.spent().in + world.ledger.spent().out == 150);
}

TEST_CASE("calls in flight count with the most that they may cost") {
  Ledger ledger({.tokens = 100});
  CHECK_FALSE(ledger.admit({.tokens = 60}));
  CHECK_FALSE(ledger.admit({.tokens = 60}));  // 60 of 100 reserved: one more may start
  REQUIRE(ledger.admit({.tokens = 1}));       // 120 reserved: none
  ledger.settle({.tokens = 60}, {.in = 5, .out = 5}, {}, {});
  CHECK_FALSE(ledger.admit({.tokens = 1}));  // 10 spent and 60 reserved
}

TEST_CASE("a budget of money needs a price, and stops when it is spent") {
  World world({.money = Money::of_dollars(0.001)});
  const Exchange blind = world.ask({});
  CHECK(kind_of(blind) == FailureKind::budget);
  CHECK(contains(failure_in(blind.outcome).message, "price"));
  GatewayOptions options;
  options.price = Price{.in = 0, .out = 100, .cached = 0, .written = 0};
  CHECK(world.ask({answer(10, 20)}, options).attempts == 1);  // 0.002 dollars
  CHECK(kind_of(world.ask({}, options)) == FailureKind::budget);
}

TEST_CASE("a budget of time counts the calls, not the waits") {
  World world({.time = seconds(5)});
  const Exchange slow = world.ask({trouble(FailureKind::rate_limited, seconds(100)), answer()});
  CHECK(slow.time == milliseconds(2500));
  CHECK(world.ask({answer()}).attempts == 1);  // 4.5 s spent
  CHECK(world.ask({answer()}).attempts == 1);  // the one that may run over
  CHECK(kind_of(world.ask({})) == FailureKind::budget);
}

TEST_CASE("what earlier sessions spent counts") {
  Ledger ledger({.requests = 3}, {.requests = 2});
  CHECK_FALSE(ledger.admit({}));
  CHECK(ledger.admit({}));
}

TEST_CASE("a rate of requests lets a burst pass and then paces") {
  Pacer pacer({.requests_per_minute = 60});
  Nanoseconds now = seconds(100);
  int at_once = 0;
  while (at_once < 100 && pacer.book(now, 0).count() == 0) {
    ++at_once;
  }
  CHECK(at_once == 11);  // ten seconds' worth, and the one that is due
  CHECK(pacer.book(now, 0) == seconds(2));
  now += seconds(60);
  CHECK(pacer.book(now, 0).count() == 0);
}

TEST_CASE("a rate of tokens paces big calls, and the first never waits") {
  Pacer pacer({.tokens_per_minute = 1000});
  CHECK(pacer.book(seconds(5), 5000).count() == 0);
  CHECK(pacer.book(seconds(5), 10) == seconds(290));  // 300 s booked, 10 s of burst
}

TEST_CASE("a call whose turn comes too late is refused instead of waiting") {
  World world;
  GatewayOptions options;
  options.rates.requests_per_minute = 1;
  options.patience = seconds(30);
  Gateway gateway(std::make_unique<Scripted>(std::deque<Outcome>{answer(), answer()}),
                  options,
                  {world.ledger, world.clock, world.waiter});
  CHECK(gateway.ask(small_call()).attempts == 1);
  const Exchange second = gateway.ask(small_call());
  CHECK(second.attempts == 0);
  CHECK(kind_of(second) == FailureKind::rate_limited);
}

TEST_CASE("a stop request ends the wait before a retry") {
  World world;
  std::stop_source stop;
  Gateway gateway(std::make_unique<Scripted>(std::deque<Outcome>{trouble(FailureKind::overloaded)}),
                  {},
                  {world.ledger, world.clock, world.waiter});
  stop.request_stop();
  const Exchange exchange = gateway.ask(small_call(), stop.get_token());
  CHECK(exchange.attempts <= 1);
  CHECK_FALSE(std::holds_alternative<Reply>(exchange.outcome));
}

namespace {

// Says how many calls were inside at once.
class Crowd final : public Provider {
 public:
  explicit Crowd(std::atomic<int>& most) : Provider(Secrets()), most_(most) {}

 protected:
  Outcome attempt(const Call&, const std::stop_token&) override {
    const int now = ++inside_;
    int seen = most_.load();
    while (now > seen && !most_.compare_exchange_weak(seen, now)) {
    }
    for (int i = 0; i < 100; ++i) {
      std::this_thread::yield();
    }
    --inside_;
    return answer();
  }

 private:
  std::atomic<int> inside_{0};
  std::atomic<int>& most_;
};

}  // namespace

TEST_CASE("no more calls are in flight than there are slots, and each one is answered") {
  std::atomic<int> most{0};
  SteadyClock clock;
  RealWaiter waiter;
  Ledger ledger({});
  Gateway gateway(std::make_unique<Crowd>(most), {.slots = 2}, {ledger, clock, waiter});
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&gateway] {
        const Exchange exchange = gateway.ask(small_call());
        (void)exchange;
      });
    }
  }
  CHECK(most <= 2);
  CHECK(ledger.spent().requests == 8);
}

TEST_CASE("Retry-After is read as seconds and as each of the three forms of a date") {
  constexpr std::int64_t kNow = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  CHECK(retry_after("120", kNow) == seconds(120));
  CHECK(retry_after("0", kNow) == seconds(0));
  CHECK(retry_after("99999999999999999999", kNow) == seconds(1000000000));
  CHECK(http_date("Sun, 06 Nov 1994 08:49:37 GMT") == kNow);
  CHECK(http_date("Sunday, 06-Nov-94 08:49:37 GMT") == kNow);
  CHECK(http_date("Sun Nov  6 08:49:37 1994") == kNow);
  CHECK(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", kNow) == seconds(30));
  CHECK(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", kNow) == seconds(0));
  for (const char* text : {"",
                           "soon",
                           "-5",
                           "1.5",
                           "Sun, 31 Feb 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 28:49:37 GMT",
                           "Sun, 06 Nov 1994 08:49:37 CET"}) {
    CAPTURE(text);
    CHECK_FALSE(retry_after(text, kNow));
  }
}

}  // namespace coppice::llm
