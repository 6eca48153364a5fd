// Names local to a source are unique in what is compiled as one; and the check finds what is
// planted.
#include "tests/repository/local_names.h"

namespace coppice::repository {
namespace {

std::string collisions(const std::string& a, const std::string& b) {
  return joined(name_violations({{"core/a.cpp", a}, {"core/b.cpp", b}}));
}

std::string hidden(const std::string& text) {
  return "namespace coppice {\nnamespace {\n\n" + text + "\n}  // namespace\n}  // namespace x\n";
}

}  // namespace

TEST_CASE("names local to a source file are unique in their module or folder of tests") {
  CHECK(joined(name_violations(read_sources())) == "");
}

TEST_CASE("a name that is local to two sources is found, whatever it names") {
  for (const char* text : {"int f(int a) {\n  return a;\n}\n",
                           "[[noreturn]] void f() {\n  g();\n}\n",
                           "template <class T, class U = V<T>>\nstd::vector<T> f(\n    T a) {\n}\n",
                           "constexpr int f = 3;\n",
                           "constexpr std::string_view f[] = {\"a;b\", \"c\"};\n",
                           "std::map<int, A<int>> f;\n",
                           "alignas(64) constinit Page f{};\n",
                           "struct f {\n  int a;\n};\n",
                           "enum class f { a, b };\n",
                           "class f final : public Base {\n};\n",
                           "using f = std::map<int, int>;\n",
                           "static int f(int a);\n"}) {
    CAPTURE(text);
    CHECK(collisions(hidden(text), hidden("// another\ndouble f(double) {\n}\n")) ==
          "core/b.cpp: coppice::f is also local to core/a.cpp\n");
  }
}

TEST_CASE("a static function outside any anonymous namespace counts as well") {
  const std::string text = "namespace coppice {\n\nstatic int f() {\n  return 1;\n}\n\n}  // a\n";
  CHECK_THAT(collisions(text, hidden("int f;\n")), Catch::Contains("coppice::f"));
}

TEST_CASE("other namespaces, other folders, bodies and texts do not collide") {
  const std::string f = hidden("int f() {\n  return 1;\n}\n");
  CHECK(collisions(f, "namespace other {\nnamespace {\nint f;\n}  // namespace\n}  // other\n") ==
        "");
  CHECK(collisions(
            f, "namespace coppice {\nint f() {\n  return 1;\n}\n}  // namespace coppice\n") == "");
  CHECK(collisions(f, hidden("int g() {\n  int f = 1;\n  return f;\n}\n")) == "");
  CHECK(collisions(f, hidden("const char* g = R\"(\nint f;\n)\";\nint h;\n")) == "");
  CHECK(joined(name_violations({{"core/a.cpp", f}, {"archive/a.cpp", f}})) == "");
  CHECK(joined(name_violations({{"tests/core/a.cpp", f}, {"tests/cli/a.cpp", f}})) == "");
}

TEST_CASE("overloads within one source are allowed") {
  CHECK(collisions(hidden("int f(int) {\n}\nint f(double) {\n}\n"), "") == "");
}

}  // namespace coppice::repository
