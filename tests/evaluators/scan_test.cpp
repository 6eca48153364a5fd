// Gate 2: forbidden includes in every spelling, words, blobs; honest sources pass.

#include "evaluators/scan.h"

#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;

namespace {
std::optional<Verdict> scan(std::string_view source) {
  return scan_source(source, {"cpu", {}});
}
}  // namespace

TEST_CASE("an honest kernel source passes the scan") {
  CHECK_FALSE(
      scan("#include \"coppice_cpu.h\"\n#include <immintrin.h>\n#  include <cmath> // x\n"
           "/* asm constructor \n #include </etc/passwd> */\n"
           "#define GLUE(a, b) a##b\n"
           "static const char kName[] = \"asm\"; int big = 1'000'000;\n"
           "COPPICE_KERNEL(run) { int assembled = 3; (void)assembled; }\n"));
}

TEST_CASE("includes beyond the list are refused in every spelling") {
  const char* source = GENERATE("#include </etc/passwd>",
                                "#include \"../secret.h\"",
                                "#include <cstdio>",
                                "%:include <cstdio>",
                                "?\?=include <cstdio>",
                                "#inc\\\nlude <cstdio>",
                                "#include/**/<cstdio>",
                                "# /* */ include <unistd.h>",
                                "#define X <cstdio>\n#include X",
                                "#include_next <cmath>",
                                "#import <cstdio>",
                                "#embed \"/etc/passwd\"",
                                "/* a\n*/ #include <cstdio>",
                                "#include \\ \n <cstdio>");
  CAPTURE(source);
  const auto found = scan(source);
  REQUIRE(found.has_value());
  CHECK(found->gate == Gate::scan);
  CHECK(found->failure == FailureClass::forbidden_code);
}

TEST_CASE("assembly, constructors and system calls are refused with their line") {
  const char* source = GENERATE("\n\n__asm__(\"syscall\");",
                                "\n\nasm volatile(\"\");",
                                "\n\n__attribute__((constructor)) void f();",
                                "\n\nlong syscall(long, ...);",
                                "\n\n_Pragma(\"x\")",
                                "\n\nthread_local int x;",
                                "\n\nas\\\nm(\"\");");
  CAPTURE(source);
  const auto found = scan(source);
  REQUIRE(found.has_value());
  CHECK(found->message.find("line 3") == 0);
}

TEST_CASE("bytes that are not ASCII, long literals and raw strings are refused") {
  CHECK(scan("int x\xd0\xb0 = 1;"));
  CHECK(scan(std::string_view("int x;\0", 7)));
  CHECK(scan("const char* s = \"" + std::string(3000, 'A') + "\";"));
  CHECK(scan("const char* s = R\"(asm)\";"));
  CHECK(scan(std::string((1 << 20) + 1, ' ')));
}

TEST_CASE("inline assembly is a right of cuda sources") {
  CHECK_FALSE(scan_source("asm volatile(\"cp.async.wait_all;\");", {"cuda", {}}));
  CHECK(scan_source("#include <cstdio>", {"cuda", {}}));
}
