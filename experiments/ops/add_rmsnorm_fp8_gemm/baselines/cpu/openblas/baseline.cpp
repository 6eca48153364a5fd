// add_rmsnorm_fp8_gemm through OpenBLAS: include/library_fp8_rows.h with its sgemm; sgemv for a
// row.
extern "C" {
void openblas_set_num_threads(int threads);
void cblas_sgemm(int order,
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
void cblas_sgemv(int order,
                 int trans,
                 int m,
                 int n,
                 float alpha,
                 const float* a,
                 int lda,
                 const float* x,
                 int incx,
                 float beta,
                 float* y,
                 int incy);
}

namespace {

struct Library {
  static constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;
  static void threads(int n) { openblas_set_num_threads(n); }
  static void gemm(int m, int n, int k, const float* a, const float* b, float* c) {
    if (m == 1) {
      cblas_sgemv(kRowMajor, kNoTrans, n, k, 1.0f, b, k, a, 1, 0.0f, c, 1);
    } else {
      cblas_sgemm(kRowMajor, kNoTrans, kTrans, m, n, k, 1.0f, a, k, b, k, 0.0f, c, n);
    }
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
