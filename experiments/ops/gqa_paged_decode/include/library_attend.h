// Decode attention through a matrix library, for baselines: for each sequence and key/value head,
// scores = Q K^T and out = P V as library calls on the plain cache, with a softmax of our own
// between them. Sequences and heads run side by side, each call on one thread (far faster here than
// threads inside tiny calls). Setup times four honest ways to make the calls and keeps the fastest.
// The baseline defines struct Library (before it includes this): one_thread(), and row-major
// gemm(trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) and gemv(trans, ...) as in cblas.
#pragma once

#include "coppice_op.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

namespace {

// Rows are read where they lie, page by page, or first gathered into one dense block (always for
// bf16, which is widened on the way); one gemm for a group of query heads, or one gemv a head.
struct Style {
  bool gather, gemm;
};
constexpr Style kStyles[] = {{true, true}, {true, false}, {false, true}, {false, false}};

struct Scratch {
  std::vector<float> q, k, v, scores, out;
};

struct Job {
  const coppice_problem* p = nullptr;
  std::int64_t batch = 0, heads = 0, kv_heads = 0, dim = 0, page_size = 0, group = 0;
  bool bf16 = false;
  const std::int32_t *indptr = nullptr, *indices = nullptr, *last = nullptr;
  Style style = kStyles[0];
  std::vector<Scratch> scratch;  // per worker
};
Job job;

void widen(const coppice_tensor* t, std::int64_t from, std::int64_t n, float* to) {
  if (job.bf16) {
    const auto* source = static_cast<const coppice_bf16*>(t->data) + from;
    for (std::int64_t i = 0; i < n; ++i) {
      to[i] = coppice_widen(source[i]);
    }
  } else {
    std::memcpy(to, static_cast<const float*>(t->data) + from, static_cast<std::size_t>(n) * 4);
  }
}

void gather(
    const coppice_tensor* cache, std::int64_t b, std::int64_t h, std::int64_t length, float* to) {
  for (std::int64_t t = 0; t < length; ++t) {
    const std::int64_t page = job.indices[job.indptr[b] + t / job.page_size];
    const std::int64_t slot = page * job.page_size + t % job.page_size;
    widen(cache, (slot * job.kv_heads + h) * job.dim, job.dim, to + t * job.dim);
  }
}

// scores[g][first..first+n) = scale * q[g] . rows
void score(const Scratch& s,
           const float* rows,
           int stride,
           std::int64_t first,
           int n,
           std::int64_t length,
           float scale,
           float* scores) {
  const int dim = static_cast<int>(job.dim), group = static_cast<int>(job.group);
  if (job.style.gemm) {
    Library::gemm(true,
                  group,
                  n,
                  dim,
                  scale,
                  s.q.data(),
                  dim,
                  rows,
                  stride,
                  0.0f,
                  scores + first,
                  static_cast<int>(length));
    return;
  }
  for (int g = 0; g < group; ++g) {
    Library::gemv(false,
                  n,
                  dim,
                  scale,
                  rows,
                  stride,
                  s.q.data() + g * dim,
                  1,
                  0.0f,
                  scores + g * length + first,
                  1);
  }
}

// out[g] (+)= weights[g][first..first+n) * rows
void weigh(
    Scratch& s, const float* rows, int stride, std::int64_t first, int n, std::int64_t length) {
  const int dim = static_cast<int>(job.dim), group = static_cast<int>(job.group);
  const float beta = first == 0 ? 0.0f : 1.0f;
  if (job.style.gemm) {
    Library::gemm(false,
                  group,
                  dim,
                  n,
                  1.0f,
                  s.scores.data() + first,
                  static_cast<int>(length),
                  rows,
                  stride,
                  beta,
                  s.out.data(),
                  dim);
    return;
  }
  for (int g = 0; g < group; ++g) {
    Library::gemv(true,
                  n,
                  dim,
                  1.0f,
                  rows,
                  stride,
                  s.scores.data() + g * length + first,
                  1,
                  beta,
                  s.out.data() + g * dim,
                  1);
  }
}

// Softmax of one row; returns the base-2 log-sum-exp.
float soften(float* scores, std::int64_t n) {
  using namespace coppice::simd;
  float largest = scores[0];
  for (std::int64_t i = 1; i < n; ++i) {
    largest = std::max(largest, scores[i]);
  }
  Vec<4> sums = {};
  float sum = 0.0f;
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const Vec<4> e = exp2<4>((load<4>(scores + i) - largest) * 1.44269504f);
    sums += e;
    store<4>(scores + i, e);
  }
  for (; i < n; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    sum += scores[i];
  }
  sum += coppice::simd::sum<4>(sums);
  for (i = 0; i < n; ++i) {
    scores[i] /= sum;
  }
  return largest * 1.44269504f + std::log2(sum);
}

template <class Visit>
void for_pages(std::int64_t b, std::int64_t length, const Visit& visit) {
  for (std::int64_t t = 0; t < length; t += job.page_size) {
    const std::int64_t page = job.indices[job.indptr[b] + t / job.page_size];
    visit(page * job.page_size, t, static_cast<int>(std::min(job.page_size, length - t)));
  }
}

void attend(std::int64_t b, std::int64_t h, Scratch& s) {
  const coppice_problem* p = job.p;
  const std::int64_t used = job.indptr[b + 1] - job.indptr[b];
  const std::int64_t length = used == 0 ? 0 : (used - 1) * job.page_size + job.last[b];
  const std::int64_t row = b * job.heads + h * job.group;
  const coppice_tensor* k = coppice_tensor_of(p, "k_cache");
  const coppice_tensor* v = coppice_tensor_of(p, "v_cache");
  const coppice_tensor* out = coppice_tensor_of(p, "out");
  auto* lse = static_cast<float*>(coppice_tensor_of(p, "lse")->data);
  const auto scale = static_cast<float>(coppice_constant(p, "sm_scale"));
  const int dim = static_cast<int>(job.dim), stride = static_cast<int>(job.kv_heads) * dim;
  widen(coppice_tensor_of(p, "q"), row * job.dim, job.group * job.dim, s.q.data());
  std::fill(s.out.begin(), s.out.end(), 0.0f);
  if (length > 0 && job.style.gather) {
    gather(k, b, h, length, s.k.data());
    score(s, s.k.data(), dim, 0, static_cast<int>(length), length, scale, s.scores.data());
  } else if (length > 0) {
    for_pages(b, length, [&](std::int64_t slot, std::int64_t t, int n) {
      score(s,
            static_cast<const float*>(k->data) + slot * stride + h * dim,
            stride,
            t,
            n,
            length,
            scale,
            s.scores.data());
    });
  }
  for (std::int64_t g = 0; g < job.group; ++g) {
    lse[row + g] = length > 0 ? soften(s.scores.data() + g * length, length)
                              : -std::numeric_limits<float>::infinity();
  }
  if (length > 0 && job.style.gather) {
    gather(v, b, h, length, s.v.data());
    weigh(s, s.v.data(), dim, 0, static_cast<int>(length), length);
  } else if (length > 0) {
    for_pages(b, length, [&](std::int64_t slot, std::int64_t t, int n) {
      weigh(s, static_cast<const float*>(v->data) + slot * stride + h * dim, stride, t, n, length);
    });
  }
  for (std::int64_t i = 0; i < job.group * job.dim; ++i) {
    coppice_store(out, row * job.dim + i, static_cast<double>(s.out[static_cast<std::size_t>(i)]));
  }
}

// Workers that sleep between launches: they must not disturb whoever is timed next.
class Crew {
 public:
  explicit Crew(int workers) : workers_(workers) {
    for (int i = 1; i < workers; ++i) {
      std::thread([this, i] { serve(i); }).detach();
    }
  }
  void run(std::int64_t tasks) {
    tasks_ = tasks;
    next_ = 0;
    busy_ = workers_ - 1;
    round_.fetch_add(1);
    round_.notify_all();
    work(0);
    while (busy_.load() > 0) {
      __builtin_ia32_pause();
    }
  }

 private:
  void work(int worker) {
    Library::one_thread();
    for (std::int64_t i = next_++; i < tasks_; i = next_++) {
      attend(i / job.kv_heads, i % job.kv_heads, job.scratch[static_cast<std::size_t>(worker)]);
    }
  }
  void serve(int worker) {
    for (int seen = 0;; ++seen) {
      round_.wait(seen);
      work(worker);
      busy_.fetch_sub(1);
    }
  }
  int workers_;
  std::int64_t tasks_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> busy_{0}, round_{0};
};
std::unique_ptr<Crew> crew;

double once() {
  const auto begin = std::chrono::steady_clock::now();
  crew->run(job.batch * job.kv_heads);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

inline int library_setup(const coppice_problem* p, int threads) {
  job.p = p;
  job.batch = coppice_dim_of(p, "batch");
  job.heads = coppice_dim_of(p, "heads");
  job.kv_heads = coppice_dim_of(p, "kv_heads");
  job.dim = coppice_dim_of(p, "head_dim");
  job.page_size = coppice_dim_of(p, "page_size");
  job.group = job.heads / job.kv_heads;
  job.bf16 = coppice_tensor_of(p, "q")->dtype == coppice_bf16_t;
  job.indptr = static_cast<const std::int32_t*>(coppice_tensor_of(p, "kv_indptr")->data);
  job.indices = static_cast<const std::int32_t*>(coppice_tensor_of(p, "kv_indices")->data);
  job.last = static_cast<const std::int32_t*>(coppice_tensor_of(p, "kv_last_page_len")->data);
  std::int64_t longest = 0;
  for (std::int64_t b = 0; b < job.batch; ++b) {
    longest = std::max<std::int64_t>(longest, job.indptr[b + 1] - job.indptr[b]);
  }
  const auto tokens = static_cast<std::size_t>(longest * job.page_size);
  const auto dim = static_cast<std::size_t>(job.dim), group = static_cast<std::size_t>(job.group);
  job.scratch.resize(static_cast<std::size_t>(std::max(threads, 1)));
  for (Scratch& s : job.scratch) {
    s.q.resize(group * dim);
    s.out.resize(group * dim);
    s.k.resize(tokens * dim);
    s.v.resize(tokens * dim);
    s.scores.resize(tokens * group);
  }
  crew = std::make_unique<Crew>(std::max(threads, 1));
  double best = std::numeric_limits<double>::infinity();
  Style fastest = kStyles[0];
  for (const Style& style : kStyles) {
    if (job.bf16 && !style.gather) {
      continue;
    }
    job.style = style;
    once();
    for (int i = 0; i < 5; ++i) {
      const double seconds = once();
      if (seconds < best) {
        best = seconds;
        fastest = style;
      }
    }
  }
  job.style = fastest;
  return 0;
}

inline int library_run() {
  crew->run(job.batch * job.kv_heads);
  return 0;
}
