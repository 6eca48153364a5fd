// A mixture of experts through a matrix library, for baselines: for each active expert its tokens
// are gathered, gate/up and down are library calls, SwiGLU and the weighted sum are our own.
// The baseline defines struct Library (before it includes this): threads(n) for the calls of the
// calling thread, and row-major gemm(m, n, k, a, b, c) = A B^T and gemv(n, k, b, x, y) = B x.
// Setup times four honest ways (experts side by side or the library's own threads; one gemm an
// expert or one gemv a token) and keeps the fastest. bf16 is widened in each launch.
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

struct Expert {
  std::int64_t id = 0;
  std::vector<std::int32_t> pairs;
  std::vector<float> x, gate_up, inner, y, wide_gate_up, wide_down;
};

struct Job {
  std::int64_t tokens = 0, hidden = 0, inter = 0, top_k = 0;
  const coppice_tensor *x = nullptr, *gate_up = nullptr, *down = nullptr, *out = nullptr;
  const float* weights = nullptr;
  bool side_by_side = false, gemm = true;
  std::vector<Expert> experts;  // the active ones
  std::vector<float> sums;
};
Job job;

const float* widened(const coppice_tensor* t, std::int64_t from, std::vector<float>& wide) {
  if (t->dtype == coppice_f32) {
    return static_cast<const float*>(t->data) + from;
  }
  const auto* source = static_cast<const coppice_bf16*>(t->data) + from;
  for (std::size_t i = 0; i < wide.size(); ++i) {
    wide[i] = coppice_widen(source[i]);
  }
  return wide.data();
}

void product(
    std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c) {
  const auto rows = static_cast<int>(m), columns = static_cast<int>(n), depth = static_cast<int>(k);
  if (job.gemm) {
    Library::gemm(rows, columns, depth, a, b, c);
    return;
  }
  for (std::int64_t i = 0; i < m; ++i) {
    Library::gemv(columns, depth, b, a + i * k, c + i * n);
  }
}

void swiglu(const float* gate_up, std::int64_t inter, float* inner) {
  using namespace coppice::simd;
  std::int64_t i = 0;
  for (; i + 4 <= inter; i += 4) {
    const Vec<4> g = load<4>(gate_up + i);
    const Vec<4> silu = g / (exp2<4>(g * -1.44269504f) + 1.0f);
    store<4>(inner + i, silu * load<4>(gate_up + inter + i));
  }
  for (; i < inter; ++i) {
    inner[i] = gate_up[i] / (1.0f + std::exp(-gate_up[i])) * gate_up[inter + i];
  }
}

void run_expert(Expert& e) {
  const auto n = static_cast<std::int64_t>(e.pairs.size());
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t token = e.pairs[static_cast<std::size_t>(i)] / job.top_k;
    for (std::int64_t d = 0; d < job.hidden; ++d) {
      e.x[static_cast<std::size_t>(i * job.hidden + d)] =
          static_cast<float>(coppice_real(job.x, token * job.hidden + d));
    }
  }
  const std::int64_t per_expert = job.hidden * job.inter;
  const float* gate_up = widened(job.gate_up, e.id * 2 * per_expert, e.wide_gate_up);
  product(n, 2 * job.inter, job.hidden, e.x.data(), gate_up, e.gate_up.data());
  for (std::int64_t i = 0; i < n; ++i) {
    swiglu(e.gate_up.data() + i * 2 * job.inter, job.inter, e.inner.data() + i * job.inter);
  }
  const float* down = widened(job.down, e.id * per_expert, e.wide_down);
  product(n, job.hidden, job.inter, e.inner.data(), down, e.y.data());
}

// Workers that sleep between launches; experts are dealt out one by one.
class Crew {
 public:
  explicit Crew(int workers) : workers_(workers) {
    for (int i = 1; i < workers; ++i) {
      std::thread([this] {
        Library::threads(1);
        for (int seen = 0;; ++seen) {
          round_.wait(seen);
          work();
          busy_.fetch_sub(1);
        }
      }).detach();
    }
  }
  int workers() const { return workers_; }
  void run() {
    next_ = 0;
    busy_ = workers_ - 1;
    round_.fetch_add(1);
    round_.notify_all();
    work();
    while (busy_.load() > 0) {
    }
  }

 private:
  void work() {
    for (std::size_t i = next_++; i < job.experts.size(); i = next_++) {
      run_expert(job.experts[i]);
    }
  }
  int workers_;
  std::atomic<std::size_t> next_{0};
  std::atomic<int> busy_{0}, round_{0};
};
std::unique_ptr<Crew> crew;

int library_run() {
  if (job.side_by_side) {
    crew->run();
  } else {
    for (Expert& e : job.experts) {
      run_expert(e);
    }
  }
  std::fill(job.sums.begin(), job.sums.end(), 0.0f);
  for (const Expert& e : job.experts) {
    for (std::size_t i = 0; i < e.pairs.size(); ++i) {
      const std::int32_t pair = e.pairs[i];
      float* sums = job.sums.data() + pair / job.top_k * job.hidden;
      const float* y = e.y.data() + static_cast<std::int64_t>(i) * job.hidden;
      for (std::int64_t d = 0; d < job.hidden; ++d) {
        sums[d] += job.weights[pair] * y[d];
      }
    }
  }
  for (std::int64_t i = 0; i < job.tokens * job.hidden; ++i) {
    coppice_store(job.out, i, static_cast<double>(job.sums[static_cast<std::size_t>(i)]));
  }
  return 0;
}

double seconds_of_one() {
  const auto begin = std::chrono::steady_clock::now();
  library_run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void choose_way(int threads) {
  double best = std::numeric_limits<double>::infinity();
  int fastest = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const int way = pass < 4 ? pass : fastest;
    job.side_by_side = (way & 1) != 0;
    job.gemm = (way & 2) != 0;
    Library::threads(job.side_by_side ? 1 : threads);
    seconds_of_one();
    for (int i = 0; i < 5; ++i) {
      const double seconds = seconds_of_one();
      if (seconds < best) {
        best = seconds;
        fastest = way;
      }
    }
  }
}

int library_setup(const coppice_problem* p, int threads) {
  job.tokens = coppice_dim_of(p, "tokens");
  job.hidden = coppice_dim_of(p, "hidden");
  job.inter = coppice_dim_of(p, "inter");
  job.top_k = coppice_dim_of(p, "top_k");
  job.x = coppice_tensor_of(p, "x");
  job.gate_up = coppice_tensor_of(p, "w_gate_up");
  job.down = coppice_tensor_of(p, "w_down");
  job.out = coppice_tensor_of(p, "out");
  job.weights = static_cast<const float*>(coppice_tensor_of(p, "expert_weights")->data);
  const auto* ids = static_cast<const std::int32_t*>(coppice_tensor_of(p, "expert_ids")->data);
  for (std::int64_t id = 0; id < coppice_dim_of(p, "experts"); ++id) {
    Expert e;
    e.id = id;
    for (std::int32_t i = 0; i < job.tokens * job.top_k; ++i) {
      if (ids[i] == id) {
        e.pairs.push_back(i);
      }
    }
    if (e.pairs.empty()) {
      continue;
    }
    const auto n = e.pairs.size(), hidden = static_cast<std::size_t>(job.hidden);
    const auto inter = static_cast<std::size_t>(job.inter);
    const bool wide = job.gate_up->dtype != coppice_f32;
    e.x.resize(n * hidden);
    e.y.resize(n * hidden);
    e.gate_up.resize(n * 2 * inter);
    e.inner.resize(n * inter);
    e.wide_gate_up.resize(wide ? 2 * inter * hidden : 0);
    e.wide_down.resize(wide ? inter * hidden : 0);
    job.experts.push_back(std::move(e));
  }
  job.sums.resize(static_cast<std::size_t>(job.tokens * job.hidden));
  crew = std::make_unique<Crew>(std::max(threads, 1));
  choose_way(std::max(threads, 1));
  return 0;
}

}  // namespace
