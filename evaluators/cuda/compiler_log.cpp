// Compiler logs for people: located errors first, statistics out, bounded, valid UTF-8.
#include "evaluators/cuda/nvrtc_toolchain.h"

namespace coppice::evaluators::cuda {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// "kernel.cu(12): error: x" as "kernel.cu:12: error: x".
std::string located(std::string_view line) {
  const std::size_t open = line.find('(');
  const std::size_t close = line.find("):", open);
  if (open == std::string_view::npos || close == std::string_view::npos ||
      line.substr(open + 1, close - open - 1).find_first_not_of("0123456789") !=
          std::string_view::npos) {
    return std::string(line);
  }
  return std::string(line.substr(0, open)) + ":" +
         std::string(line.substr(open + 1, close - open - 1)) + std::string(line.substr(close + 1));
}

// Keeps printable text and whole UTF-8 sequences; anything else becomes '?'.
void append_clean(std::string& out, std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = c < 0x80         ? 1
                               : (c >> 5) == 6  ? 2
                               : (c >> 4) == 14 ? 3
                               : (c >> 3) == 30 ? 4
                                                : 0;
    bool good = length != 0 && i + length <= text.size() && (c >= 0x20 || c == '\t');
    for (std::size_t k = 1; good && k < length; ++k) {
      good = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    }
    if (good) {
      out.append(text.substr(i, length));
      i += length;
    } else {
      out += '?';
      ++i;
    }
  }
}

template <class Visit>
void each_line(std::string_view log, Visit visit) {
  std::size_t start = 0;
  while (start < log.size()) {
    const std::size_t end = std::min(log.find('\n', start), log.size());
    if (!visit(log.substr(start, end - start))) {
      return;
    }
    start = end + 1;
  }
}

}  // namespace

std::string first_error(std::string_view log) {
  std::string found;
  each_line(log, [&](std::string_view line) {
    if (contains(line, "error") && !contains(line, "errors detected") &&
        !contains(line, "error detected")) {
      append_clean(found, located(line.substr(0, 500)));
      return false;
    }
    return true;
  });
  return found;
}

std::string filtered_log(std::string_view log, std::size_t limit) {
  std::string out;
  each_line(log, [&](std::string_view line) {
    if (contains(line, "Compile time =")) {
      return true;  // differs between runs
    }
    append_clean(out, located(line));
    out += '\n';
    return out.size() <= limit;
  });
  if (out.size() > limit) {
    out.resize(limit);
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0x80) != 0) {
      out.pop_back();
    }
    out += "\n... cut\n";
  }
  return out;
}

}  // namespace coppice::evaluators::cuda
