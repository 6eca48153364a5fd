// Names that are local to a source file, read from formatted sources. Release builds compile
// several sources of a folder as one, where a second such name is a redefinition, or worse, an
// overload nobody meant.
#pragma once

#include "tests/repository/shape.h"

#include <utility>

namespace coppice::repository {

inline bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// What is declared by a statement at the left margin; empty where it has no name of its own.
class DeclaredName {
 public:
  static std::string of(std::string head) {
    drop_between(head, "[[", "]]");
    drop_between(head, "alignas(", ")");
    drop_template(head);
    for (const char* kind : {"enum class ", "struct ", "class ", "union ", "enum "}) {
      if (head.starts_with(kind)) {
        return first_word(head.substr(std::string(kind).size()));
      }
    }
    if (head.starts_with("using ")) {
      return head.find('=') == std::string::npos ? "" : first_word(head.substr(6));
    }
    if (head.find("operator") != std::string::npos) {
      return "";
    }
    return word_before(head, end_of_name(head));
  }

 private:
  static void drop_between(std::string& text, const std::string& open, const std::string& close) {
    for (std::size_t at = text.find(open); at != std::string::npos; at = text.find(open)) {
      const std::size_t end = text.find(close, at + open.size());
      if (end == std::string::npos) {
        return;
      }
      text.erase(at, end + close.size() - at);
    }
    text.erase(0, text.find_first_not_of(' '));
  }

  static void drop_template(std::string& head) {
    while (head.starts_with("template <")) {
      int depth = 0;
      std::size_t at = head.find('<');
      do {
        depth += head[at] == '<' ? 1 : head[at] == '>' ? -1 : 0;
        ++at;
      } while (depth > 0 && at < head.size());
      head.erase(0, at);
      head.erase(0, head.find_first_not_of(' '));
    }
  }

  static std::string first_word(const std::string& text) {
    std::size_t end = 0;
    while (end < text.size() && is_word(text[end])) {
      ++end;
    }
    return text.substr(0, end);
  }

  // Where the name has ended: at a parameter list, an initialiser or the end.
  static std::size_t end_of_name(const std::string& head) {
    int depth = 0;
    for (std::size_t i = 0; i < head.size(); ++i) {
      depth += head[i] == '<' ? 1 : head[i] == '>' ? -1 : 0;
      if (depth == 0 && std::string_view("(={;[").find(head[i]) != std::string_view::npos) {
        return i;
      }
    }
    return std::string::npos;
  }

  static std::string word_before(const std::string& head, std::size_t end) {
    if (end == std::string::npos) {
      return "";
    }
    while (end > 0 && head[end - 1] == ' ') {
      --end;
    }
    std::size_t begin = end;
    while (begin > 0 && is_word(head[begin - 1])) {
      --begin;
    }
    // A member that is defined here is declared elsewhere; a macro declares what it likes.
    const bool member = begin > 0 && (head[begin - 1] == ':' || head[begin - 1] == '~');
    const std::string name = head.substr(begin, end - begin);
    const bool macro = std::ranges::none_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
    return member || macro ? "" : name;
  }
};

// The local names of one source, each with the namespace around it.
class LocalNames {
 public:
  explicit LocalNames(const std::string& text) {
    bool raw = false;
    for (const std::string& line : lines_of(text)) {
      const bool opens = line.find("R\"") != std::string::npos;
      const bool closes =
          line.find(")\"") != std::string::npos || line.find(")json\"") != std::string::npos;
      if (!raw) {
        read(code_of(line));
      }
      raw = (raw || opens) && !closes;
    }
  }
  std::vector<std::string> take() { return std::move(names_); }

 private:
  void read(const std::string& code) {
    if (!statement_.empty()) {
      add(code);
    } else if (code.starts_with("namespace ")) {
      open_.push_back(code.substr(10, code.find('{') - 10));
    } else if (code.starts_with("}") && depth_ == 0 && !open_.empty()) {
      open_.pop_back();
    } else if (depth_ == 0 && is_start(code)) {
      add(code);
    } else {
      track(code);
    }
  }

  static bool is_start(const std::string& code) {
    return !code.empty() && (is_word(code.front()) || code.front() == '[') &&
           !code.starts_with("static_assert");
  }

  void add(const std::string& code) {
    statement_ += (statement_.empty() ? "" : " ") + code.substr(indent_of(code));
    track(code);
    if (statement_.find_first_of(";{") == std::string::npos) {
      return;  // goes on
    }
    const bool hidden = std::ranges::find(open_, "") != open_.end();
    const bool is_static = statement_.starts_with("static ");
    if (hidden || is_static) {
      std::string where;
      for (const std::string& name : open_) {
        where += name.empty() ? "" : name.substr(0, name.find(' ')) + "::";
      }
      const std::string name = DeclaredName::of(statement_);
      if (!name.empty()) {
        names_.push_back(where + name);
      }
    }
    statement_.clear();
  }

  // Braces of bodies; those of namespaces are not counted.
  void track(const std::string& code) {
    depth_ += static_cast<int>(std::ranges::count(code, '{')) -
              static_cast<int>(std::ranges::count(code, '}'));
  }

  std::vector<std::string> open_;  // namespaces; empty: one without a name
  std::string statement_;
  int depth_ = 0;
  std::vector<std::string> names_;
};

// What is compiled together: the sources of a module, or of a folder of tests.
inline std::string target_of(const std::string& path) {
  const std::string folder = folder_of(path);
  return folder == "tests" ? path.substr(0, path.rfind('/')) : folder;
}

inline std::vector<std::string> name_violations(const SourceTree& tree) {
  std::map<std::pair<std::string, std::string>, std::string> first;  // target, name: file
  std::vector<std::string> out;
  for (const auto& [path, text] : tree) {
    if (!path.ends_with(".cpp")) {
      continue;
    }
    for (const std::string& name : LocalNames(text).take()) {
      const auto [at, fresh] = first.emplace(std::pair(target_of(path), name), path);
      if (!fresh && at->second != path) {
        out.push_back(path + ": " + name + " is also local to " + at->second);
      }
    }
  }
  return out;
}

}  // namespace coppice::repository
