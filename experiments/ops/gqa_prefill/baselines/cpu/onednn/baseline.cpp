// Causal attention through oneDNN: include/library_prefill.h with its row-major sgemm.
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
                   float* c,
                   int ldc) {
    dnnl_sgemm('N', trans_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, 0.0F, c, ldc);
  }
};

}  // namespace

#include "library_prefill.h"

int coppice_baseline_setup(const coppice_problem* p, int threads) {
  return library_setup(p, threads);
}

int coppice_baseline_run(const coppice_problem*) {
  return library_run();
}
