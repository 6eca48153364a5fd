// The threads that a baseline's library keeps: awake at the bell, as a candidate's workers are.
#pragma once

#include "evaluators/cpu/op_abi.h"

#include <vector>

namespace coppice::evaluators::cpu {

// Knows BLAS libraries by cblas_sgemm and what is built on GNU OpenMP by GOMP_parallel. Others wake
// their threads inside the timed call.
class LibraryThreads {
 public:
  LibraryThreads(const TrustedLibrary& library, int threads);
  // A small call in which `threads` threads take part; afterwards they spin for some milliseconds,
  // as between two calls of a busy program. Nothing for one thread.
  void wake();

 private:
  using Sgemm = void (*)(int order,
                         int trans_a,
                         int trans_b,
                         int m,
                         int n,
                         int k,
                         float alpha,
                         const float* a,
                         int lda,
                         const float* b,
                         int ldb,
                         float beta,
                         float* c,
                         int ldc);
  using Parallel = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

  unsigned threads_;
  Sgemm sgemm_ = nullptr;
  Parallel parallel_ = nullptr;
  int size_ = 0;  // of a square matrix that the library does not leave to one thread
  std::vector<float> left_, right_, product_;
};

}  // namespace coppice::evaluators::cpu
