// Landscapes from rough models of GPU kernels: what fits on a multiprocessor, how many waves that
// makes, what staging hides, and what splitting costs to combine.
#include "evaluators/landscape_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coppice::evaluators::detail {
namespace {

// The machine of the models; its figures vary a little with the instance.
struct Machine {
  double units = 84;             // multiprocessors
  double shared = 100 * 1024.0;  // bytes a multiprocessor
  double registers = 65536;
  double threads = 1536;
  double flops = 3.0e10;     // per millisecond
  double bandwidth = 6.0e8;  // bytes per millisecond
};

struct Block {
  double threads = 0.0, shared = 0.0, registers_per_thread = 0.0;
};

// Blocks that one multiprocessor holds at a time; 0: the block does not fit.
double resident(const Machine& machine, const Block& block) {
  if (block.registers_per_thread > 320.0 || block.threads > 1024.0) {
    return 0.0;
  }
  const double used = std::min(block.registers_per_thread, 255.0) * block.threads;
  const double by_shared = block.shared > 0.0 ? machine.shared / block.shared : 32.0;
  return std::floor(
      std::min({by_shared, machine.registers / used, machine.threads / block.threads, 16.0}));
}

double spills(const Block& block) {
  return 1.0 + std::max(0.0, block.registers_per_thread - 255.0) / 40.0;
}

double ceil_div(double a, double b) {
  return std::ceil(a / b);
}

// How much of a unit's rate `resident` blocks of `stages` reach: few in flight hide little latency.
double hiding(double warps_in_flight, double stages) {
  const double in_flight = warps_in_flight * (0.6 + 0.4 * stages);
  return in_flight / (in_flight + 6.0);
}

struct Reader {
  const AxisSpace& space;
  const Genome& genome;
  double operator()(std::size_t axis) const {
    const Value& value = space.value(genome, axis);
    return static_cast<double>(std::get<std::int64_t>(value));
  }
};

Machine machine_of(std::uint64_t instance) {
  Rng rng = stream(instance, "landscape_machine", 0);
  Machine machine;
  machine.units = 40.0 + 8.0 * static_cast<double>(rng.below(13));
  machine.shared = rng.below(2) == 0 ? 64 * 1024.0 : 100 * 1024.0;
  machine.flops *= 0.5 + rng.uniform();
  machine.bandwidth *= 0.5 + rng.uniform();
  return machine;
}

double pick(Rng& rng, std::initializer_list<double> values) {
  return values.begin()[rng.below(values.size())];
}

Landscape gemm_model(std::uint64_t instance) {
  Landscape out;
  out.axes = {numbers("tile_m", {16, 32, 64, 128, 256}),
              numbers("tile_n", {16, 32, 64, 128, 256}),
              numbers("tile_k", {8, 16, 32, 64}),
              numbers("stages", {1, 2, 3, 4}),
              numbers("warps", {1, 2, 4, 8}),
              numbers("vector", {1, 2, 4}),
              numbers("split_k", {1, 2, 4}),
              flag("swizzle")};
  out.restrictions = {"tile_m * tile_n >= 256 * warps",
                      "tile_m * tile_n <= 16384 * warps",
                      "(tile_m + tile_n) * tile_k * stages * 4 <= 98304",
                      "tile_k >= 4 * vector"};
  const Machine machine = machine_of(instance);
  Rng rng = stream(instance, "landscape_gemm", 0);
  const double m = pick(rng, {256, 1000, 2048, 4096});
  const double n = pick(rng, {512, 1536, 4096});
  const double k = pick(rng, {512, 2048, 4096});
  const std::uint64_t salt = rng.next();
  out.milliseconds = [=](const AxisSpace& space, const Genome& genome) {
    const Reader at{space, genome};
    const double tm = at(0), tn = at(1), tk = at(2), stages = at(3), warps = at(4), split = at(6);
    Block block{32 * warps, (tm + tn) * tk * stages * 4, tm * tn / (32 * warps) + 38 + 4 * at(5)};
    const double fit = resident(machine, block);
    if (fit < 1.0) {
      return 0.0;
    }
    const double blocks = ceil_div(m, tm) * ceil_div(n, tn) * split;
    const double waves = ceil_div(blocks, machine.units * fit);
    const double reuse = 1.0 / (1.0 / tm + 1.0 / tn);
    const double width = at(5) / (at(5) + 0.7);
    const double bank = at(7) > 0 ? 1.03 : 1.0 + 0.25 * (tk > 16 ? 1 : 0) * (at(5) > 2 ? 1 : 0.4);
    const double rate = machine.flops / machine.units * hiding(fit * warps, stages) * reuse /
                        (reuse + 14.0) / bank / spills(block);
    const double loop = 2.0 * tm * tn * k / split * fit / rate / std::max(0.4, width);
    const double traffic =
        (tm + tn) * (k / split) * 4.0 * fit * machine.units * 0.25 / (machine.bandwidth * width);
    const double combine = split > 1 ? 0.004 + m * n * split * 4.0 / machine.bandwidth : 0.0;
    const double steps = 0.00002 * ceil_div(k / split, tk) * (stages > 1 ? 0.6 : 1.5);
    return (waves * (std::max(loop, traffic) + 0.3 * std::min(loop, traffic) + steps) + combine +
            0.002) *
           (1.0 + 0.02 * share_of(genome, salt));
  };
  return out;
}

Landscape decode_model(std::uint64_t instance) {
  Landscape out;
  out.axes = {numbers("split", {1, 2, 4, 8, 16, 32, 64}),
              numbers("tile_kv", {16, 32, 64, 128}),
              numbers("heads", {1, 2, 4, 8}),
              numbers("warps", {1, 2, 4, 8}),
              numbers("stages", {1, 2, 3, 4}),
              kinds("load", 3),
              flag("fused_combine"),
              numbers("vector", {2, 4, 8})};
  out.restrictions = {"tile_kv * stages <= 256", "warps * 32 <= tile_kv * 8 * heads"};
  const Machine machine = machine_of(instance);
  Rng rng = stream(instance, "landscape_decode", 0);
  const double batch = pick(rng, {1, 4, 16, 64});
  const double length = pick(rng, {512, 2048, 6000, 16384});
  const double kv_heads = pick(rng, {4, 8});
  const std::uint64_t salt = rng.next();
  out.milliseconds = [=](const AxisSpace& space, const Genome& genome) {
    const Reader at{space, genome};
    const double split = at(0), tile = at(1), heads = at(2), warps = at(3), stages = at(4);
    const std::uint16_t load = genome.levels[5];
    const bool fused = at(6) > 0;
    Block block{32 * warps, tile * 256.0 * 2 * stages, 30 + heads * 128 / warps / 8 + at(7) * 4};
    if (load == 0) {
      block.shared = heads * 512;  // straight to registers
    }
    const double fit = resident(machine, block);
    if (fit < 1.0 || (load == 2 && tile < 32)) {
      return 0.0;
    }
    const double groups = ceil_div(8.0, heads);  // passes over the same cache
    const double blocks = batch * kv_heads * groups * split;
    const double waves = ceil_div(blocks, machine.units * fit);
    const double chunk = ceil_div(length / split, tile) * tile;
    const double in_flight =
        load == 0 ? hiding(fit * warps, 0.7) : hiding(fit * warps, stages + load);
    const double busy = std::min(1.0, blocks / (machine.units * fit));
    const double bytes = chunk * 512.0 * (groups > 1 ? 0.6 : 1.0);
    const double loading = bytes * fit * machine.units * std::max(busy, 0.15) /
                           (machine.bandwidth * in_flight * at(7) / (at(7) + 0.8));
    const double math = chunk * heads * 512.0 * fit / (machine.flops / machine.units / 6.0) /
                        std::min(1.0, warps / 4.0);
    const double merge =
        split > 1 ? (fused ? 0.0012 + 0.00008 * split : 0.004 + 0.00002 * split) : 0.0;
    return (waves * (std::max(loading, math) + 0.0004 * stages) + merge + 0.003) * spills(block) *
           (1.0 + 0.02 * share_of(genome, salt));
  };
  return out;
}

Landscape moe_model(std::uint64_t instance) {
  Landscape out;
  out.axes = {numbers("tile_m", {8, 16, 32, 64, 128}),
              numbers("tile_n", {32, 64, 128, 256}),
              numbers("tile_k", {16, 32, 64, 128}),
              numbers("stages", {1, 2, 3, 4}),
              numbers("warps", {2, 4, 8}),
              flag("expert_major"),
              flag("fuse_gate_up"),
              numbers("split_k", {1, 2, 4})};
  out.restrictions = {"(tile_m + tile_n) * tile_k * stages * 2 <= 98304"};
  const Machine machine = machine_of(instance);
  Rng rng = stream(instance, "landscape_moe", 0);
  const double tokens = pick(rng, {4, 32, 256, 1024});
  const double experts = pick(rng, {8, 64, 128});
  const double hidden = pick(rng, {1024, 2048, 4096});
  const double inner = pick(rng, {768, 1408});
  const std::uint64_t salt = rng.next();
  out.milliseconds = [=](const AxisSpace& space, const Genome& genome) {
    const Reader at{space, genome};
    const double tm = at(0), tn = at(1), tk = at(2), stages = at(3), warps = at(4), split = at(7);
    const bool grouped = at(5) > 0, fused = at(6) > 0;
    const double doubled = fused ? 2.0 : 1.0;
    Block block{
        32 * warps, (tm + doubled * tn) * tk * stages * 2, tm * tn * doubled / (32 * warps) + 44};
    const double fit = resident(machine, block);
    if (fit < 1.0) {
      return 0.0;
    }
    double total = 0.0;
    // Skewed load: expert e gets a share that falls like 1/(e+1).
    double blocks = 0.0, weights = 0.0;
    const double active = std::min(experts, tokens * 2.0);
    for (double e = 0.0; e < active; e += 1.0) {
      const double rows = std::max(1.0, std::round(tokens * 2.0 * 1.4 / ((e + 1.0) * 2.0 + 4.0)));
      blocks += (grouped ? ceil_div(rows, tm) : rows) * ceil_div(2.0 * inner, tn * doubled) * split;
      weights += (grouped ? ceil_div(rows, tm) : rows) * 2.0 * inner * hidden * 2.0;
    }
    const double waves = ceil_div(blocks, machine.units * fit);
    const double loop = 2.0 * tm * tn * doubled * hidden / split * fit /
                        (machine.flops / machine.units * hiding(fit * warps, stages) * 0.8);
    const double loading =
        weights * (grouped ? 1.0 : 0.5) / (machine.bandwidth * hiding(fit * warps, stages + 1.0));
    total = std::max(waves * loop, loading) + 0.2 * std::min(waves * loop, loading) +
            (split > 1 ? 0.006 + 0.001 * split : 0.0) + (fused ? 0.0 : 0.008) + 0.004 +
            (grouped ? 0.005 : 0.0) + 0.00004 * waves * hidden / split / tk;
    return total * spills(block) * (1.0 + 0.015 * share_of(genome, salt));
  };
  return out;
}

Landscape stencil_model(std::uint64_t instance) {
  Landscape out;
  out.axes = {numbers("block_x", {16, 32, 64, 128, 256}),
              numbers("block_y", {1, 2, 4, 8, 16}),
              numbers("tile_x", {1, 2, 4, 8}),
              numbers("tile_y", {1, 2, 3, 4, 8}),
              flag("use_shared"),
              flag("padding"),
              numbers("unroll", {1, 3, 5, 15}),
              numbers("vector", {1, 2, 4})};
  out.restrictions = {"block_x * block_y >= 32",
                      "block_x * block_y <= 1024",
                      "vector <= tile_x",
                      "use_shared == 1 or padding == 0"};
  const Machine machine = machine_of(instance);
  Rng rng = stream(instance, "landscape_stencil", 0);
  const double image = pick(rng, {1024, 2000, 4096});
  const double filter = pick(rng, {5, 9, 15});
  const std::uint64_t salt = rng.next();
  out.milliseconds = [=](const AxisSpace& space, const Genome& genome) {
    const Reader at{space, genome};
    const double bx = at(0), by = at(1), tx = at(2), ty = at(3), unroll = at(6), vector = at(7);
    const bool shared = at(4) > 0, padded = at(5) > 0;
    const double wide = bx * tx + filter - 1, high = by * ty + filter - 1;
    Block block{bx * by,
                shared ? wide * high * 4 + (padded ? high * 4 : 0) : 0.0,
                18 + 2.5 * tx * ty + 1.5 * unroll * std::min(tx, 4.0)};
    const double fit = resident(machine, block);
    if (fit < 1.0) {
      return 0.0;
    }
    const double blocks = ceil_div(image, bx * tx) * ceil_div(image, by * ty);
    const double waves = ceil_div(blocks, machine.units * fit);
    const double reuse = tx * ty * unroll / (tx * ty + unroll + 2.0);
    const double conflicts = shared && !padded && std::fmod(wide, 32.0) == 0.0 ? 1.5 : 1.0;
    const double divides = std::fmod(filter, unroll) == 0.0 ? 1.0 : 1.35;
    const double math = 2.0 * filter * filter * bx * tx * by * ty * fit * conflicts * divides *
                        (1.0 + 2.0 / (reuse + 0.4)) /
                        (machine.flops / machine.units * hiding(fit * bx * by / 32.0, 1.0));
    const double again = shared ? wide * high / (bx * tx * by * ty) : std::sqrt(filter) * 1.6;
    const double loading =
        bx * tx * by * ty * again * 4.0 * fit * machine.units /
        (machine.bandwidth * 3.0 * std::min(1.0, bx / 32.0) * (0.7 + 0.1 * vector));
    return (waves * (std::max(math, loading) + 0.3 * std::min(math, loading)) + 0.003) *
           spills(block) * (1.0 + 0.02 * share_of(genome, salt));
  };
  return out;
}

struct Model {
  std::string_view name;
  Landscape (*make)(std::uint64_t instance);
};
constexpr Model kModels[] = {{"gemm_model", gemm_model},
                             {"decode_model", decode_model},
                             {"moe_model", moe_model},
                             {"stencil_model", stencil_model}};

}  // namespace

std::vector<std::string_view> kernel_names() {
  std::vector<std::string_view> out;
  for (const Model& model : kModels) {
    out.push_back(model.name);
  }
  return out;
}

Landscape kernel_landscape(std::string_view name, std::uint64_t instance) {
  return std::find_if(std::begin(kModels),
                      std::end(kModels),
                      [&](const Model& model) { return model.name == name; })
      ->make(instance);
}

}  // namespace coppice::evaluators::detail
