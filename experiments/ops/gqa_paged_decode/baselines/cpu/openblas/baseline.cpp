// Decode attention through OpenBLAS: include/library_attend.h with its sgemm and sgemv.
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
  static void one_thread() {
    static const bool once = (openblas_set_num_threads(1), true);
    (void)once;
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
    cblas_sgemm(kRowMajor,
                kNoTrans,
                trans_b ? kTrans : kNoTrans,
                m,
                n,
                k,
                alpha,
                a,
                lda,
                b,
                ldb,
                beta,
                c,
                ldc);
  }
  static void gemv(bool trans,
                   int m,
                   int n,
                   float alpha,
                   const float* a,
                   int lda,
                   const float* x,
                   int incx,
                   float beta,
                   float* y,
                   int incy) {
    cblas_sgemv(kRowMajor, trans ? kTrans : kNoTrans, m, n, alpha, a, lda, x, incx, beta, y, incy);
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
