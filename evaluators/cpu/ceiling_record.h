// CeilingRecord: what this machine's ceilings were measured at, kept between runs so that one
// disturbed measurement spoils nothing for long.
#pragma once

#include "core/units.h"
#include "evaluators/cpu/machine.h"

#include <functional>
#include <string>
#include <vector>

namespace coppice::evaluators::cpu {

// A value. Other work on a machine only lowers what is measured, so the best of several
// measurements counts; only the newest few are kept, so that a wrong one is forgotten.
class CeilingRecord {
 public:
  static constexpr std::size_t kMost = 8;
  static constexpr std::size_t kEnough = 3;  // measurements before one is trusted for a day

  struct Entry {
    Nanoseconds at{};  // wall clock
    Ceilings ceilings;
  };

  void add(const Entry& entry);
  Ceilings best() const;            // each ceiling's best; zeros when there is no measurement
  bool due(Nanoseconds now) const;  // too few measurements, or the newest is a day old
  Nanoseconds newest() const;
  const std::vector<Entry>& entries() const { return entries_; }  // oldest first

 private:
  std::vector<Entry> entries_;
};

Json to_json(const CeilingRecord& record);
Result<CeilingRecord> ceiling_record(const JsonReader& json);

// Where the record of a machine lies, and what measures it.
struct CeilingSource {
  Machine machine;
  std::string folder;  // empty: nothing is kept, always measured
  std::function<Ceilings(const Machine&)> measure = measure_ceilings;
  std::function<Nanoseconds()> now;  // wall clock; empty: the system's

  std::string path() const;  // `<folder>/ceilings-<host>.json`, one a kind of machine
};

enum class Measuring { when_due, now };
// The record, with a fresh measurement where one is due or asked for. A record that can't be read
// or written is as none: it is only a cache.
CeilingRecord look_up_ceilings(const CeilingSource& source, Measuring when);
// Adds a measurement taken elsewhere, when it is better in something.
void keep_ceilings(const CeilingSource& source, const Ceilings& measured);

}  // namespace coppice::evaluators::cpu
