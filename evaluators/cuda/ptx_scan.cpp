// Reads declarations line by line, as NVRTC writes them.
#include "evaluators/cuda/ptx_scan.h"

#include <algorithm>
#include <cctype>

namespace coppice::evaluators::cuda {
namespace {

bool name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%';
}

template <class Visit>
void each_numbered_line(std::string_view text, Visit visit) {
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    visit(start, text.substr(start, end - start));
    start = end + 1;
  }
}

std::string_view without_blanks(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) {
    line.remove_prefix(1);
  }
  return line;
}

bool take_word(std::string_view& line, std::string_view word) {
  if (line.substr(0, word.size()) != word) {
    return false;
  }
  line = without_blanks(line.substr(word.size()));
  return true;
}

// ".global .align 4 .u32 kPer = 4;": the name, empty when the line declares no such variable.
std::string_view declared_variable(std::string_view line) {
  line = without_blanks(line);
  while (take_word(line, ".visible") || take_word(line, ".weak") || take_word(line, ".extern") ||
         take_word(line, ".common")) {
  }
  if (!take_word(line, ".global")) {
    return {};
  }
  line = line.substr(0, line.find_first_of("=[;"));
  while (!line.empty() && !name_character(line.back())) {
    line.remove_suffix(1);
  }
  std::size_t first = line.size();
  while (first > 0 && name_character(line[first - 1])) {
    --first;
  }
  return line.substr(first);
}

bool refers(std::string_view ptx,
            std::string_view name,
            std::size_t skip_from,
            std::size_t skip_to) {
  for (std::size_t at = ptx.find(name); at != std::string_view::npos; at = ptx.find(name, at + 1)) {
    const bool whole = (at == 0 || !name_character(ptx[at - 1])) &&
                       (at + name.size() == ptx.size() || !name_character(ptx[at + name.size()]));
    if (whole && (at < skip_from || at >= skip_to)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> stateful_variables(std::string_view ptx) {
  std::vector<std::string> out;
  each_numbered_line(ptx, [&](std::size_t start, std::string_view line) {
    const std::string_view name = declared_variable(line);
    const bool initialised = line.find('=') != std::string_view::npos;
    if (!name.empty() && (!initialised || refers(ptx, name, start, start + line.size()))) {
      out.emplace_back(name);
    }
  });
  return out;
}

std::vector<std::string> foreign_functions(std::string_view ptx) {
  std::vector<std::string> out;
  each_numbered_line(ptx, [&](std::size_t, std::string_view line) {
    line = without_blanks(line);
    if (!take_word(line, ".extern") || !take_word(line, ".func")) {
      return;
    }
    if (!line.empty() && line.front() == '(') {  // the return value
      line = without_blanks(line.substr(std::min(line.find(')') + 1, line.size())));
    }
    std::size_t end = 0;
    while (end < line.size() && name_character(line[end])) {
      ++end;
    }
    out.emplace_back(line.substr(0, end));
  });
  return out;
}

std::string forbidden_in_ptx(std::string_view ptx) {
  if (const auto variables = stateful_variables(ptx); !variables.empty()) {
    return "device variable \"" + variables.front() +
           "\" could carry state between launches; use __constant__ tables, enum constants or "
           "workspace";
  }
  if (const auto functions = foreign_functions(ptx); !functions.empty()) {
    return "calls \"" + functions.front() + "\", which a kernel may not";
  }
  return "";
}

}  // namespace coppice::evaluators::cuda
