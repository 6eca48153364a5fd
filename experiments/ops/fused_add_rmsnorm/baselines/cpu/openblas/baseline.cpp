// Add + RMS norm through OpenBLAS: for each row a copy, an axpy (the add), a dot with itself; the
// final scaling by two factors is our own loop, as BLAS has no such call. Rows are split over
// threads of our own, each with single-threaded calls. bf16 rows are widened first.
#include "coppice_op.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <thread>
#include <vector>

extern "C" {
void openblas_set_num_threads(int threads);
void cblas_scopy(int n, const float* x, int incx, float* y, int incy);
void cblas_saxpy(int n, float alpha, const float* x, int incx, float* y, int incy);
float cblas_sdot(int n, const float* x, int incx, const float* y, int incy);
}

namespace {

struct Job {
  std::int64_t rows = 0;
  int hidden = 0;
  bool bf16 = false;
  double eps = 0.0;
  const coppice_tensor *x = nullptr, *residual = nullptr, *weight = nullptr, *out = nullptr;
};
Job job;

const float* row_of(const coppice_tensor* t, std::int64_t row, std::vector<float>& wide) {
  const std::int64_t from = row * job.hidden;
  if (!job.bf16) {
    return static_cast<const float*>(t->data) + from;
  }
  const auto* source = static_cast<const coppice_bf16*>(t->data) + from;
  for (std::size_t i = 0; i < wide.size(); ++i) {
    wide[i] = coppice_widen(source[i]);
  }
  return wide.data();
}

void normalise(std::int64_t begin, std::int64_t end) {
  std::vector<float> sums(static_cast<std::size_t>(job.hidden)), wide = sums, weights = sums;
  const float* weight = row_of(job.weight, 0, weights);
  for (std::int64_t r = begin; r < end; ++r) {
    cblas_scopy(job.hidden, row_of(job.x, r, wide), 1, sums.data(), 1);
    cblas_saxpy(job.hidden, 1.0f, row_of(job.residual, r, wide), 1, sums.data(), 1);
    const float squares = cblas_sdot(job.hidden, sums.data(), 1, sums.data(), 1);
    const float mean = squares / static_cast<float>(job.hidden);
    const float scale = 1.0f / std::sqrt(mean + static_cast<float>(job.eps));
    if (job.bf16) {
      auto* out = static_cast<coppice_bf16*>(job.out->data) + r * job.hidden;
      for (int i = 0; i < job.hidden; ++i) {
        out[i] = coppice_to_bf16(sums[static_cast<std::size_t>(i)] * scale * weight[i]);
      }
    } else {
      using namespace coppice::simd;
      float* out = static_cast<float*>(job.out->data) + r * job.hidden;
      int i = 0;
      for (; i + 4 <= job.hidden; i += 4) {
        store<4>(out + i, load<4>(sums.data() + i) * scale * load<4>(weight + i));
      }
      for (; i < job.hidden; ++i) {
        out[i] = sums[static_cast<std::size_t>(i)] * scale * weight[i];
      }
    }
  }
}

// Workers that sleep between launches; each takes one share of the rows.
class Crew {
 public:
  explicit Crew(int workers) : workers_(workers) {
    for (int i = 1; i < workers; ++i) {
      std::thread([this, i] {
        for (int seen = 0;; ++seen) {
          round_.wait(seen);
          share(i);
          busy_.fetch_sub(1);
        }
      }).detach();
    }
  }
  void run() {
    busy_ = workers_ - 1;
    round_.fetch_add(1);
    round_.notify_all();
    share(0);
    while (busy_.load() > 0) {
    }
  }

 private:
  void share(int i) { normalise(job.rows * i / workers_, job.rows * (i + 1) / workers_); }
  int workers_;
  std::atomic<int> busy_{0}, round_{0};
};
std::unique_ptr<Crew> crew;

}  // namespace

int coppice_baseline_setup(const coppice_problem* p, int threads) {
  openblas_set_num_threads(1);
  job.rows = coppice_dim_of(p, "rows");
  job.hidden = static_cast<int>(coppice_dim_of(p, "hidden"));
  job.eps = coppice_constant(p, "eps");
  job.x = coppice_tensor_of(p, "x");
  job.residual = coppice_tensor_of(p, "residual");
  job.weight = coppice_tensor_of(p, "weight");
  job.out = coppice_tensor_of(p, "out");
  job.bf16 = job.x->dtype == coppice_bf16_t;
  crew = std::make_unique<Crew>(std::max(threads, 1));
  return 0;
}

int coppice_baseline_run(const coppice_problem*) {
  crew->run();
  return 0;
}
