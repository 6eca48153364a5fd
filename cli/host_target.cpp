// Reads the CPU's facts from the system.
#include "cli/host_target.h"

#include "cli/text_file.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <thread>

namespace coppice::cli {
namespace {

// Features that templates may name; listed or not, each has a boolean fact.
constexpr std::array<const char*, 14> kFeatures = {"sse4_2",
                                                   "avx",
                                                   "avx2",
                                                   "fma",
                                                   "f16c",
                                                   "avx512f",
                                                   "avx512bw",
                                                   "avx512vl",
                                                   "avx512dq",
                                                   "avx512_bf16",
                                                   "avx512_vnni",
                                                   "amx_bf16",
                                                   "neon",
                                                   "bf16"};

// The value of the first line "key : value" of /proc/cpuinfo.
std::string cpuinfo(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    const std::size_t colon = line.find(':');
    if (colon != line.npos && line.compare(0, key.size(), key) == 0) {
      const std::size_t from = line.find_first_not_of(" \t", colon + 1);
      return from == line.npos ? std::string() : line.substr(from);
    }
  }
  return std::string();
}

std::vector<std::string> features_in(const std::string& flags) {
  std::vector<std::string> found;
  std::istringstream words(flags);
  std::string word;
  while (words >> word) {
    word = word == "asimd" ? "neon" : word;
    if (std::find(kFeatures.begin(), kFeatures.end(), word) != kFeatures.end()) {
      found.push_back(word);
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

std::int64_t cache_bytes(int name, std::int64_t otherwise) {
  const long bytes = ::sysconf(name);
  return bytes > 0 ? bytes : otherwise;
}

std::string architecture() {
  utsname system{};
  return ::uname(&system) == 0 ? system.machine : "unknown";
}

void add_host_facts(Target& host, const std::string& info) {
  std::string flags = cpuinfo(info, "flags");
  flags = flags.empty() ? cpuinfo(info, "Features") : flags;
  host.features = features_in(flags);
  const auto has = [&](const char* feature) {
    return std::find(host.features.begin(), host.features.end(), feature) != host.features.end();
  };
  for (const char* feature : kFeatures) {
    host.facts[feature] = has(feature);
  }
  const auto cores = static_cast<std::int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  host.facts["cores"] = cores;
  host.facts["vector_bytes"] = std::int64_t{has("avx512f") ? 64 : has("avx2") ? 32 : 16};
  host.facts["l1_bytes"] = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
  host.facts["l2_bytes"] = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
  host.facts["l3_bytes"] = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
}

Result<Target> read_target(const std::string& path) {
  COPPICE_TRY(const std::string text, read_text_file(path));
  COPPICE_TRY(const Json json, Json::parse(text, path));
  return target(json.reader(path));
}

}  // namespace

Result<Target> host_target(const Places& places) {
  Target host;
  host.name = architecture();
  host.backend = "cpu";
  const Result<std::string> table = places.find_target(host.name);
  if (table.ok()) {
    COPPICE_TRY(host, read_target(*table));
  }
  const Result<std::string> info = read_text_file("/proc/cpuinfo");
  add_host_facts(host, info.ok() ? *info : std::string());
  return host;
}

Result<Target> find_target(const std::string& name,
                           const std::string& backend,
                           const Places& places) {
  if (name == "host" && backend == "cpu") {
    return host_target(places);
  }
  if (name == "host") {
    return Error{ErrorCode::config,
                 "/target: backend " + backend +
                     " needs the name of a table in configs/targets, found \"host\""};
  }
  COPPICE_TRY(const std::string path, places.find_target(name));
  COPPICE_TRY(Target found, read_target(path));
  if (found.backend != backend) {
    return Error{ErrorCode::config,
                 path + ": /backend: expected \"" + backend +
                     "\" as in the configuration, found \"" + found.backend + "\""};
  }
  const Result<std::string> info = read_text_file("/proc/cpuinfo");
  if (backend == "cpu" && found.name == architecture()) {
    add_host_facts(found, info.ok() ? *info : std::string());
  }
  return found;
}

std::string cpu_model() {
  const Result<std::string> info = read_text_file("/proc/cpuinfo");
  const std::string model = info.ok() ? cpuinfo(*info, "model name") : std::string();
  return model.empty() ? architecture() : model;
}

}  // namespace coppice::cli
