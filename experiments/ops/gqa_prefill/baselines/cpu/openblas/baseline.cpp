// Causal attention through OpenBLAS: include/library_prefill.h with its sgemm.
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
                0.0F,
                c,
                ldc);
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
