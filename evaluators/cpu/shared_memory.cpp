// Sealed memory files; streaming stores where the processor has them.

#include "evaluators/cpu/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace coppice::evaluators::cpu {
namespace {

constexpr std::uint64_t kCacheLine = 64;

Error failed(const char* what) {
  return {ErrorCode::environment, fmt::format("{}: {}", what, std::strerror(errno))};
}

template <class Body>
void in_parts(std::uint64_t bytes, int threads, const Body& body) {
  constexpr std::uint64_t kWorthAThread = 4ULL << 20;
  const std::uint64_t parts = std::clamp<std::uint64_t>(
      bytes / kWorthAThread, 1, static_cast<std::uint64_t>(std::max(threads, 1)));
  const std::uint64_t chunk = (bytes / parts + kCacheLine - 1) / kCacheLine * kCacheLine;
  std::vector<std::jthread> others;
  for (std::uint64_t p = 1; p < parts; ++p) {
    others.emplace_back([&body, p, chunk, bytes] {
      const std::uint64_t first = std::min(p * chunk, bytes);
      body(first, std::min(chunk, bytes - first));
    });
  }
  body(0, std::min(chunk, bytes));
}

#if defined(__x86_64__)
// Both 16-byte aligned; whole lines.
void stream_lines(std::byte* to, const std::byte* from, std::uint64_t lines) {
  auto* out = reinterpret_cast<__m128i*>(to);
  const auto* in = reinterpret_cast<const __m128i*>(from);
  for (std::uint64_t i = 0; i < lines * 4; i += 4) {
    const __m128i a = _mm_loadu_si128(in + i);
    const __m128i b = _mm_loadu_si128(in + i + 1);
    const __m128i c = _mm_loadu_si128(in + i + 2);
    const __m128i d = _mm_loadu_si128(in + i + 3);
    _mm_stream_si128(out + i, a);
    _mm_stream_si128(out + i + 1, b);
    _mm_stream_si128(out + i + 2, c);
    _mm_stream_si128(out + i + 3, d);
  }
  _mm_sfence();
}
void stream_pattern(std::byte* to, std::uint32_t pattern, std::uint64_t lines) {
  auto* out = reinterpret_cast<__m128i*>(to);
  const __m128i value = _mm_set1_epi32(static_cast<int>(pattern));
  for (std::uint64_t i = 0; i < lines * 4; ++i) {
    _mm_stream_si128(out + i, value);
  }
  _mm_sfence();
}
#endif

void fill_plain(std::byte* to, std::uint32_t pattern, std::uint64_t offset, std::uint64_t bytes) {
  for (std::uint64_t i = 0; i < bytes; ++i) {
    to[i] = static_cast<std::byte>(pattern >> (8 * ((offset + i) % 4)));
  }
}

}  // namespace

Result<Mapping> Mapping::of(int fd, std::uint64_t bytes, bool writable) {
  Mapping out;
  void* at =
      ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    return failed("map shared memory");
  }
  out.data_ = static_cast<std::byte*>(at);
  out.bytes_ = bytes;
  return out;
}

Mapping::Mapping(Mapping&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
  other.data_ = nullptr;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) {
    ::munmap(data_, bytes_);
  }
}

Result<SharedMemory> SharedMemory::create(std::string_view name, std::uint64_t bytes) {
  SharedMemory out;
  out.fd_ = Fd(::memfd_create(std::string(name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const std::uint64_t size = std::max<std::uint64_t>(bytes, 4096);
  if (!out.fd_ || ::ftruncate(out.fd_.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(out.fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return failed("create shared memory");
  }
  COPPICE_TRY(out.mapping_, Mapping::of(out.fd_.get(), size, true));
  return out;
}

Result<void> SharedMemory::seal_future_writes() {
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0) {
    return failed("seal shared memory");
  }
  return {};
}

Fd duplicate(int fd) {
  return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

void copy_cold(void* to, const void* from, std::uint64_t bytes, int threads) {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  in_parts(bytes, threads, [&](std::uint64_t first, std::uint64_t count) {
#if defined(__x86_64__)
    const auto address = reinterpret_cast<std::uintptr_t>(out + first);
    const std::uint64_t head =
        std::min<std::uint64_t>((kCacheLine - address % kCacheLine) % kCacheLine, count);
    const std::uint64_t lines = (count - head) / kCacheLine;
    std::memcpy(out + first, in + first, head);
    stream_lines(out + first + head, in + first + head, lines);
    const std::uint64_t done = head + lines * kCacheLine;
    std::memcpy(out + first + done, in + first + done, count - done);
    flush(out + first, head);
    flush(out + first + done, count - done);
#else
    std::memcpy(out + first, in + first, count);
    flush(out + first, count);
#endif
  });
}

void fill_cold(void* to, std::uint32_t pattern, std::uint64_t bytes, int threads) {
  auto* out = static_cast<std::byte*>(to);
  in_parts(bytes, threads, [&](std::uint64_t first, std::uint64_t count) {
    const auto address = reinterpret_cast<std::uintptr_t>(out + first);
    const std::uint64_t head =
        std::min<std::uint64_t>((kCacheLine - address % kCacheLine) % kCacheLine, count);
    fill_plain(out + first, pattern, first, head);
    const std::uint64_t lines = (count - head) / kCacheLine;
    const std::uint64_t done = head + lines * kCacheLine;
#if defined(__x86_64__)
    // The pattern's phase must not depend on the address: rotate it to start at `first + head`.
    const unsigned shift = static_cast<unsigned>(8 * ((first + head) % 4));
    const std::uint32_t rotated =
        shift == 0 ? pattern : (pattern >> shift) | (pattern << (32 - shift));
    stream_pattern(out + first + head, rotated, lines);
#else
    fill_plain(out + first + head, pattern, first + head, lines * kCacheLine);
#endif
    fill_plain(out + first + done, pattern, first + done, count - done);
#if defined(__x86_64__)
    flush(out + first, head);
    flush(out + first + done, count - done);
#else
    flush(out + first, count);
#endif
  });
}

void flush(const void* at, std::uint64_t bytes) {
  if (bytes == 0) {
    return;
  }
  const auto first = reinterpret_cast<std::uintptr_t>(at) / kCacheLine * kCacheLine;
  const auto end = reinterpret_cast<std::uintptr_t>(at) + bytes;
  for (std::uintptr_t line = first; line < end; line += kCacheLine) {
#if defined(__x86_64__)
    _mm_clflush(reinterpret_cast<const void*>(line));
#elif defined(__aarch64__)
    asm volatile("dc civac, %0" ::"r"(line) : "memory");
#endif
  }
#if defined(__x86_64__)
  _mm_mfence();
#elif defined(__aarch64__)
  asm volatile("dsb sy" ::: "memory");
#endif
}

}  // namespace coppice::evaluators::cpu
