// Functions and files stay within their sizes; and the check finds what is planted.
#include "tests/repository/shape.h"

namespace coppice::repository {
namespace {

std::string body(int lines) {
  std::string out;
  for (int i = 0; i < lines; ++i) {
    out += "  step(" + std::to_string(i) + ");\n";
  }
  return out;
}

std::string found(const std::string& text) {
  return joined(shape_violations({{"core/a.cpp", text}}));
}

}  // namespace

TEST_CASE("functions have at most 60 lines and 6 parameters, files at most 500 lines") {
  CHECK(joined(shape_violations(read_sources())) == "");
}

TEST_CASE("a function of 60 lines passes and one of 61 is found") {
  CHECK(found("void f() {\n" + body(58) + "}\n").empty());
  CHECK_THAT(found("// a\nvoid f() {\n" + body(59) + "}\n"),
             Catch::Contains("core/a.cpp:2: function has 61 lines"));
}

TEST_CASE("a long member function with an initialiser list is found") {
  CHECK_THAT(found("class A {\n  A(int a,\n    int b)\n      : a_(a),\n        b_(b) {\n" +
                   body(70) + "  }\n};\n"),
             Catch::Contains("core/a.cpp:2: function has 75 lines"));
}

TEST_CASE("a long class of short functions passes") {
  std::string text = "class A {\n";
  for (int i = 0; i < 40; ++i) {
    text += "  void f() {\n    step();\n  }\n";
  }
  CHECK(found(text + "};\n").empty());
}

TEST_CASE("six parameters pass and seven are found, over several lines as well") {
  CHECK(found("int f(int a, int b, int c, int d, int e, int g) {\n}\n").empty());
  CHECK(found("int f(std::map<int, int> a, F<void(int, int)> b) {\n}\n").empty());
  CHECK_THAT(
      found("int f(int a,\n      int b,\n      int c,\n      int d,\n      int e,\n      int g,\n"
            "      const std::vector<int>& h) {\n  return a;\n}\n"),
      Catch::Contains("core/a.cpp:1: function has 7 parameters"));
}

TEST_CASE("a lambda among arguments does not count as a function") {
  CHECK(
      found("void f() {\n  call(1, [](int a) {\n         step();\n       });\n" + body(50) + "}\n")
          .empty());
  CHECK_THAT(found("int& at::operator[](int a) {\n" + body(60) + "}\n"),
             Catch::Contains("62 lines"));
}

TEST_CASE("a file of 501 lines is found") {
  std::string text;
  for (int i = 0; i < 501; ++i) {
    text += "int a;\n";
  }
  CHECK_THAT(found(text), Catch::Contains("501 lines"));
}

}  // namespace coppice::repository
