// gemm through a matrix library, for baselines. The baseline defines struct Library (before it
// includes this): threads(n), and row-major gemm(m, n, k, a, b, c) = A B^T and
// gemv(n, k, b, x, y) = B x. Setup times the honest ways to call it and keeps the fastest. bf16 is
// widened in each launch: the libraries at hand have no bf16 product on the CPUs of interest.
#pragma once

#include "coppice_op.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

namespace {

struct Job {
  const coppice_tensor *a = nullptr, *b = nullptr, *c = nullptr;
  int m = 0, n = 0, k = 0;
  bool row_by_row = false;  // one gemv a row instead of one gemm
  std::vector<float> wide_a, wide_b, wide_c;
};
Job job;

const float* widened(const coppice_tensor* t, std::vector<float>& wide) {
  if (t->dtype == coppice_f32) {
    return static_cast<const float*>(t->data);
  }
  const auto* source = static_cast<const coppice_bf16*>(t->data);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    wide[i] = coppice_widen(source[i]);
  }
  return wide.data();
}

int library_run() {
  const float* a = widened(job.a, job.wide_a);
  const float* b = widened(job.b, job.wide_b);
  const bool plain = job.c->dtype == coppice_f32;
  float* c = plain ? static_cast<float*>(job.c->data) : job.wide_c.data();
  if (job.row_by_row) {
    for (int i = 0; i < job.m; ++i) {
      Library::gemv(job.n, job.k, b, a + std::int64_t{i} * job.k, c + std::int64_t{i} * job.n);
    }
  } else {
    Library::gemm(job.m, job.n, job.k, a, b, c);
  }
  for (std::size_t i = 0; !plain && i < job.wide_c.size(); ++i) {
    static_cast<coppice_bf16*>(job.c->data)[i] = coppice_to_bf16(c[i]);
  }
  return 0;
}

double seconds_of_one() {
  const auto begin = std::chrono::steady_clock::now();
  library_run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int library_setup(const coppice_problem* p, int threads) {
  Library::threads(std::max(threads, 1));
  job.a = coppice_tensor_of(p, "a");
  job.b = coppice_tensor_of(p, "b");
  job.c = coppice_tensor_of(p, "c");
  job.m = static_cast<int>(coppice_dim_of(p, "m"));
  job.n = static_cast<int>(coppice_dim_of(p, "n"));
  job.k = static_cast<int>(coppice_dim_of(p, "k"));
  const auto size = [](const coppice_tensor* t) {
    return t->dtype == coppice_f32 ? 0U : static_cast<std::size_t>(t->shape[0] * t->shape[1]);
  };
  job.wide_a.resize(size(job.a));
  job.wide_b.resize(size(job.b));
  job.wide_c.resize(size(job.c));
  double best[2] = {};
  for (int way = 0; way < (job.m <= 8 ? 2 : 1); ++way) {
    job.row_by_row = way == 1;
    seconds_of_one();
    best[way] = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 5; ++i) {
      best[way] = std::min(best[way], seconds_of_one());
    }
  }
  job.row_by_row = job.m <= 8 && best[1] < best[0];
  return 0;
}

}  // namespace
