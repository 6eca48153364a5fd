// Reading /proc and /sys, and two small measuring loops.

#include "evaluators/cpu/machine.h"

#include "core/codec.h"
#include "evaluators/child.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace coppice::evaluators::cpu {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string value_after(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size(), key) == 0) {
      const std::size_t at = line.find(':');
      const std::size_t start = line.find_first_not_of(" \t", at + 1);
      return start == std::string::npos ? "" : line.substr(start);
    }
  }
  return {};
}

std::uint64_t cache_bytes(int level, const char* type) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    const std::string kind = first_line(folder + "type");
    if (first_line(folder + "level") != std::to_string(level) ||
        (kind != type && kind != "Unified")) {
      continue;
    }
    const std::string size = first_line(folder + "size");
    const std::uint64_t number = std::strtoull(size.c_str(), nullptr, 10);
    return number << (size.find('M') != std::string::npos ? 20U : 10U);
  }
  const long fallback = ::sysconf(level == 1   ? _SC_LEVEL1_DCACHE_SIZE
                                  : level == 2 ? _SC_LEVEL2_CACHE_SIZE
                                               : _SC_LEVEL3_CACHE_SIZE);
  return fallback > 0 ? static_cast<std::uint64_t>(fallback) : 0;
}

// Runs body(thread) on `threads` threads that start together; seconds until the last ends.
template <class Body>
double together(int threads, const Body& body) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::jthread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&, i] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
        std::this_thread::yield();
      }
      body(i);
    });
  }
  while (ready.load() < threads) {
    std::this_thread::yield();
  }
  const Nanoseconds start = steady_now();
  go.store(true, std::memory_order_release);
  workers.clear();
  return to_seconds(steady_now() - start);
}

std::atomic<std::uint64_t> g_sink{0};  // keeps results of measuring loops alive

std::uint64_t read_sum(const std::uint64_t* data, std::uint64_t words) {
#if defined(__x86_64__)
  __m128i a = _mm_setzero_si128();
  __m128i b = a;
  __m128i c = a;
  __m128i d = a;
  const auto* at = reinterpret_cast<const __m128i*>(data);
  for (std::uint64_t i = 0; i + 8 <= words / 2; i += 8) {
    a = _mm_xor_si128(a, _mm_xor_si128(_mm_load_si128(at + i), _mm_load_si128(at + i + 4)));
    b = _mm_xor_si128(b, _mm_xor_si128(_mm_load_si128(at + i + 1), _mm_load_si128(at + i + 5)));
    c = _mm_xor_si128(c, _mm_xor_si128(_mm_load_si128(at + i + 2), _mm_load_si128(at + i + 6)));
    d = _mm_xor_si128(d, _mm_xor_si128(_mm_load_si128(at + i + 3), _mm_load_si128(at + i + 7)));
  }
  a = _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(a));
#else
  std::uint64_t sum[4] = {};
  for (std::uint64_t i = 0; i + 4 <= words; i += 4) {
    sum[0] ^= data[i];
    sum[1] ^= data[i + 1];
    sum[2] ^= data[i + 2];
    sum[3] ^= data[i + 3];
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
#endif
}

double read_rate(const Machine& machine, int threads) {
  // Four times the last-level cache, so that what is read comes from memory.
  const std::uint64_t most = std::max<std::uint64_t>(machine.available_bytes / 8, 32ULL << 20);
  const std::uint64_t wanted =
      std::clamp<std::uint64_t>(4 * machine.l3_bytes, 64ULL << 20, 512ULL << 20);
  const std::uint64_t bytes = std::min(wanted, most) / 4096 * 4096;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return 0.0;
  }
  ::madvise(memory, bytes, MADV_HUGEPAGE);
  auto* words = static_cast<std::uint64_t*>(memory);
  const std::uint64_t each = bytes / 8 / static_cast<std::uint64_t>(threads) / 16 * 16;
  together(threads, [&](int t) {
    for (std::uint64_t i = 0; i < each; ++i) {
      words[each * static_cast<std::uint64_t>(t) + i] = i * 0x9e3779b97f4a7c15ULL;
    }
  });
  double best = 0.0;
  for (int run = 0; run < 5; ++run) {
    const double seconds = together(threads, [&](int t) {
      g_sink.fetch_add(read_sum(words + each * static_cast<std::uint64_t>(t), each));
    });
    best = std::max(best, static_cast<double>(each) * 8.0 * threads / seconds);
  }
  ::munmap(memory, bytes);
  return best;
}

constexpr int kFmaRounds = 2000000;

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) double fma_avx2(int rounds) {
  __m256 x[12];
  for (int i = 0; i < 12; ++i) {
    x[i] = _mm256_set1_ps(1.0F + static_cast<float>(i) * 1e-3F);
  }
  const __m256 a = _mm256_set1_ps(0.999999F);
  const __m256 b = _mm256_set1_ps(1e-6F);
  for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& lane : x) {
      lane = _mm256_fmadd_ps(lane, a, b);
    }
  }
  float out[8];
  __m256 sum = x[0];
  for (int i = 1; i < 12; ++i) {
    sum = _mm256_add_ps(sum, x[i]);
  }
  _mm256_storeu_ps(out, sum);
  g_sink.fetch_add(static_cast<std::uint64_t>(out[0]));
  return 12.0 * 8.0 * 2.0 * rounds;
}
__attribute__((target("avx512f"))) double fma_avx512(int rounds) {
  __m512 x[12];
  for (int i = 0; i < 12; ++i) {
    x[i] = _mm512_set1_ps(1.0F + static_cast<float>(i) * 1e-3F);
  }
  const __m512 a = _mm512_set1_ps(0.999999F);
  const __m512 b = _mm512_set1_ps(1e-6F);
  for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& lane : x) {
      lane = _mm512_fmadd_ps(lane, a, b);
    }
  }
  __m512 sum = x[0];
  for (int i = 1; i < 12; ++i) {
    sum = _mm512_add_ps(sum, x[i]);
  }
  float out[16];
  _mm512_storeu_ps(out, sum);
  g_sink.fetch_add(static_cast<std::uint64_t>(out[0]));
  return 12.0 * 16.0 * 2.0 * rounds;
}
__attribute__((target("avx2,fma"))) double fma_avx2_f64(int rounds) {
  __m256d x[12];
  for (int i = 0; i < 12; ++i) {
    x[i] = _mm256_set1_pd(1.0 + i * 1e-3);
  }
  const __m256d a = _mm256_set1_pd(0.999999);
  const __m256d b = _mm256_set1_pd(1e-6);
  for (int r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (auto& lane : x) {
      lane = _mm256_fmadd_pd(lane, a, b);
    }
  }
  __m256d sum = x[0];
  for (int i = 1; i < 12; ++i) {
    sum = _mm256_add_pd(sum, x[i]);
  }
  double out[4];
  _mm256_storeu_pd(out, sum);
  g_sink.fetch_add(static_cast<std::uint64_t>(out[0]));
  return 12.0 * 4.0 * 2.0 * rounds;
}
#endif

// Every compiler turns this into the vectors of the base architecture.
double fma_plain(int rounds) {
  float x[32];
  for (int i = 0; i < 32; ++i) {
    x[i] = 1.0F + static_cast<float>(i) * 1e-3F;
  }
  for (int r = 0; r < rounds; ++r) {
    for (float& lane : x) {
      lane = lane * 0.999999F + 1e-6F;
    }
  }
  float sum = 0.0F;
  for (const float lane : x) {
    sum += lane;
  }
  g_sink.fetch_add(static_cast<std::uint64_t>(sum));
  return 32.0 * 2.0 * rounds;
}

double fma_once(int rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    return fma_avx512(rounds);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return fma_avx2(rounds);
  }
#endif
  return fma_plain(rounds);
}

double fma_once_f64(int rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return fma_avx2_f64(rounds);
  }
#endif
  double x[16];
  for (int i = 0; i < 16; ++i) {
    x[i] = 1.0 + i * 1e-3;
  }
  for (int r = 0; r < rounds; ++r) {
    for (double& lane : x) {
      lane = lane * 0.999999 + 1e-6;
    }
  }
  double sum = 0.0;
  for (const double lane : x) {
    sum += lane;
  }
  g_sink.fetch_add(static_cast<std::uint64_t>(sum));
  return 16.0 * 2.0 * rounds;
}

double fma_rate(int threads, double (*once)(int rounds)) {
  double best = 0.0;
  for (int run = 0; run < 4; ++run) {
    double flops = 0.0;
    const double seconds = together(threads, [&](int t) {
      const double mine = once(kFmaRounds);
      if (t == 0) {
        flops = mine;
      }
    });
    best = std::max(best, flops * threads / seconds);
  }
  return best;
}

}  // namespace

Machine look_at_machine() {
  Machine out;
  out.name = value_after("/proc/cpuinfo", "model name");
  if (out.name.empty()) {
    out.name = value_after("/proc/cpuinfo", "CPU part");
  }
  cpu_set_t set;
  out.cores = ::sched_getaffinity(0, sizeof set, &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  out.l1_bytes = cache_bytes(1, "Data");
  out.l2_bytes = cache_bytes(2, "Unified");
  out.l3_bytes = cache_bytes(3, "Unified");
  out.memory_bytes = std::strtoull(value_after("/proc/meminfo", "MemTotal").c_str(), nullptr, 10)
                     << 10;
  out.available_bytes =
      std::strtoull(value_after("/proc/meminfo", "MemAvailable").c_str(), nullptr, 10) << 10;
  return out;
}

Ceilings measure_ceilings(const Machine& machine) {
  Ceilings out;
  out.read_one = read_rate(machine, 1);
  out.read_all = machine.cores > 1 ? read_rate(machine, machine.cores) : out.read_one;
  out.read_all = std::max(out.read_all, out.read_one);
  out.f32_fma = fma_rate(machine.cores, fma_once);
  out.f64_fma = fma_rate(machine.cores, fma_once_f64);
  return out;
}

Json to_json(const Machine& m) {
  return Json::object()
      .set("name", m.name)
      .set("cores", m.cores)
      .set("l1_bytes", m.l1_bytes)
      .set("l2_bytes", m.l2_bytes)
      .set("l3_bytes", m.l3_bytes)
      .set("memory_bytes", m.memory_bytes);
}

Json to_json(const Ceilings& c) {
  return Json::object()
      .set("read_one", c.read_one)
      .set("read_all", c.read_all)
      .set("f32_fma", c.f32_fma)
      .set("f64_fma", c.f64_fma)
      .set("launch_floor", c.launch_floor);
}

Result<Ceilings> ceilings(const JsonReader& json) {
  Ceilings c;
  Fields fields(json, {"read_one", "read_all", "f32_fma", "f64_fma", "launch_floor"});
  fields.need("read_one", c.read_one).need("read_all", c.read_all).need("f32_fma", c.f32_fma);
  return fields.need("f64_fma", c.f64_fma).need("launch_floor", c.launch_floor).done(c);
}

}  // namespace coppice::evaluators::cpu
