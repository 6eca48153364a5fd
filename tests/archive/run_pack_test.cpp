// Packing and unpacking runs; packed files that lie.
#include "archive/run_pack.h"

#include "archive/container.h"
#include "archive/run_store.h"
#include "core/random.h"
#include "tests/archive/sample_run.h"
#include "tests/archive/support.h"

#include <filesystem>

using namespace coppice;
using namespace coppice::archive;
using Mode = ExperimentLog::Mode;

namespace {

RunStore store_with_run(const std::string& directory, const std::string& name) {
  RunStore store = must(RunStore::open(directory, RunStore::Access::create));
  must(store.create_run_named(name));
  auto log = must(store.open_run(name, Mode::create));
  must(log.put_blob("the kernel's source"));
  for (const Event& event : sample_run()) {
    must(log.append(event));
  }
  must(log.close());
  return store;
}

// A container whose manifest says what the test wants; content is `bytes` as one stream.
void write_lie(const std::string& path, const std::string& manifest, const std::string& honest) {
  const std::string whole = slurp(honest);
  const auto known = must(read_manifest(honest));
  spill(path,
        std::string(kPackMagic) + std::to_string(manifest.size()) + "\n" + sha256(manifest).hex() +
            "\n" + manifest + "\n" + whole.substr(known.content_at));
}

std::string manifest_with(const std::string& path, std::uint64_t size, const std::string& text) {
  return "{\"about\":{},\"files\":[{\"path\":\"" + path + "\",\"sha256\":\"" + sha256(text).hex() +
         "\",\"size\":" + std::to_string(size) + "}]}";
}

std::vector<std::string> below(const std::string& directory) {
  return must(list_directory(directory));
}

}  // namespace

TEST_CASE("a run goes through a packed file and comes out the same") {
  const TempDir dir;
  const RunStore from = store_with_run(dir / "from", "gqa-1");
  const PackedRun packed = must(pack_run(from, "gqa-1", dir / "gqa.coppice"));
  REQUIRE(packed.events == sample_run().size());
  REQUIRE(must(describe_pack(dir / "gqa.coppice")).head == packed.head);
  const RunStore to = must(RunStore::open(dir / "to", RunStore::Access::create));
  REQUIRE(must(unpack_run(to, dir / "gqa.coppice")).name == "gqa-1");
  REQUIRE(must(unpack_run(to, dir / "gqa.coppice", "mine")).name == "mine");
  const auto log = must(to.open_run("mine", Mode::read));
  const ChainStatus status = must(log.verify());
  REQUIRE(status.ok);
  REQUIRE(status.head == packed.head);
  REQUIRE(must(log.blob(sha256("the kernel's source"))) == "the kernel's source");
  // It can be gone on with.
  auto writer = must(to.open_run("gqa-1", Mode::append));
  must(writer.append(Resumed{}));
  must(writer.close());
  REQUIRE(below(dir.path()) == std::vector<std::string>{"from", "gqa.coppice", "to"});
  REQUIRE(below(dir / "to/runs") == std::vector<std::string>{"gqa-1", "mine"});
}

TEST_CASE("a run is packed while it is being written, as far as it is committed") {
  const TempDir dir;
  const RunStore store = store_with_run(dir / "archive", "gqa-1");
  auto writer = must(store.open_run("gqa-1", Mode::append));
  must(writer.append(Tick{}));
  REQUIRE(must(pack_run(store, "gqa-1", dir / "one.coppice")).events == sample_run().size());
  must(writer.commit());
  REQUIRE(must(pack_run(store, "gqa-1", dir / "two.coppice")).events == sample_run().size() + 1);
}

TEST_CASE("packing and unpacking overwrite nothing") {
  const TempDir dir;
  const RunStore store = store_with_run(dir / "archive", "gqa-1");
  must(pack_run(store, "gqa-1", dir / "gqa.coppice"));
  REQUIRE(error_of(pack_run(store, "gqa-1", dir / "gqa.coppice")).code == ErrorCode::config);
  const Error error = error_of(unpack_run(store, dir / "gqa.coppice"));
  REQUIRE(error.code == ErrorCode::config);
  REQUIRE_THAT(error.message, Catch::Contains("found a run of that name"));
  REQUIRE(error_of(unpack_run(store, dir / "gqa.coppice", "../up")).code == ErrorCode::config);
}

TEST_CASE("a damaged run is not packed") {
  const TempDir dir;
  const RunStore store = store_with_run(dir / "archive", "gqa-1");
  const std::string log = store.directory_of("gqa-1") + "/log.sqlite";
  std::string bytes = slurp(log);
  const std::size_t at = bytes.find("axis_step");
  REQUIRE(at != std::string::npos);
  bytes[at] = 'A';
  spill(log, bytes);
  REQUIRE(error_of(pack_run(store, "gqa-1", dir / "gqa.coppice")).code == ErrorCode::corrupt);
  REQUIRE(below(dir.path()) == std::vector<std::string>{"archive"});
}

TEST_CASE("paths that lead outside are refused") {
  for (const char* path : {"",
                           "/etc/passwd",
                           "../x",
                           "a/../b",
                           "a//b",
                           "./a",
                           "a/",
                           "a\\b",
                           "a b",
                           "..",
                           "a/.",
                           "\x01",
                           "caf\xc3\xa9",
                           "~x\n",
                           "C:/x"}) {
    INFO(path);
    CHECK_FALSE(is_safe_relative_path(path));
  }
  CHECK_FALSE(is_safe_relative_path(std::string_view("a\0b", 3)));
  CHECK_FALSE(is_safe_relative_path(std::string(2000, 'a')));
  CHECK(is_safe_relative_path("log.sqlite"));
  CHECK(is_safe_relative_path("a/b-c_d/e.1"));
}

TEST_CASE("a packed file that lies about its content is refused, and leaves nothing behind") {
  const TempDir dir;
  must(make_directories(dir / "in"));
  spill(dir / "in/a", "hello");
  must(write_container(dir / "honest", dir / "in", {"a"}, Json::object()));
  int n = 0;
  const auto refused = [&](const std::string& manifest, const std::string& why) {
    const std::string lie = dir / ("lie" + std::to_string(n));
    const std::string out = dir / ("out" + std::to_string(n++));
    write_lie(lie, manifest, dir / "honest");
    must(make_directories(out));
    const Error error = error_of(read_container(lie, out, 1000));
    INFO(error.message);
    CHECK_THAT(error.message, Catch::Contains(why));
    CHECK_FALSE(exists(dir / "x"));
  };
  refused(manifest_with("../x", 5, "hello"), "plain relative path");
  refused(manifest_with("a", 6, "hello"), "shorter");
  refused(manifest_with("a", 4, "hell"), "more content");
  refused(manifest_with("a", 5, "hullo"), "digest");
  refused(manifest_with("a", 1ULL << 62U, "hello"), "exceed the limit");
  refused("{\"about\":{},\"files\":[]}", "more content");
  refused("{\"files\":[]}", "about");
  refused("not json", "");
  std::string twice = manifest_with("a", 0, "");
  twice.insert(twice.size() - 2, "," + twice.substr(21, twice.size() - 23));
  refused(twice, "the same path twice");
}

TEST_CASE("a packed file that is cut, lengthened, or of another kind is refused") {
  const TempDir dir;
  const RunStore store = store_with_run(dir / "archive", "gqa-1");
  must(pack_run(store, "gqa-1", dir / "gqa.coppice"));
  const std::string whole = slurp(dir / "gqa.coppice");
  const auto message = [&](const std::string& bytes) {
    spill(dir / "bad", bytes);
    return error_of(unpack_run(store, dir / "bad", "new")).message;
  };
  CHECK_THAT(message(whole + "x"), Catch::Contains("more content"));
  for (const std::size_t size : {std::size_t{0},
                                 std::size_t{5},
                                 std::size_t{20},
                                 std::size_t{60},
                                 std::size_t{200},
                                 whole.size() / 2,
                                 whole.size() - 1}) {
    CHECK_FALSE(message(whole.substr(0, size)).empty());
  }
  CHECK_THAT(message("PK\x03\x04"), Catch::Contains("not a coppice archive"));
  CHECK_THAT(message("COPPICE-PACK 9\n"), Catch::Contains("newer coppice"));
  REQUIRE(below(dir / "archive/runs") == std::vector<std::string>{"gqa-1"});
}

TEST_CASE("random damage never unpacks a wrong run") {
  const TempDir dir;
  const RunStore store = store_with_run(dir / "archive", "gqa-1");
  must(pack_run(store, "gqa-1", dir / "gqa.coppice"));
  const std::string whole = slurp(dir / "gqa.coppice");
  Rng rng = stream(20261123, "damage", 0);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = whole;
    const std::uint64_t flips = 1 + rng.below(4);
    for (std::uint64_t i = 0; i < flips; ++i) {
      // The head more often than its share: it is what a stranger writes by hand.
      const std::size_t range =
          rng.below(2) == 0 ? std::min<std::size_t>(600, whole.size()) : whole.size();
      bytes[rng.below(range)] = static_cast<char>(rng.below(256));
    }
    if (rng.below(4) == 0) {
      bytes.resize(rng.below(bytes.size()));
    }
    if (bytes == whole) {
      continue;
    }
    spill(dir / "bad", bytes);
    const auto unpacked = unpack_run(store, dir / "bad", "new");
    INFO(round);
    REQUIRE_FALSE(unpacked.ok());
  }
  REQUIRE(below(dir / "archive/runs") == std::vector<std::string>{"gqa-1"});
}
