// add_rmsnorm_fp8_gemm through oneDNN: include/library_fp8_rows.h with its row-major sgemm.
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
void omp_set_num_threads(int threads) __attribute__((weak));
}

namespace {

struct Library {
  static void threads(int n) {
    if (omp_set_num_threads != nullptr) {
      omp_set_num_threads(n);
    }
  }
  static void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
    dnnl_sgemm('N', 'T', m, n, k, 1.0f, a, k, b, k, 0.0f, c, n);
  }
};

}  // namespace

#include "library_fp8_rows.h"

int coppice_baseline_setup(const coppice_problem* p, int threads) {
  return library_setup(p, threads);
}

int coppice_baseline_run(const coppice_problem*) {
  return library_run();
}
