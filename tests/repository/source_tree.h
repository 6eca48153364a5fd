// The project's own C++ sources as texts, for tests that read them.
#pragma once

#include "tests/support/catch.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::repository {

using SourceTree = std::map<std::string, std::string>;  // path from the root, with '/', to text

// Operations are data with an include rule of their own (docs/op-format.md); the corpus
// and the fixtures are not compiled with the program.
inline bool is_program_source(const std::string& path) {
  for (const std::string_view data :
       {"experiments/ops/", "experiments/include/", "tests/corpus/", "tests/bench/"}) {
    if (path.starts_with(data) || path.find("/fixtures/") != std::string::npos) {
      return false;
    }
  }
  return path.ends_with(".h") || path.ends_with(".cpp");
}

inline SourceTree read_sources() {
  namespace fs = std::filesystem;
  const fs::path root(COPPICE_SOURCE_DIR);
  SourceTree out;
  for (const char* folder : {"core",
                             "archive",
                             "experiments",
                             "llm",
                             "evaluators",
                             "planner",
                             "mutators",
                             "search",
                             "cli",
                             "tests"}) {
    if (!fs::is_directory(root / folder)) {
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string path = entry.path().lexically_relative(root).generic_string();
      if (entry.is_regular_file() && is_program_source(path)) {
        std::ifstream in(entry.path());
        out[path] = std::string(std::istreambuf_iterator<char>(in), {});
      }
    }
  }
  REQUIRE(out.size() > 50);  // else we would look at the wrong place and find nothing
  return out;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    out.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

inline std::string folder_of(const std::string& path) {
  return path.substr(0, path.find('/'));
}

// One line for each finding, so that a failing test shows them all.
inline std::string joined(const std::vector<std::string>& findings) {
  std::string out;
  for (const std::string& finding : findings) {
    out += finding + "\n";
  }
  return out;
}

}  // namespace coppice::repository
