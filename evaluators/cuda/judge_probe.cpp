// What the judge measures of the device itself: known answers, and the practical floor of a read.
#include "core/random.h"
#include "evaluators/cuda/judge.h"

#include <algorithm>
#include <cstring>

namespace coppice::evaluators::cuda {

Result<void> Judge::canary(WireWriter& out) {
  constexpr std::uint64_t kCount = 4096, kSeed = 0x5eed;
  COPPICE_TRY(const DevicePtr at, scratch(kCount * 8));
  COPPICE_TRY(const Function canary_kernel, kernel("coppice_canary"));
  const unsigned grid[3] = {16, 1, 1};
  COPPICE_TRY_VOID(device_->launch(canary_kernel, grid, 256, {at, kCount, kSeed}));
  COPPICE_TRY(const std::string bytes, device_->download(at, kCount * 8));
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    std::uint64_t got = 0;
    std::memcpy(&got, bytes.data() + 8 * i, 8);
    wrong += got != mix64(i + kSeed) ? 1 : 0;
  }
  out.put(wrong);
  return {};
}

// The fastest of several plain reads of `bytes`, cold: the practical floor of a memory-bound
// kernel.
Result<void> Judge::stream(WireReader& in, WireWriter& out) {
  const std::uint64_t bytes = in.get<std::uint64_t>() / 16 * 16;
  const std::uint64_t flush = static_cast<std::uint64_t>(device_->facts().l2_bytes);
  const DriverApi& api = device_->api();
  COPPICE_TRY(const DevicePtr data, device_->allocate(std::max(bytes, std::uint64_t{256})));
  COPPICE_TRY(const DevicePtr scrub, device_->allocate(flush + 256));
  COPPICE_TRY_VOID(device_->fill(data, 0x5a, bytes));
  COPPICE_TRY(const Function stream_kernel, kernel("coppice_stream"));
  EventHandle first = nullptr, last = nullptr;
  COPPICE_TRY_VOID(check(api, api.event_create(&first, 0), "event"));
  COPPICE_TRY_VOID(check(api, api.event_create(&last, 0), "event"));
  double best = 1e9;
  for (const unsigned per_sm : {1u, 2u, 4u, 8u}) {
    std::vector<float> times;
    for (int repeat = 0; repeat < 9; ++repeat) {
      COPPICE_TRY_VOID(device_->fill(scrub, static_cast<unsigned char>(repeat), flush));
      const unsigned grid[3] = {
          per_sm * static_cast<unsigned>(device_->facts().multiprocessors), 1, 1};
      api.event_record(first, device_->stream());
      COPPICE_TRY_VOID(
          device_->launch(stream_kernel, grid, 256, {data, bytes / 16, scrub + flush}));
      api.event_record(last, device_->stream());
      COPPICE_TRY_VOID(device_->wait());
      float milliseconds = 0;
      api.event_elapsed(&milliseconds, first, last);
      times.push_back(milliseconds);
    }
    std::nth_element(times.begin(), times.begin() + 4, times.end());
    best = std::min(best, static_cast<double>(times[4]) * 1e-3);
  }
  api.event_destroy(first);
  api.event_destroy(last);
  api.release(data);
  api.release(scrub);
  out.put(best);
  return {};
}

}  // namespace coppice::evaluators::cuda
