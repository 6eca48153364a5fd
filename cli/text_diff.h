// Line-by-line difference of two texts, for `diff` and the report.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

struct DiffLine {
  char kind = ' ';  // ' ' in both, '-' only in the first, '+' only in the second
  std::string text;
};

// A shortest edit script (Myers 1986). Past 4,000 changed lines it gives up looking for a short
// one: then the middle is all of the first, then all of the second.
std::vector<DiffLine> diff_lines(std::string_view before, std::string_view after);

// As `diff -u` writes it, with three lines of context; empty when the texts are equal.
std::string unified_diff(std::string_view before,
                         std::string_view after,
                         const std::string& before_name,
                         const std::string& after_name);

}  // namespace coppice::cli
