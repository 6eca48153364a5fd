// Packs A once into tiles of rows; then each task packs the slices of its columns of B on its own
// stack and multiplies them at once, so that packed B never leaves the caches of the core that
// needs it. A tile of C stays in registers over a slice of k. Few rows are multiplied without
// packing.
#include "coppice_cpu.h"
#include "lay_out.h"

#include <algorithm>

namespace {

using namespace coppice::simd;

#if T_BF16
using T = coppice_bf16;
#else
using T = float;
#endif
#if VECTOR_HALF && COPPICE_NATIVE_LANES > 4
constexpr int kLanes = COPPICE_NATIVE_LANES / 2;
#else
constexpr int kLanes = COPPICE_NATIVE_LANES;
#endif
using V = Vec<kLanes>;

constexpr int kUnroll = UNROLL_K;
constexpr int kRows = TILE_ROWS;  // of C in registers
constexpr int kColumns = TILE_VECTORS * kLanes;
// Tasks share the panels evenly: one may get a panel more than a block holds.
constexpr int kMostColumns = ((BLOCK_COLUMNS + kColumns - 1) / kColumns + 1) * kColumns;
constexpr int kTilesToPack = 8;           // by one task
constexpr bool kDirect = sizeof(T) == 4;  // sums of slices go straight to C

struct Shape {
  std::int64_t m, n, k;
  std::int64_t tiles() const { return (m + kRows - 1) / kRows; }
  std::int64_t depth(std::int64_t first) const {
    return std::min<std::int64_t>(BLOCK_K, k - first);
  }
  // Where a slice of packed A begins: slices follow each other, each with all tiles.
  std::int64_t slice(std::int64_t first) const { return first * tiles() * kRows; }
};

Shape shape_of(void* const* args, int from) {
  return {coppice_dim(args, from), coppice_dim(args, from + 1), coppice_dim(args, from + 2)};
}

struct Span {
  std::int64_t first, last;
};

// A task's share of `count` along one side of the grid.
Span share(std::int64_t count, const coppice_task* task, int side) {
  const std::int64_t at = task->index[side], of = task->grid[side];
  return {count * at / of, count * (at + 1) / of};
}

// One tile of C after one slice of k.
struct Tile {
  float* partial;  // sums of the slices so far: C itself where C is f32
  T* c;
  std::int64_t stride;
  std::int64_t rows, columns;  // there are: more than a tile's, or fewer at C's edge
  bool first, last;            // slice

  COPPICE_INLINE void keep(std::int64_t at, V sum) const {
    if (!first) {
      sum += load<kLanes>(partial + at);
    }
    if (kDirect || !last) {
      store<kLanes>(partial + at, sum);
    } else {
      store<kLanes>(c + at, sum);
    }
  }
  void keep(std::int64_t at, float sum) const {
    sum += first ? 0.0f : partial[at];
    if (kDirect || !last) {
      partial[at] = sum;
    } else {
      c[at] = coppice_narrow<T>(sum);
    }
  }
  void expect() const {
    constexpr int kLine = 64 / sizeof(float);
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kColumns; j += kLine) {
        __builtin_prefetch(partial + i * stride + j, 1, 3);
      }
    }
  }
};

// A slice of packed A for one tile times one panel.
struct Product {
  V acc[kRows][TILE_VECTORS] = {};

  COPPICE_INLINE Product(const float* a, const float* panel, std::int64_t depth) {
#pragma GCC unroll kUnroll
    for (std::int64_t d = 0; d < depth; ++d) {
      V b[TILE_VECTORS];
      if (PREFETCH_A > 0) {
        __builtin_prefetch(a + PREFETCH_A * kRows, 0, 3);
      }
#pragma GCC unroll 8
      for (int j = 0; j < TILE_VECTORS; ++j) {
        b[j] = load<kLanes>(panel + j * kLanes);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const V x = broadcast<kLanes>(a[i]);
#pragma GCC unroll 8
        for (int j = 0; j < TILE_VECTORS; ++j) {
          acc[i][j] += x * b[j];
        }
      }
      a += kRows;
      panel += kColumns;
    }
  }
};

COPPICE_INLINE void whole_tile(const float* a,
                               const float* panel,
                               std::int64_t depth,
                               const Tile& to) {
  if (PREFETCH_C) {
    to.expect();
  }
  const Product product(a, panel, depth);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < TILE_VECTORS; ++j) {
      to.keep(i * to.stride + j * kLanes, product.acc[i][j]);
    }
  }
}

// A tile that hangs over C's edge.
void edge_tile(const float* a, const float* panel, std::int64_t depth, const Tile& to) {
  const Product product(a, panel, depth);
  for (int i = 0; i < kRows && i < to.rows; ++i) {
    for (int j = 0; j < kColumns && j < to.columns; ++j) {
      to.keep(i * to.stride + j, product.acc[i][j / kLanes][j % kLanes]);
    }
  }
}

// What one task multiplies; rows of B and columns of C count from its first.
struct Part {
  Shape s;
  const float* a;  // packed
  Matrix<T> b;
  float* partial;
  T* c;
  Span tiles;
};

// Reads what the next slice will pack, a little with each tile.
class Ahead {
 public:
  Ahead(const Part& p, std::int64_t first, std::int64_t tiles)
      : from_(reinterpret_cast<const char*>(p.b.at + std::min(first, p.s.k))),
        row_bytes_(p.s.k * static_cast<std::int64_t>(sizeof(T))),
        rows_(first < p.s.k ? p.b.rows : 0),
        width_(p.s.depth(first) * static_cast<std::int64_t>(sizeof(T))),
        each_((rows_ * ((width_ + kLine - 1) / kLine) + tiles - 1) / tiles) {}

  COPPICE_INLINE void fetch() {
    for (std::int64_t i = 0; i < each_ && rows_ > 0; ++i) {
      __builtin_prefetch(from_ + at_, 0, 2);
      at_ += kLine;
      if (at_ >= width_) {
        at_ = 0;
        from_ += row_bytes_;
        --rows_;
      }
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;
  const char* from_;
  std::int64_t row_bytes_, rows_, width_, each_;
  std::int64_t at_ = 0;
};

// One slice of k; `panels` has room for the task's columns of B.
void multiply_slice(const Part& p, std::int64_t first, float* panels) {
  const std::int64_t depth = p.s.depth(first), columns = p.b.rows;
  for (std::int64_t j = 0; j < columns; j += kColumns) {
    lay_out<kColumns>(p.b, j, first, depth, panels + j * depth);
  }
  const float* a = p.a + p.s.slice(first);
  Ahead ahead(
      p, first + BLOCK_K, (p.tiles.last - p.tiles.first) * ((columns + kColumns - 1) / kColumns));
  for (std::int64_t i = p.tiles.first; i < p.tiles.last; i += BLOCK_TILES) {
    const std::int64_t end = std::min<std::int64_t>(i + BLOCK_TILES, p.tiles.last);
    for (std::int64_t j = 0; j < columns; j += kColumns) {
      for (std::int64_t t = i; t < end; ++t) {
        if (PREFETCH_B) {
          ahead.fetch();
        }
        const std::int64_t at = t * kRows * p.s.n + j;
        const Tile to{p.partial + at,
                      p.c + at,
                      p.s.n,
                      p.s.m - t * kRows,
                      columns - j,
                      first == 0,
                      first + depth == p.s.k};
        if (to.rows >= kRows && to.columns >= kColumns) {
          whole_tile(a + t * kRows * depth, panels + j * depth, depth, to);
        } else {
          edge_tile(a + t * kRows * depth, panels + j * depth, depth, to);
        }
      }
    }
  }
}

// Few rows. What takes the time is reading B, once: several of its rows are streamed together (for
// one row of A eight; sixteen, or prefetching by hand, were slower), and where A has more rows than
// registers take, a slice of k stays in L1 until all of them have met it.
constexpr std::int64_t kDotTask = 16;  // columns, as template.json says
constexpr std::int64_t kDotSlice = 512;

template <int kA, int kB>
struct Dots {
  V acc[kA][kB] = {};
  float tail[kA][kB] = {};

  COPPICE_INLINE Dots(const T* const* a, const T* const* b, std::int64_t k) {
    std::int64_t d = 0;
    for (; d + kLanes <= k; d += kLanes) {
      V x[kA];
#pragma GCC unroll 2
      for (int i = 0; i < kA; ++i) {
        x[i] = load<kLanes>(a[i] + d);
      }
#pragma GCC unroll 8
      for (int j = 0; j < kB; ++j) {
        const V y = load<kLanes>(b[j] + d);
#pragma GCC unroll 2
        for (int i = 0; i < kA; ++i) {
          acc[i][j] += x[i] * y;
        }
      }
    }
    for (; d < k; ++d) {
      for (int i = 0; i < kA; ++i) {
        for (int j = 0; j < kB; ++j) {
          tail[i][j] += coppice_widen(a[i][d]) * coppice_widen(b[j][d]);
        }
      }
    }
  }
  float get(int i, int j) const {
    return sum<kLanes>(acc[i][j]) + tail[i][j];
  }
};

// All rows of A, kA at a time, times kB rows of B from `column`. Rows and columns past the end
// repeat the last one and are not stored.
template <int kA, int kB>
void dot_columns(const Shape& s, void* const* args, std::int64_t column) {
  const T* const a = coppice_in<T>(args, 0);
  const T* const b = coppice_in<T>(args, 1);
  float sums[DIRECT_ROWS + kA][kB] = {};
  const std::int64_t slice = s.m <= kA ? s.k : kDotSlice;
  for (std::int64_t first = 0; first < s.k; first += slice) {
    const T* y[kB];
    for (int j = 0; j < kB; ++j) {
      y[j] = b + std::min(column + j, s.n - 1) * s.k + first;
    }
    for (std::int64_t i = 0; i < s.m; i += kA) {
      const T* x[kA];
      for (int r = 0; r < kA; ++r) {
        x[r] = a + std::min(i + r, s.m - 1) * s.k + first;
      }
      const Dots<kA, kB> dots(x, y, std::min(slice, s.k - first));
      for (int r = 0; r < kA; ++r) {
        for (int j = 0; j < kB; ++j) {
          sums[i + r][j] += dots.get(r, j);
        }
      }
    }
  }
  for (std::int64_t i = 0; i < s.m; ++i) {
    for (std::int64_t j = 0; j < kB && column + j < s.n; ++j) {
      coppice_out<T>(args, 2)[i * s.n + column + j] = coppice_narrow<T>(sums[i][j]);
    }
  }
}

}  // namespace

// With few rows packing costs more than it saves: B is read where it lies. grid: [sixteen columns]
COPPICE_KERNEL(dot) {
  const Shape s = shape_of(args, 3);
  const std::int64_t first = task->index[0] * kDotTask;
  const std::int64_t last = std::min(first + kDotTask, s.n);
  if (s.m == 1) {
    for (std::int64_t column = first; column < last; column += 8) {
      dot_columns<1, 8>(s, args, column);
    }
  } else {
    for (std::int64_t column = first; column < last; column += 4) {
      dot_columns<2, 4>(s, args, column);
    }
  }
}

// grid: [group of tiles of A]
COPPICE_KERNEL(pack) {
  const Shape s = shape_of(args, 2);
  const Matrix<T> a{coppice_in<T>(args, 0), s.m, s.k};
  const std::int64_t first = task->index[0] * kTilesToPack;
  for (std::int64_t t = first; t < std::min(first + kTilesToPack, s.tiles()); ++t) {
    for (std::int64_t d = 0; d < s.k; d += BLOCK_K) {
      float* to = coppice_out<float>(args, 1) + s.slice(d) + t * kRows * s.depth(d);
      lay_out<kRows>(a, t * kRows, d, s.depth(d), to);
    }
  }
}

// grid: [part of the columns, part of the rows]
COPPICE_KERNEL(multiply) {
  const Shape s = shape_of(args, 4);
  const Span panels = share((s.n + kColumns - 1) / kColumns, task, 0);
  const Span tiles = share(s.tiles(), task, 1);
  if (panels.first == panels.last || tiles.first == tiles.last) {
    return;
  }
  const std::int64_t column = panels.first * kColumns;
  const Matrix<T> b{
      coppice_in<T>(args, 1) + column * s.k, std::min(panels.last * kColumns, s.n) - column, s.k};
  T* c = coppice_out<T>(args, 3) + column;
#if T_BF16
  float* partial = coppice_out<float>(args, 2) + column;
#else
  float* partial = c;
#endif
  const Part part{s, coppice_in<float>(args, 0), b, partial, c, tiles};
  alignas(64) float packed[BLOCK_K * kMostColumns];
  for (std::int64_t d = 0; d < s.k; d += BLOCK_K) {
    multiply_slice(part, d, packed);
  }
}
