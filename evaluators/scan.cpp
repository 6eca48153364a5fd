// A small lexer's view of a source: logical lines without comments, and words.

#include "evaluators/scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace coppice::evaluators {
namespace {

constexpr std::array kCpuHeaders = {"coppice_cpu.h",
                                    "immintrin.h",
                                    "arm_neon.h",
                                    "arm_sve.h",
                                    "cmath",
                                    "algorithm",
                                    "cstring",
                                    "limits",
                                    "cstdint",
                                    "cstddef"};
constexpr std::array kCudaHeaders = {"coppice_cuda.h",
                                     "cuda_bf16.h",
                                     "cuda_fp16.h",
                                     "cuda_fp8.h",
                                     "cuda.h",
                                     "mma.h",
                                     "cuda_pipeline.h",
                                     "cooperative_groups.h",
                                     "cstdint",
                                     "cstddef"};
// Words that no kernel needs and attacks do. GCC's spellings of attributes and assembly included.
constexpr std::array kForbiddenWords = {"constructor",
                                        "__constructor__",
                                        "destructor",
                                        "__destructor__",
                                        "ifunc",
                                        "__ifunc__",
                                        "init_priority",
                                        "__init_priority__",
                                        "thread_local",
                                        "__thread",
                                        "syscall",
                                        "_Pragma",
                                        "__has_include",
                                        "__has_embed",
                                        "dlopen",
                                        "dlsym"};
constexpr std::array kAssembly = {"asm", "__asm", "__asm__"};
constexpr std::size_t kLargestSource = 1 << 20;
constexpr std::size_t kLongestLiteral = 2048;

struct Line {
  int number = 1;
  std::string text;
};

Verdict refuse_line(int line, std::string_view what) {
  return Verdict{
      false, Gate::scan, FailureClass::forbidden_code, fmt::format("line {}: {}", line, what)};
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

char trigraph(char c) {
  constexpr std::string_view kFrom = "=/'()!<>-";
  constexpr std::string_view kTo = "#\\^[]|{}~";
  const std::size_t at = kFrom.find(c);
  return at == std::string_view::npos ? '\0' : kTo[at];
}

// Trigraphs replaced and continued lines joined; each logical line keeps its first number.
std::vector<Line> logical_lines(std::string_view source) {
  std::vector<Line> out(1);
  int number = 1;
  for (std::size_t i = 0; i < source.size(); ++i) {
    char c = source[i];
    if (c == '?' && i + 2 < source.size() && source[i + 1] == '?' && trigraph(source[i + 2]) != 0) {
      c = trigraph(source[i + 2]);
      i += 2;
    }
    if (c == '\\') {
      std::size_t next = i + 1;  // GCC also joins when blanks follow the backslash
      while (next < source.size() &&
             (source[next] == ' ' || source[next] == '\t' || source[next] == '\r')) {
        ++next;
      }
      if (next < source.size() && source[next] == '\n') {
        i = next;
        ++number;
        continue;
      }
    }
    if (c == '\n') {
      ++number;
      out.push_back({number, {}});
    } else {
      out.back().text.push_back(c);
    }
  }
  return out;
}

// Blanks out comments, and strings' contents unless the line is a directive. Reports literals that
// are too long to be anything but smuggled data.
class Cleaner {
 public:
  std::optional<Verdict> clean(Line& line) {
    std::string out;
    const bool directive = is_directive(line.text);
    for (std::size_t i = 0; i < line.text.size(); ++i) {
      const char c = line.text[i];
      const char next = i + 1 < line.text.size() ? line.text[i + 1] : '\0';
      if (in_comment_) {
        if (c == '*' && next == '/') {
          in_comment_ = false;
          ++i;
        }
        continue;
      }
      if (c == '/' && next == '/') {
        break;
      }
      if (c == '/' && next == '*') {
        in_comment_ = true;
        out.push_back(' ');
        ++i;
        continue;
      }
      const bool digit_separator = c == '\'' && i > 0 && is_word(line.text[i - 1]);
      if ((c == '"' || c == '\'') && !directive && !digit_separator) {
        if (c == '"' && i > 0 && line.text[i - 1] == 'R') {
          return refuse_line(line.number, "raw string literals are not allowed");
        }
        const std::size_t start = i;
        for (++i; i < line.text.size() && line.text[i] != c; ++i) {
          i += line.text[i] == '\\' ? 1U : 0U;
        }
        literal_bytes_ += i - start;
        out += "\"\"";
        continue;
      }
      out.push_back(c);
    }
    if (literal_bytes_ > kLongestLiteral) {
      return refuse_line(line.number, "more than 2048 bytes of string literals");
    }
    line.text = std::move(out);
    return std::nullopt;
  }

  static bool is_directive(std::string_view text) {
    const std::size_t at = text.find_first_not_of(" \t\r\v\f");
    return at != std::string_view::npos && (text[at] == '#' || text.substr(at, 2) == "%:");
  }

 private:
  bool in_comment_ = false;
  std::size_t literal_bytes_ = 0;
};

std::optional<Verdict> check_directive(const Line& line, const ScanRules& rules) {
  std::string_view rest = line.text;
  const std::size_t hash = rest.find_first_not_of(" \t\r\v\f");
  rest.remove_prefix(hash + (rest[hash] == '#' ? 1U : 2U));
  const std::size_t start = rest.find_first_not_of(" \t\r\v\f");
  if (start == std::string_view::npos) {
    return std::nullopt;
  }
  rest.remove_prefix(start);
  const std::size_t end =
      std::min(rest.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), rest.size());
  const std::string_view word = rest.substr(0, end);
  if (word == "include_next" || word == "import" || word == "embed" || word == "ident" ||
      word == "sccs" || word == "assert") {
    return refuse_line(line.number, fmt::format("#{} is not allowed", word));
  }
  if (word == "pragma" && (rest.find("dependency") != rest.npos || rest.find("pch") != rest.npos ||
                           rest.find("weak") != rest.npos || rest.find("redefine") != rest.npos)) {
    return refuse_line(line.number, "this #pragma is not allowed");
  }
  if (word != "include") {
    return std::nullopt;
  }
  rest.remove_prefix(end);
  const std::size_t open = rest.find_first_not_of(" \t\r\v\f");
  const char closing = open == rest.npos   ? '\0'
                       : rest[open] == '<' ? '>'
                       : rest[open] == '"' ? '"'
                                           : '\0';
  const std::size_t close = closing == '\0' ? rest.npos : rest.find(closing, open + 1);
  if (close == rest.npos) {
    return refuse_line(line.number, "#include needs a literal <name> or \"name\"");
  }
  const std::string_view name = rest.substr(open + 1, close - open - 1);
  const auto listed = [&](const auto& list) {
    return std::any_of(
        std::begin(list), std::end(list), [&](const auto& item) { return name == item; });
  };
  const bool cuda = rules.backend == "cuda";
  if ((cuda ? listed(kCudaHeaders) : listed(kCpuHeaders)) || listed(rules.allowed_headers)) {
    return std::nullopt;
  }
  return refuse_line(line.number, fmt::format("#include of '{}' is not allowed", name));
}

std::optional<Verdict> check_words(const Line& line, const ScanRules& rules) {
  const std::string& text = line.text;
  for (std::size_t i = 0; i < text.size();) {
    if (!is_word(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && is_word(text[end])) {
      ++end;
    }
    const std::string_view word = std::string_view(text).substr(i, end - i);
    const auto is = [&](const char* other) {
      return word == other;
    };
    if (std::any_of(kForbiddenWords.begin(), kForbiddenWords.end(), is)) {
      return refuse_line(line.number, fmt::format("'{}' is not allowed", word));
    }
    if (rules.backend != "cuda" && std::any_of(kAssembly.begin(), kAssembly.end(), is)) {
      return refuse_line(line.number, "inline assembly is not allowed");
    }
    i = end;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Verdict> scan_source(std::string_view source, const ScanRules& rules) {
  if (source.size() > kLargestSource) {
    return refuse_line(
        1, fmt::format("{} bytes of source, at most {}", source.size(), kLargestSource));
  }
  int number = 1;
  for (const char c : source) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || (byte < 0x20 && c != '\n' && c != '\t' && c != '\r' && c != '\f')) {
      return refuse_line(number,
                         fmt::format("byte 0x{:02x}: only printable ASCII is allowed", byte));
    }
    number += c == '\n' ? 1 : 0;
  }
  Cleaner cleaner;
  for (Line& line : logical_lines(source)) {
    if (auto found = cleaner.clean(line)) {
      return found;
    }
    if (Cleaner::is_directive(line.text)) {
      if (auto found = check_directive(line, rules)) {
        return found;
      }
    }
    if (auto found = check_words(line, rules)) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace coppice::evaluators
