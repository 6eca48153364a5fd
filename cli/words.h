// How numbers read: speed-ups, times, sizes; the same in every command.
#pragma once

#include "core/units.h"

#include <string>
#include <utility>
#include <vector>

namespace coppice::cli {

std::string speed_text(double speedup);  // "1.83x"
// Of a Performance::log_cost: a speed-up where there is a baseline, else a time.
std::string cost_text(double log_cost, bool against_baseline);
std::string time_text(Nanoseconds time);          // "412 us", "3.1 ms", "2.5 s"
std::string duration_text(Nanoseconds duration);  // "42 s", "3 min 5 s", "2 h 10 min"
std::string size_text(double bytes);              // "2.8 GB"
std::string date_text(Nanoseconds since_epoch);   // "2026-01-31 07:05" (local time)
std::string share_text(double share);             // "76 %"
// Left-aligned columns with two spaces between; numbers (first character a digit) to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() < 2; }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace coppice::cli
