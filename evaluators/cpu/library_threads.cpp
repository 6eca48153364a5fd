// One tiny multiplication, or one empty parallel region.

#include "evaluators/cpu/library_threads.h"

#include <algorithm>

namespace coppice::evaluators::cpu {

LibraryThreads::LibraryThreads(const TrustedLibrary& library, int threads)
    : threads_(static_cast<unsigned>(std::max(threads, 1))) {
  if (threads_ < 2) {
    return;
  }
  parallel_ = reinterpret_cast<Parallel>(library.find("GOMP_parallel"));
  sgemm_ = reinterpret_cast<Sgemm>(library.find("cblas_sgemm"));
  if (sgemm_ != nullptr) {
    // OpenBLAS gives a thread at least 64^3 multiplications.
    constexpr int kStep = 64;
    size_ = kStep;
    while (size_ / kStep * (size_ / kStep) * (size_ / kStep) < 2 * static_cast<int>(threads_)) {
      size_ += kStep;
    }
    const auto elements = static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_);
    left_.assign(elements, 1.0F);
    right_.assign(elements, 1.0F);
    product_.assign(elements, 0.0F);
  }
}

void LibraryThreads::wake() {
  if (sgemm_ != nullptr) {
    constexpr int kRowMajor = 101;
    constexpr int kPlain = 111;
    sgemm_(kRowMajor,
           kPlain,
           kPlain,
           size_,
           size_,
           size_,
           1.0F,
           left_.data(),
           size_,
           right_.data(),
           size_,
           0.0F,
           product_.data(),
           size_);
  }
  if (parallel_ != nullptr) {
    parallel_([](void*) {}, nullptr, threads_, 0);
  }
}

}  // namespace coppice::evaluators::cpu
