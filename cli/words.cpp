// Formats numbers for people.
#include "cli/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <ctime>

namespace coppice::cli {
namespace {

std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
  }));
}

bool numeric(const std::string& text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) != 0 || text == "-");
}

}  // namespace

std::string speed_text(double speedup) {
  return std::isfinite(speedup) ? fmt::format("{:.{}f}x", speedup, speedup < 10.0 ? 2 : 1) : "-";
}

std::string cost_text(double log_cost, bool against_baseline) {
  return against_baseline ? speed_text(std::exp(-log_cost))
                          : time_text(Nanoseconds(std::llround(1e6 * std::exp(log_cost))));
}

std::string time_text(Nanoseconds time) {
  const double us = to_microseconds(time);
  if (us >= 1e6) {
    return fmt::format("{:.3g} s", us * 1e-6);
  }
  return us >= 1e3 ? fmt::format("{:.2f} ms", us * 1e-3) : fmt::format("{:.1f} us", us);
}

std::string duration_text(Nanoseconds duration) {
  const double exact = to_seconds(duration);
  const auto seconds = static_cast<long long>(std::llround(exact));
  if (seconds >= 3600) {
    return fmt::format("{} h {} min", seconds / 3600, seconds % 3600 / 60);
  }
  if (seconds >= 120) {
    return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  }
  return exact < 10.0 ? fmt::format("{:.1f} s", exact) : fmt::format("{} s", seconds);
}

std::string size_text(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 1000.0 && unit < 4) {
    bytes /= 1000.0;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, bytes < 10.0 && unit > 0 ? 1 : 0, units[unit]);
}

std::string date_text(Nanoseconds since_epoch) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count();
  std::tm parts{};
  char buffer[32];
  if (::localtime_r(&seconds, &parts) == nullptr ||
      std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M", &parts) == 0) {
    return "-";
  }
  return buffer;
}

std::string share_text(double share) {
  return fmt::format("{:.0f} %", 100.0 * share);
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - width_of(row[i]), ' ');
      line += (i == 0 ? "" : "  ") + (numeric(row[i]) ? gap + row[i] : row[i] + gap);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace coppice::cli
