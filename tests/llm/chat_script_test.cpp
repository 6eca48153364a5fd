// scripts/llm-chat and scripts/llm-answers, used as a run uses them.
#include "llm/command_provider.h"
#include "tests/llm/outcomes.h"
#include "tests/support/text.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace coppice::llm {
namespace {

struct ScriptFolder {
  ScriptFolder() {
    std::string name = std::filesystem::temp_directory_path() / "coppice_chat_XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ScriptFolder(const ScriptFolder&) = delete;
  ScriptFolder& operator=(const ScriptFolder&) = delete;
  ~ScriptFolder() { std::filesystem::remove_all(path); }
  std::string put(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
  std::string path;
};

bool python_is_missing() {
  const bool missing = std::system("python3 -c pass >/dev/null 2>&1") != 0;
  if (missing) {
    WARN("skipped: no python3 here");
  }
  return missing;
}

Outcome script_answer(const std::vector<std::string>& arguments, const std::string& task) {
  CommandOptions options;
  options.argv = arguments;
  options.argv.front() = std::string(COPPICE_SOURCE_DIR) + "/scripts/" + arguments.front();
  auto provider =
      command_provider(options, [](const std::string&) { return std::optional<std::string>(); });
  REQUIRE(provider.ok());
  Call call = small_call();
  call.messages.back().text += "\n## Your task: " + task + "\n";
  return (*provider)->send(call);
}

}  // namespace

TEST_CASE("llm-chat gives the question to any chat program and takes what it prints", "[slow]") {
  if (python_is_missing()) {
    return;
  }
  const ScriptFolder folder;
  const std::string stub = folder.put(
      "chat.sh", "printf 'IDEA: %s words\\n' \"$(wc -w | tr -d ' ')\"; echo 'and \"quotes\"'\n");
  ::setenv("COPPICE_CHAT", ("/bin/sh " + stub).c_str(), 1);
  const Outcome outcome = script_answer({"llm-chat"}, "rewrite");
  const Reply& reply = reply_of(outcome);
  CHECK(contains(reply.text, "IDEA: "));
  CHECK_FALSE(contains(reply.text, "IDEA: 0 words"));
  CHECK(contains(reply.text, "and \"quotes\""));
  CHECK(reply.model == "sh");

  ::setenv("COPPICE_CHAT", "/bin/false", 1);
  CHECK(failure_in(script_answer({"llm-chat"}, "rewrite")).kind == FailureKind::overloaded);
  ::setenv("COPPICE_CHAT", "", 1);
  CHECK(failure_in(script_answer({"llm-chat"}, "rewrite")).kind == FailureKind::auth);
  ::unsetenv("COPPICE_CHAT");
}

TEST_CASE("llm-answers serves by action, in order, and says when nothing is left", "[slow]") {
  if (python_is_missing()) {
    return;
  }
  const ScriptFolder folder;
  folder.put("one.md", "the first rewrite");
  folder.put("kernel.cpp", "int a = 1;\n");
  folder.put("answers.json",
             R"({"model": "m", "answers": [{"action": "rewrite", "text": "one.md"},
                 {"action": ["repair", "simplify"], "idea": "two", "source": "kernel.cpp",
                  "change": [{"old": "1", "new": "2"}]}]})");
  const std::vector<std::string> words = {"llm-answers", folder.path, folder.path + "/served"};
  CHECK(contains(reply_of(script_answer(words, "port")).text, "no answer"));
  CHECK(reply_of(script_answer(words, "rewrite")).text == "the first rewrite");
  CHECK(contains(reply_of(script_answer(words, "rewrite")).text, "no answer"));
  const Outcome repaired = script_answer(words, "repair");
  CHECK(contains(reply_of(repaired).text, "IDEA: two"));
  CHECK(contains(reply_of(repaired).text, "```cpp\nint a = 2;\n```"));
  CHECK(failure_in(script_answer(words, "repair")).kind == FailureKind::missing);
}

}  // namespace coppice::llm
