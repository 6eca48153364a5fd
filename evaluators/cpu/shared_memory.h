// Memory that several processes map: sealed files without a name, and moving data past the caches.
#pragma once

#include "core/result.h"
#include "evaluators/wire.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace coppice::evaluators::cpu {

// A mapping; unmapped at the end.
class Mapping {
 public:
  Mapping() = default;
  static Result<Mapping> of(int fd, std::uint64_t bytes, bool writable);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();
  std::byte* data() const { return data_; }
  std::uint64_t size() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
};

// Anonymous shared memory with this process's own writable mapping of it.
class SharedMemory {
 public:
  SharedMemory() = default;
  static Result<SharedMemory> create(std::string_view name, std::uint64_t bytes);
  // From now on nobody can make another writable mapping; ours stays writable.
  Result<void> seal_future_writes();
  int fd() const { return fd_.get(); }
  std::byte* data() const { return mapping_.data(); }
  std::uint64_t size() const { return mapping_.size(); }

 private:
  Fd fd_;
  Mapping mapping_;
};

// A duplicate of `fd` for sending with a message.
Fd duplicate(int fd);

// Copies, or repeats a 4-byte pattern, leaving no line of the destination in any cache (streaming
// stores; flushed lines where the machine has none). Runs on up to `threads` threads.
void copy_cold(void* to, const void* from, std::uint64_t bytes, int threads);
void fill_cold(void* to, std::uint32_t pattern, std::uint64_t bytes, int threads);
// Evicts a range from the caches of all cores.
void flush(const void* at, std::uint64_t bytes);

}  // namespace coppice::evaluators::cpu
