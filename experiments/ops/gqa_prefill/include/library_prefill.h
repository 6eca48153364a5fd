// Causal attention through a matrix library, for baselines: for each sequence, head and block of
// queries, scores = Q K^T and out = P V as library calls over the keys that the block sees, with
// mask and softmax of our own between them. Keys and values are gathered from their pages once per
// launch and key/value head. Blocks run side by side, each call on one thread. The baseline defines
// struct Library (before it includes this): one_thread(), and row-major
// gemm(trans_b, m, n, k, alpha, a, lda, b, ldb, c, ldc). Setup times a few block sizes.
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

struct Unit {  // one block of queries of one head
  std::int64_t sequence, head, first, count;
};

struct Job {
  const coppice_problem* p = nullptr;
  std::int64_t batch = 0, heads = 0, kv_heads = 0, dim = 0, page_size = 0, group = 0, longest = 0;
  bool bf16 = false;
  float scale = 0.0F;
  const coppice_tensor *q_tensor = nullptr, *k_tensor = nullptr, *v_tensor = nullptr;
  const std::int32_t *q = nullptr, *indptr = nullptr, *indices = nullptr, *last = nullptr;
  std::vector<std::int64_t> start;  // first gathered row of each sequence
  std::vector<float> k, v, wide_q, wide_out;
  std::vector<std::vector<float>> scores;  // per worker
  std::vector<Unit> units;
  std::int64_t block = 64;
};
Job job;

std::int64_t length_of(std::int64_t b) {
  return (job.indptr[b + 1] - job.indptr[b] - 1) * job.page_size + job.last[b];
}

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

// Gathered rows lie [sequence][key/value head][key][dim].
void gather(std::int64_t b, std::int64_t h) {
  const std::int64_t length = length_of(b),
                     to = (job.start[static_cast<std::size_t>(b)] * job.kv_heads + h * length) *
                          job.dim;
  for (std::int64_t t = 0; t < length; ++t) {
    const std::int64_t page = job.indices[job.indptr[b] + t / job.page_size];
    const std::int64_t slot = page * job.page_size + t % job.page_size;
    const std::int64_t from = (slot * job.kv_heads + h) * job.dim;
    widen(job.k_tensor, from, job.dim, job.k.data() + to + t * job.dim);
    widen(job.v_tensor, from, job.dim, job.v.data() + to + t * job.dim);
  }
}

float soften(float* scores, std::int64_t seen, std::int64_t width) {
  using namespace coppice::simd;
  std::fill(scores + seen, scores + width, 0.0F);
  if (seen == 0) {
    return -std::numeric_limits<float>::infinity();
  }
  const float largest = *std::max_element(scores, scores + seen);
  Vec<4> sums = {};
  float sum = 0.0F;
  std::int64_t i = 0;
  for (; i + 4 <= seen; i += 4) {
    const Vec<4> e = exp2<4>((load<4>(scores + i) - largest) * 1.44269504F);
    sums += e;
    store<4>(scores + i, e);
  }
  for (; i < seen; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    sum += scores[i];
  }
  sum += coppice::simd::sum<4>(sums);
  for (i = 0; i < seen; ++i) {
    scores[i] /= sum;
  }
  return largest * 1.44269504F + std::log2(sum);
}

void attend(const Unit& u, std::vector<float>& scores) {
  const std::int64_t length = length_of(u.sequence), n = job.q[u.sequence + 1] - job.q[u.sequence];
  const std::int64_t first = u.first + 1 + length - n;  // keys that the block's first query sees
  const std::int64_t width = std::max<std::int64_t>(1, first + u.count - 1);
  const std::int64_t row = (job.q[u.sequence] + u.first) * job.heads + u.head;
  const std::int64_t kv = (job.start[static_cast<std::size_t>(u.sequence)] * job.kv_heads +
                           u.head / job.group * length) *
                          job.dim;
  const float* q = job.bf16 ? job.wide_q.data() : static_cast<const float*>(job.q_tensor->data);
  const coppice_tensor* out_tensor = coppice_tensor_of(job.p, "out");
  float* out = job.bf16 ? job.wide_out.data() : static_cast<float*>(out_tensor->data);
  auto* lse = static_cast<float*>(coppice_tensor_of(job.p, "lse")->data);
  const int dim = static_cast<int>(job.dim), stride = static_cast<int>(job.heads * job.dim);
  const int m = static_cast<int>(u.count), w = static_cast<int>(width);
  Library::gemm(true,
                m,
                w,
                dim,
                job.scale,
                q + row * job.dim,
                stride,
                job.k.data() + kv,
                dim,
                scores.data(),
                w);
  for (std::int64_t i = 0; i < u.count; ++i) {
    lse[row + i * job.heads] =
        soften(scores.data() + i * width, std::max<std::int64_t>(0, first + i), width);
  }
  Library::gemm(false,
                m,
                dim,
                w,
                1.0F,
                scores.data(),
                w,
                job.v.data() + kv,
                dim,
                out + row * job.dim,
                stride);
  for (std::int64_t i = 0; job.bf16 && i < u.count; ++i) {
    for (std::int64_t d = 0; d < job.dim; ++d) {
      const std::int64_t at = (row + i * job.heads) * job.dim + d;
      static_cast<coppice_bf16*>(out_tensor->data)[at] =
          coppice_to_bf16(job.wide_out[static_cast<std::size_t>(at)]);
    }
  }
}

// Workers that sleep between launches; tasks are dealt out one by one, in two rounds.
class Crew {
 public:
  explicit Crew(int workers) : workers_(workers) {
    for (int i = 1; i < workers; ++i) {
      std::thread([this, i] {
        for (int seen = 0;; ++seen) {
          round_.wait(seen);
          work(static_cast<std::size_t>(i));
          busy_.fetch_sub(1);
        }
      }).detach();
    }
  }
  void run(bool gathering) {
    gathering_ = gathering;
    next_ = 0;
    busy_ = workers_ - 1;
    round_.fetch_add(1);
    round_.notify_all();
    work(0);
    while (busy_.load() > 0) {
    }
  }

 private:
  void work(std::size_t worker) {
    Library::one_thread();
    const std::int64_t tasks =
        gathering_ ? job.batch * job.kv_heads : static_cast<std::int64_t>(job.units.size());
    for (std::int64_t i = next_++; i < tasks; i = next_++) {
      if (gathering_) {
        gather(i / job.kv_heads, i % job.kv_heads);
      } else {
        attend(job.units[static_cast<std::size_t>(i)], job.scores[worker]);
      }
    }
  }
  int workers_;
  bool gathering_ = false;
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> busy_{0}, round_{0};
};
std::unique_ptr<Crew> crew;

int library_run() {
  if (job.bf16) {
    widen(job.q_tensor, 0, static_cast<std::int64_t>(job.wide_q.size()), job.wide_q.data());
  }
  crew->run(true);
  crew->run(false);
  return 0;
}

void cut(std::int64_t block) {
  job.units.clear();
  for (std::int64_t b = 0; b < job.batch; ++b) {
    for (std::int64_t first = 0; first < job.q[b + 1] - job.q[b]; first += block) {
      for (std::int64_t h = 0; h < job.heads; ++h) {
        job.units.push_back(
            {b, h, first, std::min<std::int64_t>(block, job.q[b + 1] - job.q[b] - first)});
      }
    }
  }
  for (std::vector<float>& s : job.scores) {
    s.resize(static_cast<std::size_t>(block * std::max<std::int64_t>(1, job.longest)));
  }
}

int library_setup(const coppice_problem* p, int threads) {
  job.p = p;
  job.batch = coppice_dim_of(p, "batch");
  job.heads = coppice_dim_of(p, "heads");
  job.kv_heads = coppice_dim_of(p, "kv_heads");
  job.dim = coppice_dim_of(p, "head_dim");
  job.page_size = coppice_dim_of(p, "page_size");
  job.group = job.heads / job.kv_heads;
  job.scale = static_cast<float>(coppice_constant(p, "sm_scale"));
  job.q_tensor = coppice_tensor_of(p, "q");
  job.k_tensor = coppice_tensor_of(p, "k_cache");
  job.v_tensor = coppice_tensor_of(p, "v_cache");
  job.bf16 = job.q_tensor->dtype == coppice_bf16_t;
  const auto ints = [&](const char* name) {
    return static_cast<const std::int32_t*>(coppice_tensor_of(p, name)->data);
  };
  job.q = ints("qo_indptr");
  job.indptr = ints("kv_indptr");
  job.indices = ints("kv_indices");
  job.last = ints("kv_last_page_len");
  std::int64_t rows = 0;
  for (std::int64_t b = 0; b < job.batch; ++b) {
    job.start.push_back(rows);
    rows += length_of(b);
    job.longest = std::max(job.longest, length_of(b));
  }
  job.k.resize(static_cast<std::size_t>(rows * job.kv_heads * job.dim));
  job.v.resize(job.k.size());
  if (job.bf16) {
    job.wide_q.resize(static_cast<std::size_t>(job.q[job.batch] * job.heads * job.dim));
    job.wide_out.resize(job.wide_q.size());
  }
  job.scores.resize(static_cast<std::size_t>(std::max(threads, 1)));
  crew = std::make_unique<Crew>(std::max(threads, 1));
  double best = std::numeric_limits<double>::infinity();
  for (const std::int64_t block : {32, 64, 128, 256}) {
    cut(block);
    for (int i = 0; i < 4; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      library_run();
      const double seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      if (i > 0 && seconds < best) {
        best = seconds;
        job.block = block;
      }
    }
  }
  cut(job.block);
  return 0;
}

}  // namespace
