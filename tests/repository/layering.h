// The rules about includes (STYLE.md, "Modules") as a function from sources to violations.
#pragma once

#include "tests/repository/source_tree.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

namespace coppice::repository {

struct FolderRule {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

inline const std::vector<FolderRule>& folder_rules() {
  static const std::vector<FolderRule> rules = {
      {"core", {}},
      {"archive", {"core"}},
      {"experiments", {"core"}},
      {"llm", {"core"}},
      {"evaluators", {"core"}},
      {"planner", {"core"}},
      {"mutators", {"core"}},
      {"search", {"core", "planner", "mutators"}},
      {"cli",
       {"core", "archive", "experiments", "llm", "evaluators", "planner", "mutators", "search"}},
      {"tests",
       {"core",
        "archive",
        "experiments",
        "llm",
        "evaluators",
        "planner",
        "mutators",
        "search",
        "cli"}},
  };
  return rules;
}

// Which folder a package belongs to; by the beginning of its headers' names.
struct PackageRule {
  std::string_view header;
  std::string_view folder;  // empty: any
};
inline constexpr std::array kPackages = {
    PackageRule{"sqlite3.h", "archive"},
    PackageRule{"git2", "archive"},
    PackageRule{"zstd.h", "archive"},
    PackageRule{"curl/", "llm"},
    PackageRule{"nvrtc.h", "evaluators"},
    PackageRule{"cupti", "evaluators"},
    PackageRule{"cuda", "evaluators"},
    PackageRule{"hip/", "evaluators"},
    PackageRule{"seccomp.h", "evaluators"},
    PackageRule{"Eigen/", "planner"},
    PackageRule{"tbb/", "cli"},
    PackageRule{"oneapi/", "cli"},
    PackageRule{"CLI/", "cli"},
    PackageRule{"nlohmann/", "core"},
    PackageRule{"openssl/", "core"},
    PackageRule{"catch2/", "tests"},
    PackageRule{"httplib.h", "tests"},
    PackageRule{"fmt/", ""},
    PackageRule{"zlib.h", "evaluators"},
};

// Headers of C, POSIX, Linux and the compiler that are not packages.
inline bool is_system_header(std::string_view name) {
  static const std::set<std::string_view> known = {"cpuid.h",
                                                   "cxxabi.h",
                                                   "dirent.h",
                                                   "dlfcn.h",
                                                   "elf.h",
                                                   "fcntl.h",
                                                   "emmintrin.h",
                                                   "grp.h",
                                                   "immintrin.h",
                                                   "link.h",
                                                   "malloc.h",
                                                   "poll.h",
                                                   "pthread.h",
                                                   "pwd.h",
                                                   "sched.h",
                                                   "signal.h",
                                                   "spawn.h",
                                                   "stdio.h",
                                                   "stdlib.h",
                                                   "syscall.h",
                                                   "termios.h",
                                                   "time.h",
                                                   "ucontext.h",
                                                   "unistd.h",
                                                   "x86intrin.h",
                                                   "arm_neon.h",
                                                   "sanitizer/asan_interface.h",
                                                   "sanitizer/tsan_interface.h"};
  const bool standard = std::ranges::all_of(name, [](char c) {
    return std::islower(static_cast<unsigned char>(c)) || c == '_' ||
           std::isdigit(static_cast<unsigned char>(c));
  });
  return standard || known.contains(name) || name.starts_with("sys/") ||
         name.starts_with("linux/") || name.starts_with("netinet/") || name.starts_with("arpa/");
}

struct Include {
  std::string name;
  bool quoted = false;
  std::size_t line = 0;
};

inline std::vector<Include> includes_of(const std::string& text) {
  std::vector<Include> out;
  const std::vector<std::string> lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::string_view line = lines[i];
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (!line.starts_with("#")) {
      continue;
    }
    line.remove_prefix(1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (!line.starts_with("include")) {
      continue;
    }
    const std::size_t open = line.find_first_of("\"<");
    const std::size_t close = line.find_first_of("\">", open + 1);
    if (open != std::string_view::npos && close != std::string_view::npos) {
      out.push_back(
          {std::string(line.substr(open + 1, close - open - 1)), line[open] == '"', i + 1});
    }
  }
  return out;
}

class LayeringCheck {
 public:
  explicit LayeringCheck(const SourceTree& tree) : tree_(tree) {
    for (const auto& [path, text] : tree) {
      path_ = path;
      folder_ = folder_of(path);
      for (const Include& include : includes_of(text)) {
        line_ = include.line;
        if (include.quoted) {
          check_own(include.name);
        } else {
          check_system(include.name);
        }
      }
    }
  }

  std::vector<std::string> take() { return std::move(violations_); }

 private:
  void complain(const std::string& message) {
    violations_.push_back(path_ + ":" + std::to_string(line_) + ": " + message);
  }

  void check_own(const std::string& name) {
    const std::string other = folder_of(name);
    if (!tree_.contains(name)) {
      // A header that a build step makes, or a typo; either way not one of the tree's.
      complain("includes \"" + name + "\", which is not in the tree");
      return;
    }
    if (other == folder_) {
      return;
    }
    const auto rule = std::ranges::find(folder_rules(), folder_, &FolderRule::folder);
    if (rule == folder_rules().end() ||
        std::ranges::find(rule->may_include, other) == rule->may_include.end()) {
      complain(folder_ + " may not include " + other + " (\"" + name + "\")");
    }
    if (const std::string package = package_behind(name); !package.empty()) {
      complain("\"" + name + "\" brings <" + package + "> into another folder");
    }
  }

  void check_system(const std::string& name) {
    if (name == "regex") {
      complain("<regex> costs more than a second a file");
    }
    if (name == "iostream" && path_.ends_with(".h")) {
      complain("<iostream> in a header");
    }
    const PackageRule* package = package_of(name);
    if (package == nullptr) {
      if (!is_system_header(name)) {
        complain("<" + name + "> belongs to no known package: add it to kPackages with its folder");
      }
      check_pure(name);
      return;
    }
    if (!package->folder.empty() && package->folder != folder_ && folder_ != "tests") {
      complain("<" + name + "> belongs to " + std::string(package->folder));
    }
    if (name.starts_with("nlohmann/") && (folder_ != "core" || !path_.ends_with("_json.cpp"))) {
      complain("<" + name + "> is included only by core/*_json.cpp");
    }
    if (name.starts_with("catch2/") && path_ != "tests/support/catch.h") {
      complain("the test framework is included through tests/support/catch.h");
    }
  }

  // search, planner and mutators: functions of their inputs.
  void check_pure(const std::string& name) {
    static const std::set<std::string_view> impure = {"thread",
                                                      "mutex",
                                                      "future",
                                                      "fstream",
                                                      "filesystem",
                                                      "random",
                                                      "ctime",
                                                      "iostream",
                                                      "unistd.h",
                                                      "atomic"};
    const bool pure = folder_ == "search" || folder_ == "planner" || folder_ == "mutators";
    if (pure && impure.contains(name)) {
      complain("<" + name + ">: " + folder_ + " has no clock, thread, file or device");
    }
  }

  static const PackageRule* package_of(std::string_view name) {
    const auto found = std::ranges::find_if(
        kPackages, [&](const PackageRule& rule) { return name.starts_with(rule.header); });
    return found == kPackages.end() ? nullptr : &*found;
  }

  // The package header that `header` pulls in, itself or through others; empty when none.
  std::string package_behind(const std::string& header) {
    if (const auto known = behind_.find(header); known != behind_.end()) {
      return known->second;
    }
    behind_[header] = "";  // ends cycles
    std::string result;
    const auto text = tree_.find(header);
    if (text != tree_.end()) {
      for (const Include& include : includes_of(text->second)) {
        const PackageRule* package = include.quoted ? nullptr : package_of(include.name);
        if (package != nullptr && !package->folder.empty() && folder_of(header) != "tests") {
          result = include.name;
        } else if (include.quoted && result.empty()) {
          result = package_behind(include.name);
        }
      }
    }
    behind_[header] = result;
    return result;
  }

  const SourceTree& tree_;
  std::string path_, folder_;
  std::size_t line_ = 0;
  std::map<std::string, std::string> behind_;
  std::vector<std::string> violations_;
};

inline std::vector<std::string> layering_violations(const SourceTree& tree) {
  return LayeringCheck(tree).take();
}

}  // namespace coppice::repository
