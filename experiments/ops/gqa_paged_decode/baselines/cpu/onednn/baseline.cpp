// Decode attention through oneDNN: include/library_attend.h with its row-major sgemm; a
// matrix-vector product is a gemm with one column or row, as the library has no gemv of its own.
#include <cstdint>

extern "C" {
int dnnl_sgemm(char trans_a,
               char trans_b,
               std::int64_t m,
               std::int64_t n,
               std::int64_t k,
               float alpha,
               const float* a,
               std::int64_t lda,
               const float* b,
               std::int64_t ldb,
               float beta,
               float* c,
               std::int64_t ldc);
void omp_set_num_threads(int threads) __attribute__((weak));  // of the calling thread
}

namespace {

struct Library {
  static void one_thread() {
    if (omp_set_num_threads != nullptr) {
      omp_set_num_threads(1);
    }
  }
  static void gemm(bool trans_b,
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
                   int ldc) {
    dnnl_sgemm('N', trans_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  }
  static void gemv(bool trans,
                   int m,
                   int n,
                   float alpha,
                   const float* a,
                   int lda,
                   const float* x,
                   int,
                   float beta,
                   float* y,
                   int) {
    if (trans) {
      dnnl_sgemm('N', 'N', 1, n, m, alpha, x, m, a, lda, beta, y, n);
    } else {
      dnnl_sgemm('N', 'T', 1, m, n, alpha, x, n, a, lda, beta, y, m);
    }
  }
};

}  // namespace

#include "library_attend.h"

int coppice_baseline_setup(const coppice_problem* p, int threads) {
  return library_setup(p, threads);
}

int coppice_baseline_run(const coppice_problem*) {
  return library_run();
}
