// The reference strategies: random, best_of_n, default and hillclimb.
#include "search/chooser.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::search {
namespace {

// Random untried points, uniform over the union of the templates' points.
class RandomPoints {
 public:
  explicit RandomPoints(Shared& shared) : shared_(&shared) {
    for (std::uint32_t t = 0; t < shared.domain.space().size(); ++t) {
      if (shared.domain.hopeless(t).empty()) {
        spaces_.emplace_back(shared.domain, t, std::vector<Pin>{});
      }
    }
  }

  std::optional<Point> next() {
    Rng rng = shared_->draw_stream("random");
    while (!spaces_.empty()) {
      const std::size_t i = pick(rng);
      const std::uint32_t t = spaces_[i].template_index();
      const auto tried = [&](const Genome& genome) {
        return !shared_->is_new(t, genome);
      };
      if (auto genome = spaces_[i].draw(shared_->domain, tried, rng)) {
        return Point{t, std::move(*genome)};
      }
      spaces_.erase(spaces_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return std::nullopt;
  }

 private:
  // By the number of points left where all are listed, else evenly.
  std::size_t pick(Rng& rng) const {
    std::size_t sum = 0;
    for (const Subspace& space : spaces_) {
      if (!space.remaining()) {
        return rng.below(spaces_.size());
      }
      sum += *space.remaining();
    }
    std::size_t left = sum == 0 ? 0 : rng.below(sum);
    for (std::size_t i = 0; i < spaces_.size(); ++i) {
      if (left < *spaces_[i].remaining()) {
        return i;
      }
      left -= *spaces_[i].remaining();
    }
    return 0;
  }

  Shared* shared_;
  std::vector<Subspace> spaces_;
};

// The defaults of the templates, each made valid, in order.
class Defaults {
 public:
  explicit Defaults(Shared& shared) : shared_(&shared) {}

  std::optional<Choice> next() {
    while (template_ < shared_->domain.space().size()) {
      const std::uint32_t t = template_++;
      if (!shared_->domain.hopeless(t).empty()) {
        continue;
      }
      Rng rng = shared_->draw_stream("seed");
      auto genome =
          shared_->domain.walker(t).repair(shared_->domain.axes(t).default_genome(), {}, rng);
      if (genome && shared_->is_new(t, *genome)) {
        Choice choice;
        choice.point = {t, std::move(*genome)};
        choice.node = shared_->template_nodes[t];
        choice.mutator = "seed";
        choice.why = "the template's default";
        return choice;
      }
    }
    return std::nullopt;
  }

 private:
  Shared* shared_;
  std::uint32_t template_ = 0;
};

class PlainChooser : public Chooser {
 public:
  explicit PlainChooser(Shared& shared) : shared_(shared) {}

  void learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>&) override {
    const Outcome outcome{lesson.candidate, lesson.valid, lesson.log_cost};
    shared_.tree.record(attempt.proposed.node, outcome);
    shared_.ledger.record(attempt.proposed.mutator,
                          lesson.valid,
                          lesson.gain,
                          lesson.seconds > 0.0 ? lesson.seconds : 1.0);
  }

 protected:
  Choice random_choice(Point point, std::string why) const {
    Choice choice;
    choice.node = shared_.template_nodes[point.template_index];
    choice.point = std::move(point);
    choice.mutator = "jump";
    choice.why = std::move(why);
    return choice;
  }
  Shared& shared_;
};

class RandomChooser final : public PlainChooser {
 public:
  explicit RandomChooser(Shared& shared) : PlainChooser(shared), points_(shared) {}

  std::optional<Choice> next(std::vector<Event>&) override {
    auto point = points_.next();
    if (!point) {
      return std::nullopt;
    }
    return random_choice(std::move(*point), "uniform over the untried points");
  }

 private:
  RandomPoints points_;
};

// Defaults first, then (for best_of_n) random points.
class DefaultsFirst final : public PlainChooser {
 public:
  DefaultsFirst(Shared& shared, bool random_after)
      : PlainChooser(shared), defaults_(shared), points_(shared), random_after_(random_after) {}

  std::optional<Choice> next(std::vector<Event>&) override {
    if (auto choice = defaults_.next()) {
      return choice;
    }
    auto point = random_after_ ? points_.next() : std::nullopt;
    if (!point) {
      return std::nullopt;
    }
    return random_choice(std::move(*point), "one of n random points");
  }

 private:
  Defaults defaults_;
  RandomPoints points_;
  bool random_after_;
};

// First improvement among single-axis neighbours; a random restart when none is left.
class HillclimbChooser final : public PlainChooser {
 public:
  explicit HillclimbChooser(Shared& shared)
      : PlainChooser(shared), defaults_(shared), points_(shared) {}

  std::optional<Choice> next(std::vector<Event>&) override {
    if (auto choice = defaults_.next()) {
      return choice;
    }
    while (!around_.empty()) {
      Point point = std::move(around_.back());
      around_.pop_back();
      if (shared_.is_new(point.template_index, point.genome)) {
        Choice choice;
        choice.node = shared_.template_nodes[point.template_index];
        choice.point = std::move(point);
        choice.mutator = "axis_step";
        choice.parents = {*current_};
        choice.why = fmt::format("a neighbour of candidate {}", current_->value);
        return choice;
      }
    }
    auto point = points_.next();
    if (!point) {
      return std::nullopt;
    }
    current_.reset();
    return random_choice(std::move(*point), "a random restart");
  }

  void learn(const Attempt& attempt, const Lesson& lesson, std::vector<Event>& out) override {
    PlainChooser::learn(attempt, lesson, out);
    if (!lesson.valid || !attempt.point || (current_ && lesson.log_cost >= current_cost_)) {
      return;
    }
    current_ = lesson.candidate;
    current_cost_ = lesson.log_cost;
    around_.clear();
    const std::uint32_t t = attempt.point->template_index;
    for (Genome& genome : shared_.domain.walker(t).neighbours(attempt.point->genome, false)) {
      around_.push_back({t, std::move(genome)});
    }
    Rng rng = stream(shared_.seed, "hillclimb", lesson.candidate.value);
    rng.shuffle(around_);
  }

 private:
  Defaults defaults_;
  RandomPoints points_;
  std::optional<CandidateId> current_;
  double current_cost_ = 0.0;
  std::vector<Point> around_;  // of the current point, shuffled
};

}  // namespace

std::unique_ptr<Chooser> make_random_chooser(Shared& shared) {
  return std::make_unique<RandomChooser>(shared);
}
std::unique_ptr<Chooser> make_best_of_n_chooser(Shared& shared) {
  return std::make_unique<DefaultsFirst>(shared, true);
}
std::unique_ptr<Chooser> make_default_chooser(Shared& shared) {
  return std::make_unique<DefaultsFirst>(shared, false);
}
std::unique_ptr<Chooser> make_hillclimb_chooser(Shared& shared) {
  return std::make_unique<HillclimbChooser>(shared);
}

}  // namespace coppice::search
