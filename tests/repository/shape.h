// Sizes of functions and files, read from formatted sources: 60 lines, 6 parameters, 500 lines.
#pragma once

#include "tests/repository/source_tree.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace coppice::repository {

inline constexpr std::size_t kMostFunctionLines = 60;
inline constexpr std::size_t kMostParameters = 6;
inline constexpr std::size_t kMostFileLines = 500;

inline std::size_t indent_of(const std::string& line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

// A line without comments, and with the insides of text and character literals blanked.
inline std::string code_of(const std::string& line) {
  std::string out;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
      }
      continue;
    }
    if (c == '/' && i + 1 < line.size() && line[i + 1] == '/') {
      break;
    }
    const bool digit_separator =
        c == '\'' && i > 0 && std::isalnum(static_cast<unsigned char>(line[i - 1]));
    if ((c == '"' || c == '\'') && !digit_separator) {
      quote = c;
      continue;
    }
    out.push_back(c);
  }
  return out;
}

// The number of parameters in a signature: commas at the depth of its last parameter list.
inline std::size_t parameters_of(const std::string& signature) {
  int depth = 0;
  std::size_t commas = 0;
  bool any = false;
  for (std::size_t i = signature.find('('); i < signature.size(); ++i) {
    const char c = signature[i];
    if (c == '(' || c == '<' || c == '{' || c == '[') {
      ++depth;
    } else if (c == ')' || c == '>' || c == '}' || c == ']') {
      --depth;
      if (depth == 0 && c == ')') {
        break;
      }
    } else if (depth == 1 && c == ',') {
      ++commas;
    } else if (depth >= 1 && c != ' ') {
      any = true;
    }
  }
  return any ? commas + 1 : 0;
}

inline bool starts_with_word(std::string_view text, std::string_view word) {
  return text.starts_with(word) && (text.size() == word.size() ||
                                    !std::isalnum(static_cast<unsigned char>(text[word.size()])));
}

// Something that opens a brace without being a function.
inline bool is_block(std::string_view head) {
  static constexpr std::array<std::string_view, 18> kWords = {"namespace",
                                                              "class",
                                                              "struct",
                                                              "enum",
                                                              "union",
                                                              "extern",
                                                              "if",
                                                              "for",
                                                              "while",
                                                              "switch",
                                                              "else",
                                                              "do",
                                                              "return",
                                                              "TEST_CASE",
                                                              "}",
                                                              "case",
                                                              "try",
                                                              "SECTION"};
  return std::ranges::any_of(kWords, [&](auto word) { return starts_with_word(head, word); });
}

// clang-format puts a function's closing brace in the column in which its signature begins.
class ShapeCheck {
 public:
  ShapeCheck(std::string path, const std::string& text)
      : path_(std::move(path)), lines_(lines_of(text)) {
    if (lines_.size() > kMostFileLines) {
      complain(0,
               "file has " + std::to_string(lines_.size()) + " lines, at most " +
                   std::to_string(kMostFileLines));
    }
    bool raw = false;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const bool opens = lines_[i].find("R\"") != std::string::npos;
      const bool closes = lines_[i].find(")\"") != std::string::npos ||
                          lines_[i].find(")json\"") != std::string::npos;
      if (!raw && !opens) {
        look_at(i);
      }
      raw = (raw || opens) && !closes;
    }
  }

  std::vector<std::string> take() { return std::move(findings_); }

 private:
  void complain(std::size_t line, const std::string& message) {
    findings_.push_back(path_ + ":" + std::to_string(line + 1) + ": " + message);
  }

  // Does a function's body open at the end of line i?
  void look_at(std::size_t i) {
    const std::string code = code_of(lines_[i]);
    const std::size_t last = code.find_last_not_of(' ');
    if (last == std::string::npos || code[last] != '{') {
      return;
    }
    const std::size_t first = first_line(i);
    std::string head;
    for (std::size_t k = first; k <= i; ++k) {
      head += code_of(lines_[k]).substr(std::min(indent_of(lines_[k]), code_of(lines_[k]).size()));
      head += ' ';
    }
    const std::size_t open = head.find('(');
    // A lambda among a call's arguments is part of the function around it.
    const bool lambda =
        (head.find("](") != std::string::npos || head.find("] {") != std::string::npos) &&
        head.find("operator[]") == std::string::npos;
    if (open == std::string::npos || lambda || is_block(head) ||
        head.substr(0, open).find('=') != std::string::npos) {
      return;
    }
    if (!path_.starts_with("tests/")) {  // there a table of cases may be long
      measure(first, i, head);
    }
  }

  // The line in which the statement that opens its body on line i begins.
  std::size_t first_line(std::size_t i) const {
    int depth = 0;
    std::size_t first = i;
    for (std::size_t k = i + 1; k-- > 0;) {
      const std::string code = code_of(lines_[k]);
      depth += static_cast<int>(std::ranges::count(code, ')')) -
               static_cast<int>(std::ranges::count(code, '('));
      first = k;
      const bool initialiser =
          code.find_first_not_of(' ') != std::string::npos &&
          (code[code.find_first_not_of(' ')] == ':' || code[code.find_first_not_of(' ')] == ',');
      if (depth <= 0 && !initialiser && (k == 0 || ends_statement(k - 1))) {
        break;
      }
    }
    return first;
  }

  bool ends_statement(std::size_t i) const {
    const std::string code = code_of(lines_[i]);
    const std::size_t last = code.find_last_not_of(' ');
    return last == std::string::npos || code[last] == ';' || code[last] == '{' ||
           code[last] == '}' || code[last] == ':' || code.starts_with('#') || code[last] == '>' ||
           code[last] == '\\';
  }

  void measure(std::size_t first, std::size_t open, const std::string& head) {
    const std::size_t parameters = parameters_of(head);
    if (parameters > kMostParameters) {
      complain(first,
               "function has " + std::to_string(parameters) + " parameters, at most " +
                   std::to_string(kMostParameters));
    }
    const std::string closing = std::string(indent_of(lines_[first]), ' ') + "}";
    for (std::size_t i = open + 1; i < lines_.size(); ++i) {
      if (lines_[i].starts_with(closing)) {
        const std::size_t size = i - first + 1;
        if (size > kMostFunctionLines) {
          complain(first,
                   "function has " + std::to_string(size) + " lines, at most " +
                       std::to_string(kMostFunctionLines));
        }
        return;
      }
    }
  }

  std::string path_;
  std::vector<std::string> lines_;
  std::vector<std::string> findings_;
};

inline std::vector<std::string> shape_violations(const SourceTree& tree) {
  std::vector<std::string> out;
  for (const auto& [path, text] : tree) {
    for (std::string& finding : ShapeCheck(path, text).take()) {
      out.push_back(std::move(finding));
    }
  }
  return out;
}

}  // namespace coppice::repository
