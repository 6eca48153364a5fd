// How things are named, read from the sources: types, functions, members, constants, enumerators,
// macros, namespaces and files. A reader of declarations, not a compiler: what it can't name it
// leaves alone.
#pragma once

#include "tests/repository/bare_source.h"
#include "tests/repository/local_names.h"

#include <set>

namespace coppice::repository {

inline bool is_lower_case(std::string_view name) {
  return !name.empty() && name.front() != '_' &&
         std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; });
}

inline bool is_pascal_case(std::string_view name) {
  return !name.empty() && name.front() >= 'A' && name.front() <= 'Z' &&
         name.find('_') == std::string_view::npos;
}

inline bool is_constant_name(std::string_view name) {
  return name.size() > 1 && name.front() == 'k' && is_pascal_case(name.substr(1));
}

inline bool is_macro_name(std::string_view name) {
  return std::ranges::none_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
}

// Walks the declarations of a source and notes each name that breaks the rules.
class NamingReader {
 public:
  explicit NamingReader(const std::string& text) : code_(BareSource(text).take()) {}

  std::vector<std::string> violations() {
    scopes_.push_back({Kind::space, "", false});
    std::size_t from = 0;
    int parentheses = 0;
    for (std::size_t at = 0; at < code_.size(); ++at) {
      const char c = code_[at];
      parentheses += c == '(' ? 1 : c == ')' ? -1 : 0;
      const bool ends = c == ';' || c == '{' || c == '}' || label_ends(from, at);
      if (parentheses > 0 || !ends) {
        continue;
      }
      const std::string statement = trimmed(code_.substr(from, at - from));
      from = at + 1;
      if (c == '{') {
        open(statement);
      } else if (c == '}') {
        close(statement);
      } else if (c == ':') {
        scopes_.back().hidden = statement != "public";
      } else {
        declare(statement, false);
      }
    }
    return std::move(out_);
  }

 private:
  enum class Kind { space, type, values, body };
  struct Scope {
    Kind kind;
    std::string name;  // of a type
    bool hidden;       // private or protected
  };

  bool label_ends(std::size_t from, std::size_t at) const {
    if (code_[at] != ':' || scopes_.back().kind != Kind::type) {
      return false;
    }
    const std::string word = trimmed(code_.substr(from, at - from));
    return word == "public" || word == "private" || word == "protected";
  }

  static std::string trimmed(const std::string& text) {
    const std::size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? ""
                                      : text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
  }

  // What the braces after this statement hold.
  void open(const std::string& statement) {
    const Kind outer = scopes_.back().kind;
    if (outer == Kind::body || outer == Kind::values) {
      scopes_.push_back({Kind::body, "", false});
      return;
    }
    if (statement.starts_with("namespace") || statement.starts_with("inline namespace") ||
        statement.starts_with("extern \"\"")) {
      name_namespace(statement);
      scopes_.push_back({Kind::space, "", false});
      return;
    }
    const std::string head = bare_head(statement);
    for (const char* word : {"class ", "struct ", "union "}) {
      if (head.starts_with(word) && !is_elaborated(head)) {
        scopes_.push_back({Kind::type, type_name(head), std::string_view(word) == "class "});
        return;
      }
    }
    if (head.starts_with("enum ")) {
      type_name(head);
      scopes_.push_back({Kind::values, "", false});
      return;
    }
    declare(statement, true);
    scopes_.push_back({Kind::body, "", false});
  }

  void close(const std::string& statement) {
    if (scopes_.back().kind == Kind::values) {
      enumerators(statement);
    }
    if (scopes_.size() > 1) {
      scopes_.pop_back();
    }
  }

  void note(const std::string& name, const char* wanted) { out_.push_back(name + ": " + wanted); }

  void name_namespace(const std::string& statement) {
    const std::size_t at = statement.rfind(' ');
    const std::string name = at == std::string::npos ? "" : statement.substr(at + 1);
    if (!name.empty() && name != "namespace" && name != "\"\"" && !is_lower_case(name)) {
      note(name, "a namespace is lower_case");
    }
  }

  // "struct tm now{...}" is a variable.
  static bool is_elaborated(const std::string& head) {
    const std::string rest = trimmed(head.substr(head.find(' ')));
    const std::size_t space = rest.find(' ');
    return space != std::string::npos && rest[space + 1] != ':' &&
           rest.compare(space + 1, 5, "final") != 0 && rest[space - 1] != ':';
  }

  std::string type_name(const std::string& head) {
    std::string rest = trimmed(head.substr(head.find(' ')));
    rest = rest.starts_with("class ") ? rest.substr(6) : rest;
    std::size_t end = 0;
    while (end < rest.size() && (is_word(rest[end]) || rest[end] == ':')) {
      ++end;
    }
    std::string name = trimmed(rest.substr(0, end));
    name.erase(0, name.rfind("::") == std::string::npos ? 0 : name.rfind("::") + 2);
    while (!name.empty() && name.back() == ':') {
      name.pop_back();
    }
    const bool ours = rest.find("std::") != 0 && rest.find('<') == std::string::npos;
    if (ours && !name.empty() && !is_pascal_case(name)) {
      note(name, "a type is PascalCase");
    }
    return name;
  }

  void enumerators(const std::string& list) {
    int depth = 0;
    std::string name;
    bool done = false;
    for (const char c : list + ",") {
      depth += c == '(' || c == '{' ? 1 : c == ')' || c == '}' ? -1 : 0;
      if (c == ',' && depth == 0) {
        if (!name.empty() && !is_lower_case(name)) {
          note(name, "an enumerator is snake_case");
        }
        name.clear();
        done = false;
      } else if (is_word(c) && !done) {
        name += c;
      } else {
        done = done || !name.empty();
      }
    }
  }

  // Without templates, attributes and the annotations of the thread-safety analysis.
  static std::string bare_head(std::string head) {
    drop(head, "[[", "]]");
    drop(head, "alignas(", ")");
    drop(head, "__attribute__((", "))");
    for (std::size_t at = head.find("COPPICE_"); at != std::string::npos;
         at = head.find("COPPICE_")) {
      std::size_t end = at;
      while (end < head.size() && is_word(head[end])) {
        ++end;
      }
      end = end < head.size() && head[end] == '(' ? head.find(')', end) + 1 : end;
      head.erase(at, end - at);
    }
    head = trimmed(head);
    while (head.starts_with("template <")) {
      int depth = 0;
      std::size_t at = head.find('<');
      do {
        depth += head[at] == '<' ? 1 : head[at] == '>' ? -1 : 0;
        ++at;
      } while (depth > 0 && at < head.size());
      head = trimmed(head.substr(at));
    }
    return head;
  }

  static void drop(std::string& text, const std::string& open, const std::string& close) {
    for (std::size_t at = text.find(open); at != std::string::npos; at = text.find(open)) {
      const std::size_t end = text.find(close, at + open.size());
      if (end == std::string::npos) {
        return;
      }
      text.erase(at, end + close.size() - at);
    }
  }

  static bool is_declaration(const std::string& head) {
    if (head.find(' ') == std::string::npos && head.find('(') == std::string::npos) {
      return false;
    }
    for (const char* word : {"static_assert",
                             "friend ",
                             "typedef ",
                             "using namespace",
                             "return ",
                             "requires ",
                             "concept ",
                             "struct ",
                             "class ",
                             "enum ",
                             "union "}) {
      if (head.starts_with(word)) {
        return false;
      }
    }
    return head.find("operator") == std::string::npos;
  }

  void declare(const std::string& statement, bool braces) {
    const Scope& scope = scopes_.back();
    const std::string head = bare_head(statement);
    if (scope.kind == Kind::body || scope.kind == Kind::values || !is_declaration(head)) {
      return;
    }
    if (head.starts_with("using ")) {
      alias(head);
      return;
    }
    std::size_t end = 0;
    for (int depth = 0; end < head.size(); ++end) {
      depth += head[end] == '<' ? 1 : head[end] == '>' ? -1 : 0;
      if (depth == 0 && std::string_view("(=[").find(head[end]) != std::string_view::npos) {
        break;
      }
    }
    std::size_t stop = end;
    while (stop > 0 && head[stop - 1] == ' ') {
      --stop;
    }
    std::size_t begin = stop;
    while (begin > 0 && is_word(head[begin - 1])) {
      --begin;
    }
    const std::string name = head.substr(begin, stop - begin);
    const bool to_function = head.compare(std::min(end, head.size()), 2, "(*") == 0;
    if (name.empty() || to_function || (begin == 0 && end >= head.size())) {
      return;
    }
    const bool call = end < head.size() && head[end] == '(';
    if (call) {
      function(name, begin > 0 ? head.substr(0, begin) : "");
    } else if (!braces || begin > 0) {
      variable(name, head.substr(0, begin));
    }
  }

  void alias(const std::string& head) {
    // Names that the standard library asks for.
    static const std::set<std::string> hooks = {"value_type",
                                                "difference_type",
                                                "pointer",
                                                "reference",
                                                "iterator_category",
                                                "is_transparent",
                                                "iterator",
                                                "const_iterator",
                                                "size_type"};
    const std::size_t equals = head.find('=');
    const std::string name = equals == std::string::npos ? "" : trimmed(head.substr(6, equals - 6));
    if (!name.empty() && !hooks.contains(name) && !is_pascal_case(name)) {
      note(name, "a type is PascalCase");
    }
  }

  void function(const std::string& name, const std::string& before) {
    const bool constructs = name == scopes_.back().name || before.ends_with("~") ||
                            before.ends_with(name + "::") || before.find('~') != std::string::npos;
    if (!constructs && !is_macro_name(name) && !is_lower_case(name)) {
      note(name, "a function is snake_case");
    }
  }

  void variable(const std::string& name, const std::string& before) {
    const Scope& scope = scopes_.back();
    const bool fixed = before.find("constexpr ") != std::string::npos;
    if (before.ends_with("::")) {
      return;  // declared elsewhere
    }
    if (fixed) {
      if (!is_constant_name(name)) {
        note(name, "a constant is kName");
      }
      return;
    }
    if (is_constant_name(name)) {
      return;  // a const object of the namespace
    }
    const bool member = scope.kind == Kind::type;
    if (!is_lower_case(name)) {
      note(name, "a variable is snake_case");
    } else if (member && scope.hidden && !name.ends_with("_")) {
      note(name, "a private member ends with _");
    } else if (member && !scope.hidden && name.ends_with("_")) {
      note(name, "a public member has no _ at its end");
    }
  }

  std::string code_;
  std::vector<Scope> scopes_;
  std::vector<std::string> out_;
};

// The macros that a source defines.
inline std::vector<std::string> macro_violations(const std::string& text) {
  std::vector<std::string> out;
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with("#define ")) {
      continue;
    }
    std::size_t end = 8;
    while (end < line.size() && is_word(line[end])) {
      ++end;
    }
    const std::string name = line.substr(8, end - 8);
    // What a package or the C library wants to be told is named by them.
    const bool theirs = name.starts_with("CATCH_CONFIG_") || name.starts_with("_") ||
                        name.starts_with("CPPHTTPLIB_") || name.starts_with("F_SEAL_");
    if (!theirs && !(name.starts_with("COPPICE_") && is_macro_name(name))) {
      out.push_back(name + ": a macro is COPPICE_NAME");
    }
  }
  return out;
}

inline std::vector<std::string> naming_violations(const SourceTree& tree) {
  std::vector<std::string> out;
  for (const auto& [path, text] : tree) {
    if (path == "tests/support/catch.h" || path.find("/fakes/") != std::string::npos) {
      continue;  // speak the words of packages
    }
    const std::string file = path.substr(path.rfind('/') + 1);
    if (!is_lower_case(file) || file.find('-') != std::string::npos) {
      out.push_back(path + ": a file is snake_case");
    }
    for (const std::string& finding : NamingReader(text).violations()) {
      out.push_back(path + ": " + finding);
    }
    for (const std::string& finding : macro_violations(text)) {
      out.push_back(path + ": " + finding);
    }
  }
  return out;
}

}  // namespace coppice::repository
