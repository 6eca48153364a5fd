// Names follow the style in every source; and the check finds what is planted.
#include "tests/repository/naming.h"

namespace coppice::repository {
namespace {

std::string named(const std::string& text) {
  return joined(naming_violations({{"core/a.h", text}}));
}

}  // namespace

TEST_CASE("types, functions, members, constants, enumerators and macros are named by the style") {
  CHECK(joined(naming_violations(read_sources())) == "");
}

TEST_CASE("good names pass") {
  CHECK(named("#define COPPICE_A 1\nnamespace coppice::core {\nusing Name = int;\n"
              "constexpr int kMost = 3;\nenum class Colour { dark_red, blue = 4 };\n"
              "template <typename T>\nclass Box final : public Base {\n public:\n"
              "  explicit Box(int a) : a_(a) {}\n  ~Box();\n  int size() const { return a_; }\n"
              "  bool operator==(const Box&) const = default;\n\n private:\n"
              "  std::map<int, int> items_ COPPICE_GUARDED_BY(mutex_);\n  int a_ = 0;\n};\n"
              "struct Point {\n  double x = 0;\n  std::string text{\"Not A_Name\"};\n};\n"
              "Box::Box(int a) : a_(a) {\n  const int Odd = 1;\n}\nTEST_CASE(\"Words\") {\n}\n}\n")
            .empty());
}

TEST_CASE("a planted name of each kind is found") {
  CHECK(named("struct bad_type {\n};\n") == "core/a.h: bad_type: a type is PascalCase\n");
  CHECK(named("using bad_alias = int;\n") == "core/a.h: bad_alias: a type is PascalCase\n");
  CHECK(named("enum class A { Red, blue };\n") == "core/a.h: Red: an enumerator is snake_case\n");
  CHECK(named("int doThing(int a);\n") == "core/a.h: doThing: a function is snake_case\n");
  CHECK(named("int DoThing(int a) {\n}\n") == "core/a.h: DoThing: a function is snake_case\n");
  CHECK(named("constexpr int most = 3;\n") == "core/a.h: most: a constant is kName\n");
  CHECK(named("class A {\n  int size = 3;\n};\n") ==
        "core/a.h: size: a private member ends with _\n");
  CHECK(named("struct A {\n  int size_;\n};\n") ==
        "core/a.h: size_: a public member has no _ at its end\n");
  CHECK(named("struct A {\n  int theSize{0};\n};\n") ==
        "core/a.h: theSize: a variable is snake_case\n");
  CHECK(named("namespace Bad {\n}\n") == "core/a.h: Bad: a namespace is lower_case\n");
  CHECK(named("#define MOST 3\n") == "core/a.h: MOST: a macro is COPPICE_NAME\n");
  CHECK(joined(naming_violations({{"core/BadFile.h", ""}})) ==
        "core/BadFile.h: a file is snake_case\n");
}

TEST_CASE("names in comments, literals and bodies are not declarations") {
  CHECK(named("// int Bad(int);\n/* struct worse {}; */\nvoid f() {\n  int Local = call(1);\n}\n"
              "inline std::string g() {\n  return R\"(struct raw_type {};)\";\n}\n")
            .empty());
}

}  // namespace coppice::repository
