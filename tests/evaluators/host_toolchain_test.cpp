// The host compiler behind its walls, and the cache in front of it.

#include "evaluators/cpu/host_toolchain.h"

#include "evaluators/compile_cache.h"
#include "evaluators/cpu/elf_image.h"
#include "tests/support/catch.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

using namespace coppice;
using namespace coppice::evaluators;

namespace {

CompileJob host_job(const std::string& source) {
  CompileJob out;
  out.source_name = "kernel.cpp";
  out.source = "#line 1 \"kernel.cpp\"\n" + source;
  return out;
}

std::string scratch(const std::string& name) {
  const std::string folder = std::filesystem::temp_directory_path().string() + "/coppice-test-" +
                             name + "-" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace

TEST_CASE("a log is cut, cleaned and reduced to the candidate's own lines") {
  using namespace coppice::evaluators::cpu;
  CHECK(clean_log("a\xff\x1b[31mb", 100) == "a??[31mb");
  CHECK(clean_log(std::string(100, 'x'), 10).size() == 10);
  const std::string log =
      "In file included from kernel.cpp:1:\n/etc/passwd:1:1: error: 'root' does not name a type\n"
      "kernel.cpp:3:5: error: expected ';'\n";
  CHECK(only_lines_of(log, "kernel.cpp") == "kernel.cpp:3:5: error: expected ';'\n");
  CHECK(evaluators::cpu::first_error("note: x\nkernel.cpp:3:5: error: y\n") ==
        "kernel.cpp:3:5: error: y");
}

TEST_CASE("a damaged cache entry is no entry") {
  const std::string folder = scratch("cache");
  CompileJob work = host_job("int x;");
  const Digest key = cache_key(work, "v1");
  CHECK(key != cache_key(work, "v2"));
  work.flags = {"-ffast-math"};
  CHECK(key != cache_key(work, "v1"));
  Compiled compiled;
  compiled.binary = std::string(5000, 'b');
  compiled.log = "log";
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([&] { write_cache(folder, key, compiled); });
    }
  }
  const auto kept = read_cache(folder, key);
  REQUIRE(kept.has_value());
  CHECK(kept->binary == compiled.binary);
  CHECK(kept->cached);
  const std::string path = folder + "/" + key.hex().substr(0, 2) + "/" + key.hex();
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4000);
    file.put('X');
  }
  CHECK_FALSE(read_cache(folder, key).has_value());
  CHECK_FALSE(std::filesystem::exists(path));
  compiled.failure = FailureClass::compile_timeout;
  write_cache(folder, key, compiled);
  CHECK_FALSE(read_cache(folder, key).has_value());
  std::filesystem::remove_all(folder);
}

TEST_CASE("random bytes are never a loadable binary") {
  std::string bytes(4096, '\0');
  CHECK_FALSE(cpu::read_elf(bytes).ok());
  CHECK_FALSE(cpu::read_elf("").ok());
  CHECK_FALSE(cpu::read_elf("\x7f"
                            "ELF")
                  .ok());
  CHECK(cpu::check_binary(bytes, {}).has_value());
}

TEST_CASE("imports are memory functions and mathematics, nothing else") {
  for (const char* name : {"memcpy", "expf", "sqrt", "_ZGVdN8v_expf", "fmaf"}) {
    CHECK(cpu::allowed_import(name));
  }
  for (const char* name : {"malloc", "write", "system", "_ZGVdN8v_system", "exp_", "dlsym", ""}) {
    CHECK_FALSE(cpu::allowed_import(name));
  }
}

TEST_CASE("the compiler is bounded and its log tells nothing about the host", "[slow]") {
  cpu::HostToolchainConfig config;
  config.deadline = std::chrono::seconds(20);
  auto toolchain = cpu::HostToolchain::open(config);
  REQUIRE(toolchain.ok());
  const auto compile = [&](const std::string& source) {
    auto compiled = (*toolchain)->compile(host_job(source), {});
    REQUIRE(compiled.ok());
    return std::move(*compiled);
  };
  const Compiled good =
      compile("extern \"C\" __attribute__((visibility(\"default\"))) void f() {}");
  CHECK(good.failure == FailureClass::none);
  CHECK_FALSE(cpu::check_binary(good.binary, {"f"}).has_value());
  CHECK(cpu::check_binary(good.binary, {"g"}).has_value());
  const Compiled bad = compile("\nint x = ;");
  CHECK(bad.failure == FailureClass::compile_error);
  CHECK(bad.message.find("kernel.cpp:2:") == 0);
  const char* host = GENERATE("#include \"/etc/passwd\"\n",
                              "#define P \"/etc/passwd\"\n#include P\n",
                              "%:include \"/etc/passwd\"\n",
                              "#include \"../../../../etc/passwd\"\n");
  const Compiled leak = compile(host);
  CHECK(leak.failure != FailureClass::none);
  CHECK(leak.log.find("root") == std::string::npos);
  CHECK(leak.message.find("root") == std::string::npos);
}

TEST_CASE("endless constant evaluation and template recursion end in time", "[slow]") {
  cpu::HostToolchainConfig config;
  config.deadline = std::chrono::seconds(10);
  auto toolchain = cpu::HostToolchain::open(config);
  REQUIRE(toolchain.ok());
  const char* source = GENERATE(
      "constexpr int f() { int n = 0; while (true) { ++n; } return n; }\nconstexpr int x = f();",
      "template <int N, int M> struct B { static constexpr int v = B<N + 1, M>::v + B<N, M + "
      "1>::v; };\n"
      "int x = B<0, 0>::v;");
  const auto compiled = (*toolchain)->compile(host_job(source), {});
  REQUIRE(compiled.ok());
  CHECK(compiled->failure != FailureClass::none);
  CHECK(compiled->elapsed < std::chrono::seconds(15));
  CHECK(compiled->log.size() <= (64U << 10));
}
