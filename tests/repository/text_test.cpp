// Rules about the text of sources that no compiler knows.
#include "tests/repository/source_tree.h"

namespace coppice::repository {

TEST_CASE("each file opens with one comment that says what it is for") {
  std::vector<std::string> findings;
  for (const auto& [path, text] : read_sources()) {
    if (!text.starts_with("// ")) {
      findings.push_back(path);
    }
  }
  CHECK(joined(findings) == "");
}

TEST_CASE("each header has an include guard of the one kind") {
  std::vector<std::string> findings;
  for (const auto& [path, text] : read_sources()) {
    if (path.ends_with(".h") && text.find("\n#pragma once\n") == std::string::npos) {
      findings.push_back(path);
    }
  }
  CHECK(joined(findings) == "");
}

TEST_CASE("no test's name begins like an option: the runner would take it for one") {
  std::vector<std::string> findings;
  for (const auto& [path, text] : read_sources()) {
    for (auto at = text.find("TEST_CASE("); at != std::string::npos;
         at = text.find("TEST_CASE(", at + 1)) {
      const auto quote = text.find('"', at);
      if (quote != std::string::npos && text.compare(quote, 2, "\"-") == 0) {
        findings.push_back(path + ": " + text.substr(quote, 40));
      }
    }
  }
  CHECK(joined(findings) == "");
}

TEST_CASE("the search reads no clock") {
  std::vector<std::string> findings;
  for (const auto& [path, text] : read_sources()) {
    const std::string folder = folder_of(path);
    const bool pure = folder == "search" || folder == "planner" || folder == "mutators";
    for (const char* clock : {"steady_clock", "system_clock", "high_resolution_clock"}) {
      if (pure && text.find(clock) != std::string::npos) {
        findings.push_back(path + ": " + clock);
      }
    }
  }
  CHECK(joined(findings) == "");
}

}  // namespace coppice::repository
