// Arithmetic on regions; no memory is touched here.

#include "evaluators/cpu/layout.h"

#include <unistd.h>

#include <algorithm>

namespace coppice::evaluators::cpu {
namespace {

constexpr std::uint64_t kLine = 64;

std::uint64_t up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

void add(std::vector<Place>& places, const TensorShape& tensor, int shift, std::uint64_t& end) {
  Place place;
  place.tensor = tensor;
  place.region = end;
  place.region_bytes = whole_pages(tensor.bytes + kLine * (kLargestShift + 1));
  place.data = end + place.region_bytes - up(tensor.bytes, kLine) - kLine * std::uint64_t(shift);
  end += place.region_bytes;
  places.push_back(std::move(place));
}

}  // namespace

std::uint64_t whole_pages(std::uint64_t bytes) {
  static const auto kPage =
      std::max<std::uint64_t>(kPageBytes, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  return up(std::max<std::uint64_t>(bytes, 1), kPage);
}

Layout make_layout(const std::vector<TensorShape>& tensors, int shift) {
  Layout out;
  out.shift = std::clamp(shift, 0, kLargestShift);
  for (const TensorShape& tensor : tensors) {
    if (tensor.role == TensorRole::output) {
      add(out.outputs, tensor, out.shift, out.slot_bytes);
    } else {
      add(out.inputs, tensor, out.shift, out.inputs_bytes);
    }
    if (tensor.role == TensorRole::value) {
      out.entry_bytes += up(tensor.bytes, kLine);
    }
  }
  out.entry_bytes = whole_pages(out.entry_bytes);
  return out;
}

std::vector<std::int64_t> packed(const Layout& layout) {
  std::vector<std::int64_t> out;
  std::uint64_t end = 0;
  for (const Place& place : layout.inputs) {
    if (place.tensor.role == TensorRole::value) {
      out.push_back(static_cast<std::int64_t>(end));
      end += up(place.tensor.bytes, kLine);
    } else {
      out.push_back(-1);
    }
  }
  return out;
}

WorkspaceLayout workspace_layout(const ResolvedPlan& plan) {
  WorkspaceLayout out;
  std::uint64_t total = 0;
  for (const auto& [name, bytes] : plan.workspace) {
    total += up(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)), 256);
  }
  if (total == 0) {
    return out;
  }
  out.bytes = whole_pages(total);
  std::uint64_t at = out.bytes - total;
  for (const auto& [name, bytes] : plan.workspace) {
    out.slices.emplace_back(name, at);
    at += up(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)), 256);
  }
  return out;
}

}  // namespace coppice::evaluators::cpu
