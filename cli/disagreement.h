// Disagreement: notices a run in which every template gives other values than the reference, so
// that the operation is looked at and not each candidate.
#pragma once

#include "cli/run_reader.h"
#include "core/event.h"

#include <map>
#include <optional>
#include <string>

namespace coppice::cli {

// A value; feed it each answered attempt.
class Disagreement {
 public:
  explicit Disagreement(const RunMaterial& material);
  static Disagreement of(const RunReader& run);  // fed with all of a run

  void take(const Proposed& proposal, const Evidence& evidence);
  // What to tell a person when nothing was valid and every template's default (or three other
  // candidates of it) computed wrong values.
  std::optional<std::string> finding() const;

 private:
  struct Tally {
    int wrong = 0;
    bool default_wrong = false;
  };
  std::map<std::string, Tally> templates_;
  std::string op_;  // as the user named it
  bool any_valid_ = false;
};

}  // namespace coppice::cli
