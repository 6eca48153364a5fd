// Elementary functions that give the same bits on every x86-64 and aarch64, for decisions.
#pragma once

namespace coppice::pinned {

// Built from IEEE + - * / and sqrt alone, compiled without contraction; relative error below 1e-13
// in the range used by decisions (checked against libm in tests). NaN in, NaN out.
double exp(double x);  // over-/underflows to inf / 0
double log(double x);  // x <= 0: -inf or NaN, as libm
double log1p(double x);
double pow(double base, double exponent);  // base > 0
double normal_pdf(double x);
double normal_cdf(
    double x);  // absolute error below 1e-15 (Marsaglia 2004 series / continued fraction)
double normal_quantile(double p);  // Wichura 1988, AS 241

}  // namespace coppice::pinned
