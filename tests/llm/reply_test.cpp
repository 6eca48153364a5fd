// Replies: what is taken from them in each form, and why the rest is not.
#include "llm/reply.h"

#include "llm/edits.h"
#include "llm/extract.h"
#include "tests/support/catch.h"
#include "tests/support/text.h"

#include <chrono>

namespace coppice::llm {
namespace {

ReplyParent parent() {
  const auto recipe = Json::parse(
      R"({"axes": [], "plan": {"steps": [{"kernel": "k", "grid": [1], "args": [{"tensor": "q"}]}]}})",
      "parent");
  REQUIRE(recipe.ok());
  return {"int a = 1;\nint b = 2;\nint c = 1;\n", *recipe};
}

KernelReply taken(const std::string& text) {
  auto read = read_kernel_reply(text, parent());
  if (const auto* problem = std::get_if<ReplyProblem>(&read)) {
    FAIL(problem->message);
  }
  return std::get<KernelReply>(std::move(read));
}

ReplyProblem refused(const std::string& text) {
  auto read = read_kernel_reply(text, parent());
  REQUIRE(std::holds_alternative<ReplyProblem>(read));
  return std::get<ReplyProblem>(std::move(read));
}

std::string edit(const std::string& search, const std::string& replace) {
  return "<<<<<<< SEARCH\n" + search + "=======\n" + replace + ">>>>>>> REPLACE\n";
}

}  // namespace

TEST_CASE("a kernel in a fence is taken whole, with its idea, and the parent's recipe") {
  const KernelReply reply = taken(
      "**IDEA:** keep sums in registers\n\nLess traffic.\n```cpp\nint x;\n```\nThat is all.\n");
  CHECK(reply.title == "keep sums in registers");
  CHECK(reply.why == "Less traffic.\nThat is all.");
  CHECK(reply.source == "int x;\n");
  CHECK(reply.recipe == parent().recipe);
  CHECK(reply.refused.empty());
}

TEST_CASE("edits in a fence or bare are applied to the parent") {
  const std::string both = edit("int a = 1;\n", "int a = 7;\n") + edit("int b = 2;\n", "");
  CHECK(taken("IDEA: seven\n```cpp\n" + both + "```\n").source == "int a = 7;\nint c = 1;\n");
  CHECK(taken("IDEA: seven\n" + both).source == "int a = 7;\nint c = 1;\n");
}

TEST_CASE("a reply may be one JSON object, bare, fenced, or with the mistakes that people make") {
  const std::string object =
      R"({"idea": "seven", "edits": [{"search": "a = 1", "replace": "a = 7"}]})";
  for (const std::string& text :
       {object,
        "Here it is:\n```json\n" + object + "\n```\nEnjoy.",
        std::string("{\"idea\": \"seven\", // mine\n \"edits\": [{\"search\": \"a = 1\","
                    "\"replace\": \"a = 7\",},],}")}) {
    CAPTURE(text);
    const KernelReply reply = taken(text);
    CHECK(reply.title == "seven");
    CHECK(reply.source == "int a = 7;\nint b = 2;\nint c = 1;\n");
  }
  CHECK(taken("{\"source\": \"int x;\nint y;\"}").source == "int x;\nint y;");  // a raw line break
}

TEST_CASE("parts of the recipe replace the parent's, each one checked, others are refused") {
  const KernelReply reply = taken(
      "IDEA: two tasks\n```cpp\nint x;\n```\n```json\n"
      R"({"axes": [{"name": "n", "levels": [1, 2]}], "flags": ["-Ofast"],)"
      R"( "plan": {"steps": [{"kernel": "k", "grid": [2], "args": []}]}})"
      "\n```\n");
  CHECK(contains(reply.recipe.dump(), R"("grid":[2])"));
  // What follows from an axis's levels need not be said.
  CHECK(contains(reply.recipe.dump(),
                 R"({"default":1,"kind":"other","levels":[1,2],"name":"n","type":"ordinal"})"));
  CHECK_FALSE(contains(reply.recipe.dump(), "Ofast"));
  REQUIRE(reply.refused.size() == 1);
  CHECK(contains(reply.refused[0], "flags"));
}

TEST_CASE("a plan that is none refuses the reply and says where") {
  const ReplyProblem problem = refused(
      "```cpp\nint x;\n```\n```json\n{\"plan\": {\"steps\": [{\"launch\": \"k\"}]}}\n```\n");
  CHECK(contains(problem.message, "recipe: /plan/steps/0"));
}

TEST_CASE("each reply without a kernel says why") {
  CHECK(contains(refused("I can't do that.").message, "no kernel"));
  CHECK(contains(refused("").message, "no kernel"));
  CHECK(contains(refused("```cpp\nint x;\nint y").message, "not closed"));
  CHECK(contains(refused("```cpp\n\n```\n").message, "empty"));
  CHECK(contains(refused("```cpp\n" + parent().source + "```\n").message, "unchanged"));
  CHECK(contains(refused("```cpp\n" + std::string((1 << 20) + 1, 'x') + "\n```\n").message,
                 "at most"));
  CHECK(contains(refused(R"({"source": 3})").message, "expected the kernel's text"));
  CHECK(contains(refused(R"({"edits": {"search": "a"}})").message, "an array of edits"));
}

TEST_CASE("of two code blocks the longer is the kernel, and that is said") {
  const KernelReply reply =
      taken("IDEA: x\n```cpp\nint f();\n```\nwhole:\n```cpp\nint f() { return 1; }\n```\n");
  CHECK(reply.source == "int f() { return 1; }\n");
  CHECK(contains(taken("```cpp\nint f() { return 1; }\n```\n```cpp\nint f();\n```\n").refused[0],
                 "longer"));
}

TEST_CASE("edits match exactly once or nothing is applied") {
  std::vector<std::string> reasons;
  const std::string text = "int a = 1;\nint b = 2;\nint c = 1;\n";
  const auto reason = [&](std::vector<TextEdit> edits) {
    reasons.clear();
    const auto out = apply_edits(text, edits, reasons);
    CHECK_FALSE(out.ok());
    return reasons.empty() ? std::string() : reasons.front();
  };
  CHECK(contains(reason({{"int d", "x"}}), "not found"));
  CHECK(contains(reason({{"= 1;", "= 3;"}}), "more than once"));
  CHECK(contains(reason({{"  \n", "x"}}), "nothing to search"));
  CHECK(contains(reason({{"a = 1;\nint b", "x"}, {"b = 2", "y"}}), "overlaps"));
  CHECK(contains(reason({{"int a", "x"}, {"int d", "y"}}), "not found"));
  CHECK(contains(reason({{std::string(70000, 'x'), "y"}}), "65536 bytes"));
  CHECK(contains(reason({{"aa", "y"}}), "not found"));
  // "aa" in "aaa" is found twice, though the places overlap.
  CHECK_FALSE(apply_edits("aaa", {{"aa", "b"}}, reasons).ok());
}

TEST_CASE("edits that repeat themselves are placed in time that is linear in the source") {
  // Searched naively each of these takes 10^10 comparisons.
  std::string source(1 << 20, 'a');
  source += "\n" + std::string(1 << 17, '\n');
  std::vector<TextEdit> edits(8, {std::string(60000, 'a') + "b", "c"});
  edits.push_back({"a\n" + std::string(60000, '\n') + "b", "c"});
  std::vector<std::string> reasons;
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(apply_edits(source, edits, reasons).ok());
  CHECK(reasons.size() == 9);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  // A place that overlaps a partial match of itself is found.
  const auto once = apply_edits("xaabaabaac", {{"aabaac", "!"}}, reasons);
  REQUIRE(once.ok());
  CHECK(*once == "xaab!");
}

TEST_CASE("edits do not see each other's results, and blanks at line ends are forgiven") {
  std::vector<std::string> reasons;
  const auto swapped =
      apply_edits("int a;\nint b;\n", {{"int a", "int b"}, {"int b", "int a"}}, reasons);
  REQUIRE(swapped.ok());
  CHECK(*swapped == "int b;\nint a;\n");
  const auto loose = apply_edits("x;  \n\ty;\nz;\n", {{"x;\n\ty; \n", "w;\n"}}, reasons);
  REQUIRE(loose.ok());
  CHECK(*loose == "w;\nz;\n");
  CHECK_FALSE(
      apply_edits("x;\n  y;\n", {{"x;\ny;\n", "w;\n"}}, reasons).ok());  // indentation counts
}

TEST_CASE("torn edits are refused with the reason, also when the reply was cut") {
  CHECK(contains(refused("<<<<<<< SEARCH\nint a = 1;\n=======\nint a").refused.at(0), "cut"));
  CHECK(contains(refused("<<<<<<< SEARCH\nint a = 1;\n<<<<<<< SEARCH\n").refused.at(0),
                 "does not end"));
}

TEST_CASE("fences nest by length, and a text in another encoding is still read") {
  const auto blocks = blocks_of("````cpp\na\n```\nb\n````\n~~~json\n{}\n~~~\n");
  REQUIRE(blocks.size() == 2);
  CHECK(blocks[0].text == "a\n```\nb\n");
  CHECK(blocks[1].language == "json");
  CHECK(clean_text("a\r\nb\xff\0c") == "a\nb\xef\xbf\xbd");
  CHECK(shortened("\xc3\xa4\xc3\xa4\xc3\xa4", 5) == "\xc3\xa4...");
}

}  // namespace coppice::llm
