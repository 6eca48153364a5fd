// add_rmsnorm_fp8_gemm through a matrix library, for baselines: the norm in plain loops, the e4m3
// weights widened panel by panel into f32 that stays in the cache, a library product for each
// panel. The baseline defines struct Library before it includes this: threads(n) and row-major
// gemm(m, n, k, a, b, c) = A B^T. Setup times the honest ways (sizes of panels; threads of our own
// with one panel each, or the library's) and keeps the fastest.
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

struct Job {
  const std::uint8_t* weight = nullptr;
  const float* weight_scale = nullptr;
  const coppice_bf16 *x = nullptr, *residual = nullptr, *norm_weight = nullptr;
  coppice_bf16 *out = nullptr, *updated = nullptr;
  std::int64_t rows = 0, hidden = 0, columns = 0, panel = 64;
  float eps = 0.0f;
  bool own_threads = true;
  std::vector<float> activations, scales;
  float widened[256] = {};
};
Job job;

float as_e4m3(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) < 0x3c800000u) {  // below 2^-6: multiples of 2^-9
    return (x + 24576.0f) - 24576.0f;
  }
  bits = (bits + 0x7ffffu + ((bits >> 20) & 1u)) & 0xfff00000u;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

void normalise(std::int64_t r) {
  float* row = job.activations.data() + r * job.hidden;
  const std::int64_t from = r * job.hidden;
  float squares = 0.0f, largest = 0.0f;
  for (std::int64_t i = 0; i < job.hidden; ++i) {
    const coppice_bf16 sum =
        coppice_to_bf16(coppice_widen(job.x[from + i]) + coppice_widen(job.residual[from + i]));
    job.updated[from + i] = sum;
    const float s = coppice_widen(sum);
    row[i] = s * coppice_widen(job.norm_weight[i]);
    squares += s * s;
    largest = std::max(largest, std::fabs(row[i]));
  }
  const float divisor = largest > 0.0f ? largest : 1.0f;
  for (std::int64_t i = 0; i < job.hidden; ++i) {
    row[i] = as_e4m3(row[i] * 448.0f / divisor);
  }
  const float mean = squares / static_cast<float>(job.hidden);
  job.scales[static_cast<std::size_t>(r)] = largest / std::sqrt(mean + job.eps) / 448.0f;
}

// A thread's own: one widened panel and its product.
struct Scratch {
  std::vector<float> weights, product;
};

void multiply_panel(std::int64_t first, Scratch& scratch) {
  const std::int64_t width = std::min(job.panel, job.columns - first);
  const std::uint8_t* from = job.weight + first * job.hidden;
  for (std::int64_t i = 0; i < width * job.hidden; ++i) {
    scratch.weights[static_cast<std::size_t>(i)] = job.widened[from[i]];
  }
  Library::gemm(static_cast<int>(job.rows),
                static_cast<int>(width),
                static_cast<int>(job.hidden),
                job.activations.data(),
                scratch.weights.data(),
                scratch.product.data());
  for (std::int64_t r = 0; r < job.rows; ++r) {
    for (std::int64_t c = 0; c < width; ++c) {
      job.out[r * job.columns + first + c] =
          coppice_to_bf16(scratch.product[static_cast<std::size_t>(r * width + c)] *
                          job.scales[static_cast<std::size_t>(r)] * job.weight_scale[first + c]);
    }
  }
}

// Workers that sleep between phases of a launch.
class Crew {
 public:
  explicit Crew(int workers) : workers_(workers), scratch_(static_cast<std::size_t>(workers)) {
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
  void prepare() {
    for (Scratch& s : scratch_) {
      s.weights.resize(static_cast<std::size_t>(job.panel * job.hidden));
      s.product.resize(static_cast<std::size_t>(job.panel * job.rows));
    }
  }
  void run() {
    phase(true);
    if (job.own_threads) {
      phase(false);
    } else {
      for (std::int64_t c = 0; c < job.columns; c += job.panel) {
        multiply_panel(c, scratch_[0]);
      }
    }
  }

 private:
  void phase(bool norms) {
    norms_ = norms;
    next_ = 0;
    busy_ = workers_ - 1;
    round_.fetch_add(1);
    round_.notify_all();
    share(0);
    while (busy_.load() > 0) {
    }
  }
  void share(int i) {
    const std::int64_t step = norms_ ? 1 : job.panel, end = norms_ ? job.rows : job.columns;
    for (std::int64_t at = next_.fetch_add(step); at < end; at = next_.fetch_add(step)) {
      if (norms_) {
        normalise(at);
      } else {
        multiply_panel(at, scratch_[static_cast<std::size_t>(i)]);
      }
    }
  }
  int workers_;
  bool norms_ = true;
  std::vector<Scratch> scratch_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> busy_{0}, round_{0};
};
std::unique_ptr<Crew> crew;

double seconds_of_one() {
  const auto begin = std::chrono::steady_clock::now();
  crew->run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void take(const coppice_problem* p) {
  job.x = static_cast<const coppice_bf16*>(coppice_tensor_of(p, "x")->data);
  job.residual = static_cast<const coppice_bf16*>(coppice_tensor_of(p, "residual")->data);
  job.norm_weight = static_cast<const coppice_bf16*>(coppice_tensor_of(p, "norm_weight")->data);
  job.weight = static_cast<const std::uint8_t*>(coppice_tensor_of(p, "weight")->data);
  job.weight_scale = static_cast<const float*>(coppice_tensor_of(p, "weight_scale")->data);
  job.out = static_cast<coppice_bf16*>(coppice_tensor_of(p, "out")->data);
  job.updated = static_cast<coppice_bf16*>(coppice_tensor_of(p, "residual_out")->data);
  job.rows = coppice_dim_of(p, "rows");
  job.hidden = coppice_dim_of(p, "hidden");
  job.columns = coppice_dim_of(p, "columns");
  job.eps = static_cast<float>(coppice_constant(p, "eps"));
  job.activations.resize(static_cast<std::size_t>(job.rows * job.hidden));
  job.scales.resize(static_cast<std::size_t>(job.rows));
  for (int i = 0; i < 256; ++i) {
    job.widened[i] = static_cast<float>(coppice_widen_e4m3(static_cast<std::uint8_t>(i)));
  }
}

int library_setup(const coppice_problem* p, int threads) {
  take(p);
  crew = std::make_unique<Crew>(std::max(threads, 1));
  double best = std::numeric_limits<double>::infinity();
  std::int64_t best_panel = 64;
  bool best_own = true;
  for (const bool own : {true, false}) {
    if (!own && threads <= 1) {
      continue;
    }
    Library::threads(own ? 1 : threads);
    for (const std::int64_t panel : {8, 16, 64, 256, 1024}) {
      job.panel = panel;
      job.own_threads = own;
      crew->prepare();
      seconds_of_one();
      const double seconds = std::min({seconds_of_one(), seconds_of_one(), seconds_of_one()});
      if (seconds < best) {
        best = seconds;
        best_panel = panel;
        best_own = own;
      }
    }
  }
  job.panel = best_panel;
  job.own_threads = best_own;
  Library::threads(best_own ? 1 : threads);
  crew->prepare();
  return 0;
}

int library_run() {
  crew->run();
  return 0;
}

}  // namespace
