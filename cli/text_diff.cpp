// Finds a shortest edit script between two lists of lines.
#include "cli/text_diff.h"

#include <algorithm>
#include <cstddef>

namespace coppice::cli {
namespace {

constexpr std::ptrdiff_t kMost = 4000;
constexpr std::size_t kContext = 3;

using Lines = std::vector<std::string_view>;

Lines split(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// The furthest x on each diagonal after d edits, one array a step, so that the path can be walked
// back.
std::vector<std::vector<std::ptrdiff_t>> trace(const Lines& a, const Lines& b) {
  const auto n = static_cast<std::ptrdiff_t>(a.size());
  const auto m = static_cast<std::ptrdiff_t>(b.size());
  const std::ptrdiff_t most = std::min(n + m, kMost);
  std::vector<std::ptrdiff_t> v(static_cast<std::size_t>(2 * most + 3), 0);
  const auto at = [&](std::ptrdiff_t k) -> std::ptrdiff_t& {
    return v[static_cast<std::size_t>(k + most + 1)];
  };
  std::vector<std::vector<std::ptrdiff_t>> steps;
  for (std::ptrdiff_t d = 0; d <= most; ++d) {
    steps.emplace_back(v.begin() + (most + 1 - d), v.begin() + (most + 2 + d));
    for (std::ptrdiff_t k = -d; k <= d; k += 2) {
      const bool down = k == -d || (k != d && at(k - 1) < at(k + 1));
      std::ptrdiff_t x = down ? at(k + 1) : at(k - 1) + 1;
      while (x < n && x - k < m &&
             a[static_cast<std::size_t>(x)] == b[static_cast<std::size_t>(x - k)]) {
        ++x;
      }
      at(k) = x;
      if (x >= n && x - k >= m) {
        return steps;
      }
    }
  }
  return {};
}

void emit(std::vector<DiffLine>& out, char kind, std::string_view text) {
  out.push_back({kind, std::string(text)});
}

std::vector<DiffLine> walk_back(const Lines& a,
                                const Lines& b,
                                const std::vector<std::vector<std::ptrdiff_t>>& steps) {
  std::vector<DiffLine> out;
  auto x = static_cast<std::ptrdiff_t>(a.size());
  auto y = static_cast<std::ptrdiff_t>(b.size());
  for (auto d = static_cast<std::ptrdiff_t>(steps.size()) - 1; d >= 0; --d) {
    const auto& v = steps[static_cast<std::size_t>(d)];
    const auto at = [&](std::ptrdiff_t k) {
      return v[static_cast<std::size_t>(k + d)];
    };
    const std::ptrdiff_t k = x - y;
    std::ptrdiff_t from_x = 0;
    std::ptrdiff_t from_y = 0;
    if (d > 0) {
      const bool down = k == -d || (k != d && at(k - 1) < at(k + 1));
      const std::ptrdiff_t from_k = down ? k + 1 : k - 1;
      from_x = at(from_k);
      from_y = from_x - from_k;
    }
    while (x > from_x && y > from_y) {
      emit(out, ' ', a[static_cast<std::size_t>(--x)]);
      --y;
    }
    if (d > 0 && x == from_x) {
      emit(out, '+', b[static_cast<std::size_t>(--y)]);
    } else if (d > 0) {
      emit(out, '-', a[static_cast<std::size_t>(--x)]);
    }
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::string hunk_head(const std::vector<DiffLine>& lines, std::size_t from, std::size_t to) {
  std::size_t before = 1;
  std::size_t after = 1;
  for (std::size_t i = 0; i < from; ++i) {
    before += lines[i].kind != '+' ? 1 : 0;
    after += lines[i].kind != '-' ? 1 : 0;
  }
  std::size_t before_count = 0;
  std::size_t after_count = 0;
  for (std::size_t i = from; i < to; ++i) {
    before_count += lines[i].kind != '+' ? 1 : 0;
    after_count += lines[i].kind != '-' ? 1 : 0;
  }
  return "@@ -" + std::to_string(before) + "," + std::to_string(before_count) + " +" +
         std::to_string(after) + "," + std::to_string(after_count) + " @@\n";
}

}  // namespace

std::vector<DiffLine> diff_lines(std::string_view before, std::string_view after) {
  const Lines a = split(before);
  const Lines b = split(after);
  const auto steps = trace(a, b);
  if (!steps.empty()) {
    return walk_back(a, b, steps);
  }
  std::vector<DiffLine> out;
  for (const std::string_view line : a) {
    emit(out, '-', line);
  }
  for (const std::string_view line : b) {
    emit(out, '+', line);
  }
  return out;
}

std::string unified_diff(std::string_view before,
                         std::string_view after,
                         const std::string& before_name,
                         const std::string& after_name) {
  const std::vector<DiffLine> lines = diff_lines(before, after);
  std::string out;
  std::size_t i = 0;
  while (i < lines.size()) {
    if (lines[i].kind == ' ') {
      ++i;
      continue;
    }
    const std::size_t from = i < kContext ? 0 : i - kContext;
    std::size_t last = i;
    for (std::size_t j = i; j < lines.size() && j <= last + 2 * kContext; ++j) {
      last = lines[j].kind != ' ' ? j : last;
    }
    const std::size_t to = std::min(lines.size(), last + kContext + 1);
    out += out.empty() ? "--- " + before_name + "\n+++ " + after_name + "\n" : "";
    out += hunk_head(lines, from, to);
    for (std::size_t j = from; j < to; ++j) {
      out += lines[j].kind + lines[j].text + "\n";
    }
    i = to;
  }
  return out;
}

}  // namespace coppice::cli
