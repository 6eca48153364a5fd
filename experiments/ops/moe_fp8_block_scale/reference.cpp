// Trusted host code of moe_fp8_block_scale: logits without ties, the choice of experts, the fp64
// reference, and adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace {

constexpr std::int64_t kBlock = 128;      // elements that share a scale
constexpr double kLeastGap = 1.0 / 4096;  // between what is chosen and what is not

struct Shape {
  std::int64_t tokens, experts, local, first, groups, kept, top_k, hidden, inter;
  explicit Shape(const coppice_problem* p)
      : tokens(coppice_dim_of(p, "tokens")),
        experts(coppice_dim_of(p, "experts")),
        local(coppice_dim_of(p, "local_experts")),
        first(coppice_dim_of(p, "first_expert")),
        groups(coppice_dim_of(p, "groups")),
        kept(coppice_dim_of(p, "kept_groups")),
        top_k(coppice_dim_of(p, "top_k")),
        hidden(coppice_dim_of(p, "hidden")),
        inter(coppice_dim_of(p, "inter")) {}
};

struct Choice {
  std::vector<std::int64_t> experts;
  std::vector<double> weights;
  double gap = 1.0;  // how far the nearest other decision was
};

// The `count` largest of the candidates, and by how much the smallest of them is ahead of the rest.
std::vector<std::int64_t> largest(const std::vector<double>& values,
                                  std::vector<std::int64_t> candidates,
                                  std::int64_t count,
                                  double* gap) {
  std::sort(candidates.begin(), candidates.end(), [&](std::int64_t a, std::int64_t b) {
    const double x = values[static_cast<std::size_t>(a)], y = values[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  const auto n = static_cast<std::size_t>(count);
  if (n < candidates.size()) {
    *gap = std::min(*gap,
                    values[static_cast<std::size_t>(candidates[n - 1])] -
                        values[static_cast<std::size_t>(candidates[n])]);
  }
  candidates.resize(n);
  return candidates;
}

Choice choose(const Shape& s, const float* logits, const float* bias, double factor) {
  Choice out;
  const auto count = static_cast<std::size_t>(s.experts);
  std::vector<double> score(count), biased(count), group_score(static_cast<std::size_t>(s.groups));
  for (std::size_t e = 0; e < count; ++e) {
    score[e] = 1.0 / (1.0 + std::exp(-static_cast<double>(logits[e])));
    biased[e] = score[e] + bias[e];
  }
  const std::int64_t size = s.experts / s.groups;
  for (std::int64_t g = 0; g < s.groups; ++g) {
    std::vector<std::int64_t> members(static_cast<std::size_t>(size));
    std::iota(members.begin(), members.end(), g * size);
    double unused = 1.0;
    const std::vector<std::int64_t> two = largest(biased, members, 2, &unused);
    group_score[static_cast<std::size_t>(g)] =
        biased[static_cast<std::size_t>(two[0])] + biased[static_cast<std::size_t>(two[1])];
  }
  std::vector<std::int64_t> all(static_cast<std::size_t>(s.groups));
  std::iota(all.begin(), all.end(), 0);
  std::vector<std::int64_t> candidates;
  for (const std::int64_t g : largest(group_score, all, s.kept, &out.gap)) {
    for (std::int64_t i = 0; i < size; ++i) {
      candidates.push_back(g * size + i);
    }
  }
  out.experts = largest(biased, candidates, s.top_k, &out.gap);
  double sum = 1e-20;
  for (const std::int64_t e : out.experts) {
    sum += score[static_cast<std::size_t>(e)];
  }
  for (const std::int64_t e : out.experts) {
    out.weights.push_back(score[static_cast<std::size_t>(e)] / sum * factor);
  }
  return out;
}

std::vector<float> bias_of(const coppice_problem* p, const Shape& s) {
  const auto* bits = static_cast<const coppice_bf16*>(coppice_tensor_of(p, "routing_bias")->data);
  std::vector<float> out;
  for (std::int64_t e = 0; e < s.experts; ++e) {
    out.push_back(coppice_widen(bits[e]));
  }
  return out;
}

// w[0 .. n) of e4m3 with the scales of its blocks, times x.
double dot(const coppice_tensor* w,
           std::int64_t from,
           const coppice_tensor* scale,
           std::int64_t scale_from,
           const std::vector<double>& x) {
  double total = 0.0;
  const auto n = static_cast<std::int64_t>(x.size());
  for (std::int64_t block = 0; block < n / kBlock; ++block) {
    double sum = 0.0;
    for (std::int64_t i = block * kBlock; i < (block + 1) * kBlock; ++i) {
      sum += coppice_real(w, from + i) * x[static_cast<std::size_t>(i)];
    }
    total += sum * coppice_real(scale, scale_from + block);
  }
  return total;
}

}  // namespace

// Parameters: skew (0: all experts alike, else some have larger logits for all tokens). Logits
// whose choice rounding could change are drawn again.
int coppice_structure(const coppice_problem* p, std::uint64_t seed) {
  const Shape s(p);
  std::uint64_t state = seed;
  const double skew = coppice_parameter(p, "skew");
  const auto uniform = [&] {
    return static_cast<double>(coppice_next(&state) >> 40) / 16777216.0;
  };
  auto* logits = static_cast<float*>(coppice_tensor_of(p, "routing_logits")->data);
  auto* bias = static_cast<coppice_bf16*>(coppice_tensor_of(p, "routing_bias")->data);
  std::vector<double> popularity;
  for (std::int64_t e = 0; e < s.experts; ++e) {
    bias[e] = coppice_to_bf16(static_cast<float>(uniform() * 0.2 - 0.1));
    popularity.push_back(skew * uniform());
  }
  const std::vector<float> widened = bias_of(p, s);
  std::vector<bool> active(static_cast<std::size_t>(s.experts), false);
  double slots = 0.0;
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    float* row = logits + t * s.experts;
    Choice choice;
    int tries = 0;
    do {
      for (std::int64_t e = 0; e < s.experts; ++e) {
        const double normal = uniform() + uniform() + uniform() + uniform() - 2.0;
        row[e] = static_cast<float>(1.7 * normal + popularity[static_cast<std::size_t>(e)]);
      }
      choice = choose(s, row, widened.data(), 1.0);
    } while (choice.gap < kLeastGap && ++tries < 1000);
    for (const std::int64_t e : choice.experts) {
      if (e >= s.first && e < s.first + s.local) {
        active[static_cast<std::size_t>(e)] = true;
        slots += 1.0;
      }
    }
  }
  coppice_set_scalar(p, "local_slots", slots);
  coppice_set_scalar(
      p, "active_experts", static_cast<double>(std::count(active.begin(), active.end(), true)));
  return 0;
}

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const Shape s(p);
  const auto* logits = static_cast<const float*>(coppice_tensor_of(p, "routing_logits")->data);
  const std::vector<float> bias = bias_of(p, s);
  const coppice_tensor* x = coppice_tensor_of(p, "hidden_states");
  const coppice_tensor* x_scale = coppice_tensor_of(p, "hidden_states_scale");
  const coppice_tensor* w1 = coppice_tensor_of(p, "gemm1_weights");
  const coppice_tensor* s1 = coppice_tensor_of(p, "gemm1_weights_scale");
  const coppice_tensor* w2 = coppice_tensor_of(p, "gemm2_weights");
  const coppice_tensor* s2 = coppice_tensor_of(p, "gemm2_weights_scale");
  const double factor = coppice_constant(p, "routed_scaling_factor");
  const std::int64_t deep = s.hidden / kBlock, flat = s.inter / kBlock;
  std::vector<double> row(static_cast<std::size_t>(s.hidden)),
      inner(static_cast<std::size_t>(s.inter));
  for (std::int64_t t = part; t < s.tokens; t += parts) {
    double* out = outputs[0] + t * s.hidden;
    std::fill(out, out + s.hidden, 0.0);
    for (std::int64_t d = 0; d < s.hidden; ++d) {
      row[static_cast<std::size_t>(d)] =
          coppice_real(x, t * s.hidden + d) * coppice_real(x_scale, d / kBlock * s.tokens + t);
    }
    const Choice choice = choose(s, logits + t * s.experts, bias.data(), factor);
    for (std::size_t j = 0; j < choice.experts.size(); ++j) {
      const std::int64_t e = choice.experts[j] - s.first;
      if (e < 0 || e >= s.local) {
        continue;
      }
      for (std::int64_t i = 0; i < s.inter; ++i) {
        const std::int64_t up = e * 2 * s.inter + i, gate = up + s.inter;
        const double u = dot(w1, up * s.hidden, s1, (e * 2 * flat + i / kBlock) * deep, row);
        const double g =
            dot(w1, gate * s.hidden, s1, (e * 2 * flat + flat + i / kBlock) * deep, row);
        inner[static_cast<std::size_t>(i)] = u * g / (1.0 + std::exp(-g));
      }
      for (std::int64_t d = 0; d < s.hidden; ++d) {
        out[d] += choice.weights[j] *
                  dot(w2, (e * s.hidden + d) * s.inter, s2, (e * deep + d / kBlock) * flat, inner);
      }
    }
  }
  return 0;
}

// last_block: each token's last 128 elements count much more, so that losing them shows.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  if (std::strcmp(case_name, "last_block") != 0) {
    std::snprintf(p->message, p->message_size, "unknown case '%s'", case_name);
    return 1;
  }
  const Shape s(p);
  const coppice_tensor* scale = coppice_tensor_of(p, "hidden_states_scale");
  for (std::int64_t t = 0; t < s.tokens; ++t) {
    coppice_store(scale, (s.hidden / kBlock - 1) * s.tokens + t, 0.7);
  }
  return 0;
}
