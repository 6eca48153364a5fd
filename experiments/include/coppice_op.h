// C interface of an operation's trusted host code: structure, reference, value adjustment,
// baselines. Compiled as C++20 with -O2 into one shared object per source; loaded by the judge
// (reference.cpp) or by the baseline process (baselines/*.cpp), never beside candidate code.
#pragma once

#include "coppice_cpu.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

extern "C" {

enum coppice_dtype {
  coppice_f64,
  coppice_f32,
  coppice_f16,
  coppice_bf16_t,
  coppice_e4m3,
  coppice_e5m2,
  coppice_i64,
  coppice_i32,
  coppice_i8,
  coppice_u8
};

struct coppice_tensor {
  const char* name;
  std::int32_t dtype;  // coppice_dtype
  std::int32_t rank;
  std::int64_t shape[8];  // row-major, outermost first
  void* data;             // native element type
};

struct coppice_named {
  const char* name;
  double value;
};

// One workload. Arrays are owned by the caller and live for the call (baselines: until the process
// ends).
struct coppice_problem {
  const coppice_named* dims;
  std::int32_t n_dims;  // whole numbers
  const coppice_named* constants;
  std::int32_t n_constants;  // op.json "constants"
  const coppice_named* parameters;
  std::int32_t n_parameters;  // workload "structure"
  const coppice_tensor* tensors;
  std::int32_t n_tensors;  // inputs in contract order, then outputs
  coppice_named* scalars;
  std::int32_t n_scalars;  // op.json "scalars": structure() sets them
  char* message;
  std::size_t message_size;  // for an error text
};

// ---- reference.cpp. Each returns 0, or non-zero after writing p->message. ----

// Fills the structure tensors and the scalars from `seed`. Must be deterministic. Optional when the
// op has neither.
int coppice_structure(const coppice_problem* p, std::uint64_t seed);
// fp64 outputs, one array per output tensor in contract order, dense row-major. Called by `parts`
// threads at once, each with its own `part`: compute only the outermost output rows r with r %
// parts == part.
int coppice_reference(const coppice_problem* p, double* const* outputs, int part, int parts);
// Edits value tensors for a named case ("needle_last"). Optional.
int coppice_adjust(const coppice_problem* p, const char* case_name, std::uint64_t seed);

// ---- baselines/<name>.cpp: a library call on the same tensors. ----

// Once per process and workload, untimed: create handles, allocate scratch. Weights may be repacked
// here only if the baseline declares "prepacked": true. `threads`: how many the library may use.
int coppice_baseline_setup(const coppice_problem* p, int threads);
// One timed launch: reads p's inputs, writes p's outputs.
int coppice_baseline_run(const coppice_problem* p);

}  // extern "C"

// Conveniences for those sources.
static inline double coppice_find(const coppice_named* items, int n, const char* name) {
  for (int i = 0; i < n; ++i) {
    if (std::strcmp(items[i].name, name) == 0) {
      return items[i].value;
    }
  }
  return 0.0;
}
static inline std::int64_t coppice_dim_of(const coppice_problem* p, const char* name) {
  return static_cast<std::int64_t>(coppice_find(p->dims, p->n_dims, name));
}
static inline double coppice_constant(const coppice_problem* p, const char* name) {
  return coppice_find(p->constants, p->n_constants, name);
}
static inline double coppice_parameter(const coppice_problem* p, const char* name) {
  return coppice_find(p->parameters, p->n_parameters, name);
}
static inline const coppice_tensor* coppice_tensor_of(const coppice_problem* p, const char* name) {
  for (int i = 0; i < p->n_tensors; ++i) {
    if (std::strcmp(p->tensors[i].name, name) == 0) {
      return &p->tensors[i];
    }
  }
  return nullptr;
}
static inline void coppice_set_scalar(const coppice_problem* p, const char* name, double value) {
  for (int i = 0; i < p->n_scalars; ++i) {
    if (std::strcmp(p->scalars[i].name, name) == 0) {
      p->scalars[i].value = value;
    }
  }
}
// Four bits of exponent, three of mantissa; all ones is NaN.
static inline double coppice_widen_e4m3(std::uint8_t x) {
  if ((x & 0x7f) == 0x7f) {
    return __builtin_nan("");
  }
  const int exponent = (x >> 3) & 15, mantissa = x & 7;
  const double size =
      exponent == 0 ? __builtin_ldexp(mantissa, -9) : __builtin_ldexp(8 + mantissa, exponent - 10);
  return (x & 0x80) != 0 ? -size : size;
}
// Element i of a floating tensor, widened exactly.
static inline double coppice_real(const coppice_tensor* t, std::int64_t i) {
  switch (t->dtype) {
    case coppice_f64:
      return static_cast<const double*>(t->data)[i];
    case coppice_f32:
      return static_cast<const float*>(t->data)[i];
    case coppice_bf16_t:
      return coppice_widen(static_cast<const coppice_bf16*>(t->data)[i]);
    case coppice_e4m3:
      return coppice_widen_e4m3(static_cast<const std::uint8_t*>(t->data)[i]);
    default:
      return 0.0;
  }
}
// Stores x, rounded once to the tensor's type.
static inline void coppice_store(const coppice_tensor* t, std::int64_t i, double x) {
  switch (t->dtype) {
    case coppice_f64:
      static_cast<double*>(t->data)[i] = x;
      break;
    case coppice_f32:
      static_cast<float*>(t->data)[i] = static_cast<float>(x);
      break;
    case coppice_bf16_t:
      static_cast<coppice_bf16*>(t->data)[i] = coppice_to_bf16(static_cast<float>(x));
      break;
    default:
      break;
  }
}
// splitmix64: the stream for structure and adjustment; state is the caller's.
static inline std::uint64_t coppice_next(std::uint64_t* state) {
  std::uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
