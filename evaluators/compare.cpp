// Two passes over an output: sums per row, then elements against the limits that the sums give.

#include "evaluators/compare.h"

#include "evaluators/dtype_bits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

namespace coppice::evaluators {
namespace {

// Rows whose reference is (nearly) zero are measured against this share of the whole tensor's RMS.
constexpr double kRowFloor = 1e-6;

struct RowSums {
  std::uint64_t count = 0;  // elements in the row
  double diff2 = 0.0, ref2 = 0.0;
  std::uint64_t finite = 0;
  std::uint64_t unwritten = 0;
  std::uint64_t first_unwritten = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t first_bad = std::numeric_limits<std::uint64_t>::max();  // not finite
};

struct Worst {
  double ratio = -1.0;
  std::uint64_t index = 0;
  std::uint64_t bad = 0;
};

template <class Body>
void over_rows(std::uint64_t rows, std::uint64_t elements, int threads, const Body& body) {
  const std::uint64_t parts = std::clamp<std::uint64_t>(
      std::min(elements / (1 << 16), rows), 1, static_cast<std::uint64_t>(std::max(threads, 1)));
  std::vector<std::jthread> others;
  const auto part = [&](std::uint64_t p) {
    for (std::uint64_t r = p; r < rows; r += parts) {
      body(r);
    }
  };
  for (std::uint64_t p = 1; p < parts; ++p) {
    others.emplace_back(part, p);
  }
  part(0);
}

template <class Load>
RowSums sum_row(const OutputView& o, std::uint64_t first, std::uint64_t count, const Load& load) {
  RowSums sums;
  sums.count = count;
  const std::size_t width = size_of(o.dtype);
  for (std::uint64_t i = first; i < first + count; ++i) {
    const double want = o.expected[i];
    const double got = load(i);
    if (!std::isfinite(got) || !std::isfinite(want)) {
      const bool same = got == want;  // matching infinities; NaN never
      if (!same) {
        sums.first_bad = std::min(sums.first_bad, i);
      }
    } else {
      const double d = got - want;
      sums.diff2 += d * d;
      sums.ref2 += want * want;
      ++sums.finite;
    }
    // An honest element may happen to equal the pattern only when that is the right answer.
    if (o.poison != nullptr && got != want &&
        std::memcmp(static_cast<const char*>(o.actual) + i * width,
                    static_cast<const char*>(o.poison) + i * width % 4,
                    width) == 0) {
      ++sums.unwritten;
      sums.first_unwritten = std::min(sums.first_unwritten, i);
    }
  }
  return sums;
}

RowSums sum_row(const OutputView& o, std::uint64_t first, std::uint64_t count) {
  if (o.dtype == DType::f32) {
    const auto* data = static_cast<const float*>(o.actual);
    return sum_row(
        o, first, count, [data](std::uint64_t i) { return static_cast<double>(data[i]); });
  }
  return sum_row(o, first, count, [&o](std::uint64_t i) { return widen(o.dtype, o.actual, i); });
}

struct Limits {
  const Tolerance& tolerance;
  double row_rms = 0.0;
  double of(double want) const {
    return tolerance.absolute ? *tolerance.absolute
                              : tolerance.relative * std::fabs(want) + tolerance.scaled * row_rms;
  }
};

Worst worst_in(const OutputView& o,
               std::uint64_t first,
               std::uint64_t count,
               const Limits& limits) {
  Worst worst;
  for (std::uint64_t i = first; i < first + count; ++i) {
    const double want = o.expected[i];
    if (!std::isfinite(want)) {
      continue;
    }
    const double limit = limits.of(want);
    const double d = std::fabs(widen(o.dtype, o.actual, i) - want);
    const double ratio = d == 0.0 ? 0.0 : d / std::max(limit, 1e-300);
    if (!(ratio <= 1.0)) {
      ++worst.bad;
    }
    if (ratio > worst.ratio) {
      worst.ratio = ratio;
      worst.index = i;
    }
  }
  return worst;
}

Comparison judge_integers(const OutputView& o, std::uint64_t elements) {
  Comparison out;
  for (std::uint64_t i = 0; i < elements; ++i) {
    const double got = widen(o.dtype, o.actual, i);
    if (got != o.expected[i]) {
      if (out.bad_elements++ == 0) {
        out.worst = i;
        out.actual_value = got;
        out.expected_value = o.expected[i];
      }
    }
  }
  if (out.bad_elements > 0) {
    out.failure = FailureClass::wrong_result;
    out.error = std::numeric_limits<double>::infinity();
    out.message = fmt::format("{}{}: {} instead of {} ({} of {} elements differ)",
                              o.name,
                              coordinates(out.worst, o.shape),
                              out.actual_value,
                              out.expected_value,
                              out.bad_elements,
                              elements);
  }
  return out;
}

// Unwritten and non-finite elements; true when there is something to report.
bool judge_presence(const OutputView& o, const std::vector<RowSums>& rows, Comparison& out) {
  std::uint64_t unwritten = 0;
  std::uint64_t first_unwritten = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t first_bad = first_unwritten;
  for (const RowSums& row : rows) {
    unwritten += row.unwritten;
    first_unwritten = std::min(first_unwritten, row.first_unwritten);
    first_bad = std::min(first_bad, row.first_bad);
  }
  if (unwritten > 0) {
    out.failure = FailureClass::unwritten_output;
    out.worst = first_unwritten;
    out.bad_elements = unwritten;
    out.message = fmt::format("{}{}: never written ({} elements still hold the poison pattern)",
                              o.name,
                              coordinates(out.worst, o.shape),
                              unwritten);
  } else if (first_bad != std::numeric_limits<std::uint64_t>::max()) {
    out.failure = FailureClass::non_finite;
    out.worst = first_bad;
    out.message = fmt::format("{}{}: {} instead of {}",
                              o.name,
                              coordinates(first_bad, o.shape),
                              widen(o.dtype, o.actual, first_bad),
                              o.expected[first_bad]);
  } else {
    return false;
  }
  out.actual_value = widen(o.dtype, o.actual, out.worst);
  out.expected_value = o.expected[out.worst];
  out.error = std::numeric_limits<double>::infinity();
  return true;
}

double share(double value, double limit) {
  return value == 0.0 ? 0.0 : value / std::max(limit, 1e-300);
}

void describe(const OutputView& o, const Tolerance& t, std::uint64_t worst_row, Comparison& out) {
  if (out.error <= 1.0) {
    return;
  }
  out.failure = FailureClass::wrong_result;
  const std::string where = coordinates(out.worst, o.shape);
  std::string reason;
  if (t.absolute || out.bad_elements > 0) {
    reason = fmt::format("{} elements beyond their limit", out.bad_elements);
  } else if (out.nrmse > t.nrmse) {
    reason = fmt::format("nRMSE {:.3g} over {:.3g}", out.nrmse, t.nrmse);
  } else {
    reason = fmt::format(
        "row {}: nRMSE {:.3g} over {:.3g}", worst_row, out.worst_row, t.nrmse * t.row_factor);
  }
  out.message = fmt::format("{}{}: {:.9g} instead of {:.9g} (limit {:.3g}); {}; nRMSE {:.3g}",
                            o.name,
                            where,
                            out.actual_value,
                            out.expected_value,
                            out.limit,
                            reason,
                            out.nrmse);
}

// RMS of the reference in one row; a row of zeros borrows a share of the tensor's.
double rms_of_row(const RowSums& row, double tensor_rms) {
  const double m = static_cast<double>(std::max<std::uint64_t>(row.finite, 1));
  return std::max(std::sqrt(row.ref2 / m), kRowFloor * tensor_rms);
}

struct Overall {
  Worst worst;
  double row_error = 0.0;  // of the worst row
  std::uint64_t row = 0;
};

Overall judge_rows(const OutputView& o,
                   const Tolerance& tolerance,
                   const std::vector<RowSums>& rows,
                   double rms,
                   int threads) {
  std::uint64_t elements = 0;
  for (const RowSums& row : rows) {
    elements += row.count;
  }
  const std::uint64_t width = row_elements(o.shape);
  std::vector<Worst> worst(rows.size());
  std::vector<double> row_error(rows.size(), 0.0);
  over_rows(rows.size(), elements, threads, [&](std::uint64_t r) {
    const double m = static_cast<double>(std::max<std::uint64_t>(rows[r].finite, 1));
    const double row_rms = rms_of_row(rows[r], rms);
    row_error[r] = share(std::sqrt(rows[r].diff2 / m), row_rms);
    worst[r] = worst_in(o, r * width, rows[r].count, Limits{tolerance, row_rms});
  });
  Overall overall;
  for (std::uint64_t r = 0; r < rows.size(); ++r) {
    overall.worst.bad += worst[r].bad;
    if (worst[r].ratio > overall.worst.ratio) {
      overall.worst.ratio = worst[r].ratio;
      overall.worst.index = worst[r].index;
    }
    if (row_error[r] > overall.row_error) {
      overall.row_error = row_error[r];
      overall.row = r;
    }
  }
  return overall;
}

}  // namespace

std::uint64_t row_elements(const std::vector<std::int64_t>& shape) {
  std::uint64_t row = 1;
  for (auto extent = shape.rbegin(); extent != shape.rend() && row < 32; ++extent) {
    row *= static_cast<std::uint64_t>(*extent);
  }
  return std::max<std::uint64_t>(row, 1);
}

std::string coordinates(std::uint64_t flat, const std::vector<std::int64_t>& shape) {
  std::vector<std::uint64_t> at(shape.size(), 0);
  for (std::size_t i = shape.size(); i-- > 0;) {
    const auto extent = static_cast<std::uint64_t>(std::max<std::int64_t>(shape[i], 1));
    at[i] = flat % extent;
    flat /= extent;
  }
  return fmt::format("[{}]", fmt::join(at, ", "));
}

const Tolerance& tolerance_of(const PrecisionClass& precision, std::string_view output) {
  const auto found = precision.per_output.find(output);
  return found == precision.per_output.end() ? precision.tolerance : found->second;
}

Comparison compare_output(const OutputView& o, const Tolerance& tolerance, int threads) {
  std::uint64_t elements = 1;
  for (const std::int64_t extent : o.shape) {
    elements *= static_cast<std::uint64_t>(extent);
  }
  if (elements == 0) {
    return {};
  }
  const std::uint64_t width = row_elements(o.shape);
  const std::uint64_t count = (elements + width - 1) / width;
  const auto length = [&](std::uint64_t r) {
    return std::min(width, elements - r * width);
  };
  std::vector<RowSums> rows(count);
  over_rows(count, elements, threads, [&](std::uint64_t r) {
    rows[r] = sum_row(o, r * width, length(r));
  });

  Comparison out;
  if (judge_presence(o, rows, out)) {
    return out;
  }
  if (!is_floating(o.dtype)) {
    return judge_integers(o, elements);
  }
  RowSums all;
  for (const RowSums& row : rows) {
    all.diff2 += row.diff2;
    all.ref2 += row.ref2;
    all.finite += row.finite;
  }
  const double n = static_cast<double>(std::max<std::uint64_t>(all.finite, 1));
  const double rms = std::sqrt(all.ref2 / n);
  out.nrmse = all.diff2 == 0.0 ? 0.0 : std::sqrt(all.diff2 / n) / std::max(rms, 1e-300);

  const Overall overall = judge_rows(o, tolerance, rows, rms, threads);
  out.worst_row = overall.row_error;
  out.bad_elements = overall.worst.bad;
  out.worst = overall.worst.index;
  out.actual_value = widen(o.dtype, o.actual, out.worst);
  out.expected_value = o.expected[out.worst];
  out.limit = Limits{tolerance, rms_of_row(rows[out.worst / width], rms)}.of(out.expected_value);
  out.error = std::max(overall.worst.ratio, 0.0);
  if (!tolerance.absolute) {
    out.error = std::max({out.error,
                          share(out.nrmse, tolerance.nrmse),
                          share(out.worst_row, tolerance.nrmse * tolerance.row_factor)});
  }
  describe(o, tolerance, overall.row, out);
  return out;
}

Json to_json(const Comparison& c) {
  Json out = Json::object();
  out.set("nrmse", c.nrmse).set("worst_row", c.worst_row).set("error", c.error);
  if (!c.ok()) {
    out.set("failure", to_text(c.failure)).set("message", c.message);
    out.set("bad_elements", c.bad_elements).set("worst", c.worst);
    out.set("actual", c.actual_value).set("expected", c.expected_value).set("limit", c.limit);
  }
  return out;
}

}  // namespace coppice::evaluators
