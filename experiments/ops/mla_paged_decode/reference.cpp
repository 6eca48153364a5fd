// Trusted host code of mla_paged_decode: page tables, the fp64 reference, and adjusted inputs.
#include "coppice_op.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

namespace {

using Int = std::int64_t;

// A problem's sizes and its page table.
struct Decode {
  Int batch, heads, latent, rope, page_size, pages, page_refs, total_kv;
  std::int32_t *indptr, *indices, *last;

  explicit Decode(const coppice_problem* p) {
    batch = coppice_dim_of(p, "batch");
    heads = coppice_dim_of(p, "heads");
    latent = coppice_dim_of(p, "latent");
    rope = coppice_dim_of(p, "rope");
    page_size = coppice_dim_of(p, "page_size");
    pages = coppice_dim_of(p, "pages");
    page_refs = coppice_dim_of(p, "page_refs");
    total_kv = coppice_dim_of(p, "total_kv");
    const auto table = [&](const char* name) {
      return static_cast<std::int32_t*>(coppice_tensor_of(p, name)->data);
    };
    indptr = table("kv_indptr");
    indices = table("kv_indices");
    last = table("kv_last_page_len");
  }

  Int width() const { return latent + rope; }

  // The cache's rows of one sequence, in the order of its tokens.
  std::vector<Int> slots(Int b) const {
    std::vector<Int> out;
    for (Int i = indptr[b]; i < indptr[b + 1]; ++i) {
      const Int used = i + 1 == indptr[b + 1] ? last[b] : page_size;
      for (Int at = 0; at < used; ++at) {
        out.push_back(indices[i] * page_size + at);
      }
    }
    return out;
  }

  std::vector<char> referred() const {
    std::vector<char> out(static_cast<std::size_t>(pages * page_size), 0);
    for (Int b = 0; b < batch; ++b) {
      for (const Int slot : slots(b)) {
        out[static_cast<std::size_t>(slot)] = 1;
      }
    }
    return out;
  }
};

int refuse(const coppice_problem* p, const char* text) {
  std::snprintf(p->message, p->message_size, "%s", text);
  return 1;
}

// 0 .. n-1 in an order drawn from `state`.
std::vector<Int> permutation(Int n, std::uint64_t* state) {
  std::vector<Int> out;
  for (Int i = 0; i < n; ++i) {
    const auto at =
        static_cast<std::ptrdiff_t>(coppice_next(state) % static_cast<std::uint64_t>(i + 1));
    out.push_back(i);
    std::swap(out[static_cast<std::size_t>(at)], out.back());
  }
  return out;
}

// Pages a sequence: none for `empty` of them; the others share page_refs, at least one each, by
// weights 1 + skew * 3u^2. Whole parts of running sums, so that every machine draws the same.
std::vector<Int> draw_pages(const coppice_problem* p,
                            const Decode& s,
                            Int empty,
                            std::uint64_t* state) {
  std::vector<double> reach;  // running sum of the weights of those that are not empty
  const std::vector<Int> order = permutation(s.batch, state);
  double sum = 0.0;
  for (Int b = 0; b < s.batch; ++b) {
    const double u = static_cast<double>(coppice_next(state) >> 40) / 16777216.0;
    sum += order[static_cast<std::size_t>(b)] < empty
               ? 0.0
               : 1.0 + coppice_parameter(p, "skew") * 3.0 * u * u;
    reach.push_back(sum);
  }
  const Int spare = s.page_refs - (s.batch - empty);
  std::vector<Int> out;
  Int before = 0;
  for (Int b = 0; b < s.batch; ++b) {
    const bool none = order[static_cast<std::size_t>(b)] < empty;
    const double share = sum > 0.0 ? reach[static_cast<std::size_t>(b)] / sum : 0.0;
    const Int upto = share >= 1.0 ? spare : static_cast<Int>(static_cast<double>(spare) * share);
    out.push_back(none ? 0 : 1 + upto - before);
    before = none ? before : upto;
  }
  return out;
}

double score(const coppice_problem* p, const Decode& s, Int head, Int slot) {
  const coppice_tensor* cache = coppice_tensor_of(p, "cache");
  const coppice_tensor* nope = coppice_tensor_of(p, "q_nope");
  const coppice_tensor* rope = coppice_tensor_of(p, "q_rope");
  double dot = 0.0;
  for (Int d = 0; d < s.latent; ++d) {
    dot += coppice_real(nope, head * s.latent + d) * coppice_real(cache, slot * s.width() + d);
  }
  for (Int d = 0; d < s.rope; ++d) {
    dot += coppice_real(rope, head * s.rope + d) *
           coppice_real(cache, slot * s.width() + s.latent + d);
  }
  return dot * coppice_constant(p, "sm_scale");
}

}  // namespace

// Parameters: skew (0: equal lengths), empty (sequences without tokens), shared (share of each
// sequence's pages that repeat the first non-empty sequence's pages, as with a common prefix).
int coppice_structure(const coppice_problem* p, std::uint64_t seed) {
  const Decode s(p);
  std::uint64_t state = seed;
  const Int empty = static_cast<Int>(coppice_parameter(p, "empty")), filled = s.batch - empty;
  const Int slack = s.page_refs * s.page_size - s.total_kv;
  if (empty < 0 || filled < 0 || s.page_refs < filled || (filled == 0 && s.page_refs > 0)) {
    return refuse(p, "page_refs: expected one page or more for each sequence with tokens");
  }
  if (slack < 0 || slack > filled * (s.page_size - 1)) {
    return refuse(p, "total_kv: expected every last page to hold 1 to page_size tokens");
  }
  const std::vector<Int> counts = draw_pages(p, s, empty, &state);
  const std::vector<Int> fresh = permutation(s.pages, &state);
  std::size_t taken = 0;
  Int longest = 0, nth = 0, first_pages = 0;
  for (Int b = 0, at = 0; b < s.batch; ++b) {
    const Int count = counts[static_cast<std::size_t>(b)];
    const Int common = std::min(
        first_pages, static_cast<Int>(coppice_parameter(p, "shared") * static_cast<double>(count)));
    for (Int i = 0; i < count; ++i) {
      if (i >= common && taken == fresh.size()) {
        return refuse(p, "pages: expected one for each reference that is not shared");
      }
      // The first sequence with tokens starts the table.
      s.indices[at + i] = i < common ? s.indices[i] : static_cast<std::int32_t>(fresh[taken++]);
    }
    const Int missing = count == 0 ? 0 : slack / filled + (nth++ < slack % filled ? 1 : 0);
    s.indptr[b] = static_cast<std::int32_t>(at);
    s.last[b] = static_cast<std::int32_t>(count == 0 ? 0 : s.page_size - missing);
    first_pages = first_pages == 0 ? count : first_pages;
    longest = std::max(longest, count * s.page_size - missing);
    at += count;
    s.indptr[b + 1] = static_cast<std::int32_t>(at);
  }
  const std::vector<char> used = s.referred();
  coppice_set_scalar(p, "max_len", static_cast<double>(longest));
  coppice_set_scalar(p, "unique_kv", static_cast<double>(std::count(used.begin(), used.end(), 1)));
  return 0;
}

int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts) {
  const Decode s(p);
  const coppice_tensor* cache = coppice_tensor_of(p, "cache");
  for (Int b = part; b < s.batch; b += parts) {
    const std::vector<Int> slots = s.slots(b);
    std::vector<double> weight(slots.size());
    for (Int head = b * s.heads; head < (b + 1) * s.heads; ++head) {
      double top = -std::numeric_limits<double>::infinity(), sum = 0.0;
      for (std::size_t t = 0; t < slots.size(); ++t) {
        weight[t] = score(p, s, head, slots[t]);
        top = std::max(top, weight[t]);
      }
      for (double& w : weight) {
        w = std::exp(w - top);
        sum += w;
      }
      for (Int d = 0; d < s.latent; ++d) {
        double value = 0.0;
        for (std::size_t t = 0; t < slots.size(); ++t) {
          value += weight[t] * coppice_real(cache, slots[t] * s.width() + d);
        }
        outputs[0][head * s.latent + d] = slots.empty() ? 0.0 : value / sum;
      }
      outputs[1][head] = slots.empty() ? top : (top + std::log(sum)) / std::log(2.0);
    }
  }
  return 0;
}

// needle_last, needle_first: that row gets a logit of 12 with the sequence's first head.
// poisoned: every row that no sequence refers to holds NaN.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t) {
  const Decode s(p);
  const coppice_tensor* cache = coppice_tensor_of(p, "cache");
  const std::string_view name = case_name;
  if (name == "poisoned") {
    const std::vector<char> used = s.referred();
    for (Int i = 0; i < s.pages * s.page_size * s.width(); ++i) {
      if (used[static_cast<std::size_t>(i / s.width())] == 0) {
        coppice_store(cache, i, std::numeric_limits<double>::quiet_NaN());
      }
    }
    return 0;
  }
  if (name != "needle_last" && name != "needle_first") {
    return refuse(p, "unknown case");
  }
  for (Int b = 0; b < s.batch; ++b) {
    const std::vector<Int> slots = s.slots(b);
    if (slots.empty()) {
      continue;
    }
    const Int row = (name == "needle_last" ? slots.back() : slots.front()) * s.width();
    const auto query = [&](Int d) {
      const bool latent = d < s.latent;
      return coppice_real(
          coppice_tensor_of(p, latent ? "q_nope" : "q_rope"),
          latent ? b * s.heads * s.latent + d : b * s.heads * s.rope + d - s.latent);
    };
    double norm = 0.0;
    for (Int d = 0; d < s.width(); ++d) {
      norm += query(d) * query(d);
    }
    for (Int d = 0; d < s.width() && norm > 0.0; ++d) {
      coppice_store(cache, row + d, 12.0 / (coppice_constant(p, "sm_scale") * norm) * query(d));
    }
  }
  return 0;
}
