// RecordedTable: a brute-forced search space read from a file, so that a search runs without a
// device.
#pragma once

#include "core/evidence.h"
#include "core/result.h"
#include "core/search_space.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

// What the table knows about one configuration.
struct RecordedOutcome {
  bool valid = false;
  double milliseconds = 0.0;  // valid only: mean of the recorded runs
  double log_noise = 0.0;     // standard error of ln(milliseconds); 0 = unknown
  Gate gate = Gate::timing_quality;
  FailureClass failure = FailureClass::none;
  double compile_seconds = 0.0;
  double run_seconds = 0.0;
};

// Immutable after reading; thread-safe.
class RecordedTable {
 public:
  // Reads a Kernel Tuner cache file (old or new, also one that was cut off while being written) or
  // T4 results, or KTT's JSON output; gzip or plain. What is not in the file is outside the space.
  static Result<RecordedTable> read(const std::string& path);
  static Result<RecordedTable> parse(std::string_view text, std::string_view name);

  // Of a listed space: genomes ascending, with the outcome of each. Errors: as
  // AxisSpace::create_listed, and no outcome that is valid.
  static Result<RecordedTable> create(std::string name,
                                      std::vector<Axis> axes,
                                      std::vector<Genome> genomes,
                                      std::vector<RecordedOutcome> outcomes);

  const std::string& name() const { return space_.name; }  // kernel and device
  const TemplateSpace& space() const { return space_; }    // a listed space
  std::size_t size() const { return outcomes_.size(); }
  std::size_t valid_count() const;
  // In the order of space().space.listed().
  const std::vector<RecordedOutcome>& outcomes() const { return outcomes_; }
  const RecordedOutcome* find(const Genome& genome) const;  // null: outside the space
  const Genome& optimum() const { return (*space_.space.listed())[optimum_]; }
  double optimum_milliseconds() const { return outcomes_[optimum_].milliseconds; }
  // Entries that were cut off at the end of the file: 0 or 1.
  int torn_entries() const { return torn_; }

 private:
  TemplateSpace space_;
  std::vector<RecordedOutcome> outcomes_;
  std::size_t optimum_ = 0;
  int torn_ = 0;
};

}  // namespace coppice::evaluators
