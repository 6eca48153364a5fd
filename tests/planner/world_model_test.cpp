// World model: learns a landscape, says how sure it is, and gives the same bits however it is
// asked.
#include "planner/world_model.h"

#include "core/random.h"
#include "core/space_walk.h"
#include "planner/correlation.h"
#include "tests/support/autotune_spaces.h"
#include "tests/support/catch.h"

#include <atomic>
#include <bit>
#include <cmath>
#include <thread>

using namespace coppice;
using namespace coppice::planner;

namespace {

class ThreadedExecutor final : public Executor {
 public:
  explicit ThreadedExecutor(std::size_t threads) : threads_(threads) {}
  void parallel_for(std::size_t count, const std::function<void(std::size_t)>& body) override {
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> team;
    for (std::size_t t = 0; t < threads_; ++t) {
      team.emplace_back([&] {
        for (std::size_t i = next++; i < count; i = next++) {
          body(i);
        }
      });
    }
    for (std::thread& one : team) {
      one.join();
    }
  }
  std::size_t width() const override { return threads_; }

 private:
  std::size_t threads_;
};

SearchSpace convolution() {
  return {TemplateSpace{"convolution", tests::convolution_space(), {}, {}, {}}};
}

std::vector<Point> some_points(const SearchSpace& space, std::size_t count, std::uint64_t seed) {
  std::vector<Point> out;
  for (std::uint32_t t = 0; t < space.size(); ++t) {
    const SpaceWalker walker(space[t].space);
    Rng rng = stream(seed, "test", t);
    for (std::size_t i = 0; i < count; ++i) {
      out.push_back(Point{t, *walker.sample(rng)});
    }
  }
  return out;
}

// Smooth in the levels, with one axis that does not matter and a region that fails.
Observation measure(const Point& point) {
  const auto& l = point.genome.levels;
  Observation out;
  out.point = point;
  out.valid = !(l[0] > 7 && l[1] > 0);
  out.failure = out.valid ? FailureClass::none : FailureClass::crash;
  const double x = (l[0] - 6.0) / 8.0;
  const double y = l[2] - 1.5;
  out.log_cost = x * x + 0.3 * y * y + 0.2 * l[6] + 0.4 * (l[3] == 2 ? 0.0 : 1.0);
  out.seconds = 1.0 + l[1];
  return out;
}

void teach(WorldModel& model, const std::vector<Point>& points) {
  for (const Point& point : points) {
    model.observe(measure(point));
  }
}

bool same_bits(const std::vector<Belief>& a, const std::vector<Belief>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) {
    const auto bits = [](double x) {
      return std::bit_cast<std::uint64_t>(x);
    };
    same = bits(a[i].mean) == bits(b[i].mean) && bits(a[i].spread) == bits(b[i].spread) &&
           bits(a[i].p_valid) == bits(b[i].p_valid) && bits(a[i].seconds) == bits(b[i].seconds);
  }
  return same;
}

}  // namespace

TEST_CASE("the model predicts unseen points better than their mean, with honest spreads") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  CHECK(!model.ready());
  teach(model, some_points(space, 120, 1));
  REQUIRE(model.ready());
  double error = 0.0, variance = 0.0, mean = 0.0;
  int inside = 0, count = 0;
  const std::vector<Point> unseen = some_points(space, 300, 2);
  const std::vector<Belief> beliefs = model.predict(unseen);
  std::vector<double> truth;
  for (std::size_t i = 0; i < unseen.size(); ++i) {
    const Observation real = measure(unseen[i]);
    // What is clipped as "slow" is not meant to be predicted.
    if (!real.valid || real.log_cost > 0.9) {
      continue;
    }
    const double miss = real.log_cost - beliefs[i].mean;
    error += miss * miss;
    inside += std::fabs(miss) < 1.2816 * beliefs[i].spread ? 1 : 0;
    truth.push_back(real.log_cost);
    mean += real.log_cost;
    ++count;
  }
  mean /= count;
  for (const double t : truth) {
    variance += (t - mean) * (t - mean);
  }
  REQUIRE(count > 50);
  CHECK(error < 0.25 * variance);
  CHECK(inside > 0.65 * count);
}

TEST_CASE("where points failed, like points are expected to fail") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  teach(model, some_points(space, 150, 3));
  double good = 0.0, bad = 0.0;
  int goods = 0, bads = 0;
  for (const Point& point : some_points(space, 200, 4)) {
    const double p = model.predict(std::vector<Point>{point})[0].p_valid;
    CHECK(p >= 0.0);
    CHECK(p <= 1.0);
    if (measure(point).valid) {
      good += p;
      ++goods;
    } else {
      bad += p;
      ++bads;
    }
  }
  INFO("valid " << goods << " failing " << bads);
  REQUIRE(bads > 5);
  CHECK(good / goods > bad / bads + 0.3);
}

TEST_CASE("the bits do not depend on threads, or on what was asked before and when") {
  const SearchSpace space = convolution();
  InlineExecutor one;
  ThreadedExecutor eight(8);
  WorldModel asked_often(space, 1, one);
  WorldModel asked_once(space, 1, eight);
  const std::vector<Point> lessons = some_points(space, 90, 5);
  const std::vector<Point> questions = some_points(space, 500, 6);
  for (std::size_t i = 0; i < lessons.size(); ++i) {
    asked_often.observe(measure(lessons[i]));
    asked_once.observe(measure(lessons[i]));
    (void)asked_often.predict(std::span(questions).subspan(i, 40));
  }
  std::vector<Point> backwards(questions.rbegin(), questions.rend());
  std::vector<Belief> turned = asked_once.predict(backwards);
  std::reverse(turned.begin(), turned.end());
  CHECK(same_bits(asked_often.predict(questions), turned));
}

TEST_CASE("a pending point takes away uncertainty round it and moves no mean") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  teach(model, some_points(space, 40, 7));
  const std::vector<Point> points = some_points(space, 60, 8);
  const std::vector<Belief> before = model.predict(points);
  const std::vector<Point> pending(points.begin(), points.begin() + 3);
  model.set_pending(pending);
  const std::vector<Belief> during = model.predict(points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    CHECK(during[i].mean == before[i].mean);
    CHECK(during[i].spread <= before[i].spread);
  }
  CHECK(during[0].spread < 0.9 * before[0].spread);
  model.set_pending({});
  CHECK(same_bits(model.predict(points), before));
}

TEST_CASE("results of pending points arrive in any order, failed ones too") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  const std::vector<Point> lessons = some_points(space, 30, 9);
  const std::vector<Point> later = some_points(space, 3, 10);
  WorldModel direct(space, 1, executor);
  WorldModel waiting(space, 1, executor);
  teach(direct, lessons);
  teach(waiting, lessons);
  waiting.set_pending(later);
  for (const std::size_t i : {1U, 0U, 2U}) {
    Observation result = measure(later[i]);
    result.valid = i != 0;
    direct.observe(result);
    waiting.observe(result);
  }
  const std::vector<Point> questions = some_points(space, 50, 11);
  CHECK(same_bits(direct.predict(questions), waiting.predict(questions)));
}

TEST_CASE("templates, absent axes and features are all told apart") {
  const auto axis = [](std::string name, std::vector<std::int64_t> levels, const char* when) {
    Axis out;
    out.name = std::move(name);
    out.levels.assign(levels.begin(), levels.end());
    if (when != nullptr) {
      out.when = *Expr::parse(when);
    }
    return out;
  };
  SearchSpace space;
  space.push_back(TemplateSpace{
      "plain", *AxisSpace::create({axis("tile", {16, 32, 64, 128}, nullptr)}, {}), {}, {}, {}});
  space.push_back(TemplateSpace{
      "split",
      *AxisSpace::create({axis("tile", {16, 32, 64, 128}, nullptr),
                          axis("splits", {1, 2, 4, 8}, nullptr),
                          axis("combine", {0, 1}, "splits > 1")},
                         {}),
      {},
      {{"work", *Expr::parse("tile * splits * heads")}, {"broken", *Expr::parse("nowhere")}},
      {{"heads", std::int64_t{8}}}});
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  std::vector<Point> points;
  for (std::uint32_t t = 0; t < 2; ++t) {
    const std::vector<Genome> all = enumerate(space[t].space, 100).value();
    for (const Genome& genome : all) {
      points.push_back(Point{t, genome});
    }
  }
  const auto cost = [&](const Point& p) {
    return p.template_index == 0 ? 1.0 + 0.1 * p.genome.levels[0]
                                 : 0.2 * p.genome.levels[0] + 0.1 * p.genome.levels[2];
  };
  for (std::size_t i = 0; i < points.size(); i += 2) {
    Observation o;
    o.point = points[i];
    o.valid = true;
    o.log_cost = cost(points[i]);
    model.observe(o);
  }
  const std::vector<Belief> beliefs = model.predict(points);
  double worst = 0.0;
  for (std::size_t i = 1; i < points.size(); i += 2) {
    // Costs beyond the ceiling are known as "slow" only.
    const double real = std::min(cost(points[i]), 0.8);
    worst = std::max(worst, std::fabs(std::min(beliefs[i].mean, 0.8) - real));
  }
  CHECK(worst < 0.5);
  const std::string text = model.explain().dump();
  CHECK(text.find("\"template\"") != std::string::npos);
  CHECK(text.find("\"combine active\"") != std::string::npos);
  CHECK(text.find("\"work\"") != std::string::npos);
  CHECK(text.find("broken") == std::string::npos);
}

TEST_CASE("degenerate lessons leave the model finite") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  const std::vector<Point> points = some_points(space, 20, 12);
  for (int round = 0; round < 2; ++round) {
    for (const Point& point : points) {
      Observation o;
      o.point = point;
      o.valid = true;
      o.log_cost = 1.0;  // all alike, each twice
      model.observe(o);
    }
  }
  for (const Belief& belief : model.predict(points)) {
    CHECK(std::isfinite(belief.mean));
    CHECK(std::isfinite(belief.spread));
    CHECK(belief.mean == Approx(1.0).margin(0.01));
  }
  WorldModel failing(space, 1, executor);
  for (const Point& point : points) {
    Observation o;
    o.point = point;
    o.failure = FailureClass::compile_error;
    failing.observe(o);
  }
  CHECK(!failing.ready());
  CHECK(failing.predict(points)[0].p_valid < 0.2);
}

TEST_CASE("expected gain grows with spread and nearness, and never falls below zero") {
  const Belief sure{1.0, 0.01, 1.0, 0.0};
  const Belief unsure{1.0, 0.5, 1.0, 0.0};
  const Belief doubtful{1.0, 0.5, 0.5, 0.0};
  CHECK(WorldModel::expected_gain(sure, 0.5) == Approx(0.0).margin(1e-12));
  CHECK(WorldModel::expected_gain(unsure, 0.5) > 0.01);
  CHECK(WorldModel::expected_gain(doubtful, 0.5) ==
        Approx(0.5 * WorldModel::expected_gain(unsure, 0.5)));
  CHECK(WorldModel::expected_gain(sure, 2.0) == Approx(1.0));
  CHECK(WorldModel::expected_gain(unsure, -50.0) == 0.0);
  // Against direct quadrature of the improvement's distribution.
  for (const double z : {-6.0, -3.5, -2.0, -1.001, -0.999, 0.0, 1.5}) {
    double sum = 0.0;
    constexpr double kStep = 1e-3;
    for (double t = z - 12.0; t < z; t += kStep) {
      const double middle = t + kStep / 2;
      sum += (z - middle) * std::exp(-0.5 * middle * middle) * 0.3989422804014327 * kStep;
    }
    CHECK(WorldModel::expected_gain(Belief{0.0, 1.0, 1.0, 0.0}, z) == Approx(sum).epsilon(1e-3));
  }
}

TEST_CASE("thousands of observations keep the model's size bounded", "[slow]") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  ModelTuning tuning;
  tuning.most_rows = 128;
  tuning.fit_rows = 48;
  WorldModel model(space, 1, executor, tuning);
  teach(model, some_points(space, 3000, 13));
  const Json explained = model.explain();
  CHECK(*explained.reader("m").integer_or("rows", 0) <= 128 + 128 / 4);
  CHECK(model.observations() == 3000);
}

TEST_CASE("wide vector units give the same bits as plain loops, and both the correlation") {
  Rng rng = stream(7, "test", 0);
  constexpr std::size_t kWidth = 13;
  std::vector<double> x, weight;
  std::vector<float> block;
  for (std::size_t d = 0; d < kWidth; ++d) {
    x.push_back(rng.uniform());
    weight.push_back(20.0 * rng.uniform());
  }
  for (std::size_t i = 0; i < kWidth * kBlock; ++i) {
    block.push_back(static_cast<float>(rng.uniform()));
  }
  float plain[kBlock], wide[kBlock];
  correlate_in(Lanes::plain, x, weight, block.data(), plain);
  correlate_in(Lanes::widest, x, weight, block.data(), wide);
  for (std::size_t i = 0; i < kBlock; ++i) {
    CHECK(std::bit_cast<std::uint32_t>(plain[i]) == std::bit_cast<std::uint32_t>(wide[i]));
    double r2 = 0.0;
    for (std::size_t d = 0; d < kWidth; ++d) {
      const double difference = x[d] - static_cast<double>(block[d * kBlock + i]);
      r2 += weight[d] * difference * difference;
    }
    const double exact = matern52(r2);
    CHECK(std::fabs(static_cast<double>(plain[i]) - exact) < 1e-5 * exact + 1e-9);
  }
}

TEST_CASE("places of known points change no answer") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  teach(model, some_points(space, 30, 5));
  const std::vector<Point> points = some_points(space, 300, 6);
  KnownPoints known;
  const std::vector<Belief> first = model.predict(points, &known);
  CHECK(known.slots.size() == points.size());
  CHECK(same_bits(model.predict(points, &known), first));
  teach(model, some_points(space, 5, 8));
  CHECK(same_bits(model.predict(points, &known), model.predict(points)));
  const std::vector<Point> fewer(points.begin() + 7, points.end());
  CHECK(same_bits(model.predict(fewer, &known), model.predict(fewer)));
}

TEST_CASE("answers that were forgotten come back the same, and their memory is given back") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel model(space, 1, executor);
  teach(model, some_points(space, 40, 1));
  const std::vector<Point> questions = some_points(space, 300, 2);
  KnownPoints known;
  const std::vector<Belief> first = model.predict(questions, &known);
  CHECK(model.kept_bytes() > 100000);
  model.rest();
  CHECK(model.kept_bytes() == 0);
  CHECK(same_bits(model.predict(questions, &known), first));
  CHECK(model.kept_bytes() > 100000);
}

TEST_CASE("a model that rested learns on as one that never did, with points in flight too") {
  const SearchSpace space = convolution();
  InlineExecutor executor;
  WorldModel rested(space, 1, executor);
  WorldModel other(space, 1, executor);
  const std::vector<Point> questions = some_points(space, 100, 2);
  const std::vector<Point> flying = some_points(space, 3, 12);
  for (WorldModel* model : {&rested, &other}) {
    teach(*model, some_points(space, 40, 1));
    model->set_pending(flying);
  }
  rested.rest();
  for (WorldModel* model : {&rested, &other}) {
    teach(*model, some_points(space, 2, 9));
    model->set_pending(std::span(flying).first(1));
  }
  rested.rest();
  CHECK(same_bits(rested.predict(questions), other.predict(questions)));
}

TEST_CASE("the bound of a gain is never below it, and near it") {
  Rng rng = stream(3, "test", 0);
  for (int i = 0; i < 2000; ++i) {
    Belief belief;
    belief.mean = 4.0 * rng.uniform() - 2.0;
    belief.spread = i % 50 == 0 ? 0.0 : 0.01 + rng.uniform();
    belief.p_valid = rng.uniform();
    const double gain = WorldModel::expected_gain(belief, 0.0);
    const double bound = WorldModel::gain_bound(belief, 0.0);
    CHECK(bound >= gain);
    CHECK(bound <= 1.7 * gain + 1e-12);
  }
}
