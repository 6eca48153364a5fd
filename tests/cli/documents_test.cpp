// What the documents tell a stranger to type: each command parses, each run can be planned.
#include "tests/cli/fake_run.h"
#include "tests/support/text.h"

#include <algorithm>
#include <sstream>

using namespace coppice;
using namespace coppice::tests;

namespace {

struct Shown {
  std::string where, line;
  std::vector<std::string> words;  // without the program's name
};

// The words behind "coppice" or "./coppice.sh", where the text is such a command: without settings
// in front ("A=b"), comments and what follows in a pipe.
std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line.substr(0, line.find(" #")));
  std::vector<std::string> words;
  std::string word;
  bool ours = false;
  bool quoted = false;
  while (in >> word && word != "|" && word != "&&" && word != ">") {
    const bool setting = word.find('=') != word.npos && word[0] != '-';
    if (!ours && (setting || quoted)) {
      quoted = (std::count(word.begin(), word.end(), '"') % 2 == 1) != quoted;
    } else if (!ours && word != "coppice" && word != "./coppice.sh") {
      return {};
    } else if (!ours) {
      ours = true;
    } else {
      words.push_back(word);
    }
  }
  return words;
}

// Of fenced blocks each line, of other text what stands between backticks.
void collect(const std::string& file, std::vector<Shown>& out) {
  std::istringstream lines(read(std::string(COPPICE_SOURCE_DIR) + "/" + file));
  std::string line;
  bool block = false;
  const auto add = [&](const std::string& text) {
    if (std::vector<std::string> words = words_of(text); !words.empty()) {
      out.push_back({file, text, std::move(words)});
    }
  };
  while (std::getline(lines, line)) {
    if (line.rfind("```", 0) == 0) {
      block = !block;
    } else if (block) {
      add(line);
    } else {
      for (std::size_t at = line.find('`'); at != line.npos;) {
        const std::size_t end = line.find('`', at + 1);
        if (end == line.npos) {
          break;
        }
        add(line.substr(at + 1, end - at - 1));
        at = line.find('`', end + 1);
      }
    }
  }
}

std::vector<Shown> shown_commands() {
  std::vector<Shown> out;
  collect("README.md", out);
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(COPPICE_SOURCE_DIR) + "/docs")) {
    collect("docs/" + entry.path().filename().string(), out);
  }
  return out;
}

bool of_the_script(const std::vector<std::string>& words) {
  return words[0] == "test" || words[0] == "build";
}

// A configuration that stands here, not one that the reader is to write.
bool is_shipped(const std::string& config) {
  const std::string folder = std::string(COPPICE_SOURCE_DIR) + "/";
  return std::filesystem::exists(folder + config) ||
         std::filesystem::exists(folder + "configs/" + config + ".json");
}

}  // namespace

TEST_CASE("every command in the documents parses as it stands there") {
  const std::vector<Shown> all = shown_commands();
  CHECK(all.size() > 30);
  for (const Shown& shown : all) {
    if (of_the_script(shown.words) || shown.words[0] == "COMMAND") {
      continue;
    }
    const auto parsed = cli::parse_command_line(shown.words);
    INFO(shown.where << ": " << shown.line << ": " << (parsed.ok() ? "" : parsed.error().message));
    // A sentence may name a command without its parts.
    const bool named_only = shown.words.size() <= 2 && !parsed.ok() &&
                            (contains(parsed.error().message, " is missing") ||
                             contains(parsed.error().message, "expected one of"));
    CHECK((parsed.ok() || named_only));
  }
}

TEST_CASE("every run in the documents that needs nothing of the reader's can be planned") {
  int planned = 0;
  for (const Shown& shown : shown_commands()) {
    if (shown.words[0] != "run" || shown.words.size() < 2 || !is_shipped(shown.words[1])) {
      continue;
    }
    std::vector<std::string> words;
    for (std::size_t i = 0; i < shown.words.size(); ++i) {
      if (shown.words[i] == "--llm-cassette" || shown.words[i] == "--archive") {
        ++i;  // files of the reader's
      } else {
        words.push_back(shown.words[i]);
      }
    }
    words.emplace_back("--dry-run");
    const Said said = say(words);
    INFO(shown.where << ": " << shown.line << ": " << said.err);
    CHECK(said.status == 0);
    CHECK(contains(said.out, "template "));
    ++planned;
  }
  CHECK(planned >= 8);
}
