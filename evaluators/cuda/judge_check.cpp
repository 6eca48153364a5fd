// Comparing the output ring, guards and digests, by the trusted kernels.
#include "evaluators/cuda/judge.h"

#include <algorithm>
#include <cstring>

namespace coppice::evaluators::cuda {

std::vector<GuardRange> Judge::guards(const OpenWorkload& w, bool outputs) const {
  const WorkloadLayout& layout = w.setup->layout;
  std::vector<GuardRange> out;
  const auto around = [&](TensorRole role, DevicePtr base) {
    std::uint64_t at = 0;
    for (const TensorInfo& tensor : layout.tensors) {
      if (tensor.role == role) {
        out.push_back({base + at, tensor.offset - at});
        at = round_up(tensor.offset + tensor.bytes, 8);  // up to 7 bytes behind odd sizes unseen
      }
    }
    const std::uint64_t end = role == TensorRole::output  ? layout.slot_stride
                              : role == TensorRole::value ? layout.set_stride
                                                          : layout.structure_bytes;
    out.push_back({base + at, end - at});
  };
  if (outputs) {
    for (std::uint64_t slot = 0; slot < layout.slots; ++slot) {
      around(TensorRole::output, w.outputs + slot * layout.slot_stride);
    }
  } else {
    around(TensorRole::structure, w.inputs);
    for (std::uint64_t set = 0; set < layout.sets; ++set) {
      around(TensorRole::value, w.inputs + layout.structure_bytes + set * layout.set_stride);
    }
  }
  return out;
}

Result<std::uint64_t> Judge::damaged(const std::vector<GuardRange>& ranges) {
  if (ranges.empty()) {
    return std::uint64_t{0};
  }
  const std::uint64_t list = round_up(ranges.size() * sizeof(GuardRange), 256);
  COPPICE_TRY(const DevicePtr at, scratch(list + ranges.size() * 8));
  COPPICE_TRY_VOID(device_->upload(
      at, {reinterpret_cast<const char*>(ranges.data()), ranges.size() * sizeof(GuardRange)}));
  COPPICE_TRY_VOID(device_->fill(at + list, 0, ranges.size() * 8));
  COPPICE_TRY(const Function guard_kernel, kernel("coppice_guards"));
  const unsigned grid[3] = {4, static_cast<unsigned>(ranges.size()), 1};
  COPPICE_TRY_VOID(device_->launch(guard_kernel, grid, 256, {at, at + list}));
  COPPICE_TRY(const std::string counts, device_->download(at + list, ranges.size() * 8));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    std::uint64_t one = 0;
    std::memcpy(&one, counts.data() + 8 * i, 8);
    sum += one;
  }
  return sum;
}

Result<void> Judge::compare_one(const OpenWorkload& w,
                                const TensorInfo& tensor,
                                const DeviceTolerance& limit,
                                std::uint64_t slots,
                                DevicePtr sets,
                                DevicePtr results) {
  COPPICE_TRY(const Function sums, kernel("coppice_sums"));
  COPPICE_TRY(const Function compare, kernel("coppice_compare"));
  const std::uint64_t row = std::max<std::uint64_t>(tensor.row, 1);
  const std::uint64_t rows = (tensor.elements + row - 1) / row;
  const unsigned grid[3] = {
      static_cast<unsigned>(std::min<std::uint64_t>(std::max<std::uint64_t>(rows / 8, 1), 1024)),
      static_cast<unsigned>(slots),
      1};
  const DevicePtr ring = w.outputs + tensor.offset;
  const DevicePtr expected = w.expected + w.expected_places.find(tensor.name)->second.first;
  const auto type = static_cast<std::uint64_t>(tensor.dtype);
  COPPICE_TRY_VOID(device_->launch(sums,
                                   grid,
                                   256,
                                   {ring,
                                    w.setup->layout.slot_stride,
                                    expected,
                                    w.expected_stride,
                                    sets,
                                    tensor.elements,
                                    row,
                                    type,
                                    size_of(tensor.dtype),
                                    results}));
  std::vector<void*> arguments;
  std::uint64_t plain[] = {ring,
                           w.setup->layout.slot_stride,
                           expected,
                           w.expected_stride,
                           sets,
                           tensor.elements,
                           row,
                           type};
  DeviceTolerance tolerance = limit;
  for (std::uint64_t& argument : plain) {
    arguments.push_back(&argument);
  }
  arguments.push_back(&tolerance);
  arguments.push_back(&results);
  const LaunchConfig config{{grid[0], grid[1], 1}, {256, 1, 1}, 0, device_->stream(), nullptr, 0};
  return check(device_->api(),
               device_->api().launch(&config, compare, arguments.data(), nullptr),
               "compare");
}

Result<void> Judge::check_outputs(WireReader& in, WireWriter& out) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  const WorkloadLayout& layout = w->setup->layout;
  const std::vector<std::uint32_t> sets = in.list<std::uint32_t>();
  const std::vector<DeviceTolerance> limits = in.list<DeviceTolerance>();
  std::vector<const TensorInfo*> outputs;
  for (const TensorInfo& tensor : layout.tensors) {
    if (tensor.role == TensorRole::output) {
      outputs.push_back(&tensor);
    }
  }
  bool good =
      in.ok() && !sets.empty() && sets.size() <= layout.slots && limits.size() == outputs.size();
  for (const std::uint32_t set : sets) {
    good = good && set < layout.sets;
  }
  if (!good) {
    return Error{ErrorCode::corrupt, "judge: check: slots, sets or limits out of range"};
  }
  std::vector<DeviceComparison> results(sets.size() * outputs.size());
  const std::uint64_t list = round_up(sets.size() * 4, 256);
  COPPICE_TRY(const DevicePtr at, scratch(list + results.size() * sizeof(DeviceComparison)));
  COPPICE_TRY_VOID(
      device_->upload(at, {reinterpret_cast<const char*>(sets.data()), sets.size() * 4}));
  COPPICE_TRY_VOID(device_->upload(
      at + list,
      {reinterpret_cast<const char*>(results.data()), results.size() * sizeof(DeviceComparison)}));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    COPPICE_TRY_VOID(compare_one(*w,
                                 *outputs[i],
                                 limits[i],
                                 sets.size(),
                                 at,
                                 at + list + i * sets.size() * sizeof(DeviceComparison)));
  }
  COPPICE_TRY(const std::string bytes,
              device_->download(at + list, results.size() * sizeof(DeviceComparison)));
  std::memcpy(results.data(), bytes.data(), bytes.size());
  COPPICE_TRY(const std::uint64_t broken, damaged(guards(*w, true)));
  COPPICE_TRY_VOID(device_->fill(w->outputs, kPoison, layout.outputs_bytes));
  COPPICE_TRY_VOID(device_->wait());
  out.list(results).put(broken);
  return {};
}

Result<std::uint64_t> Judge::digest(const OpenWorkload& w) {
  COPPICE_TRY(const DevicePtr at, scratch(256));
  COPPICE_TRY_VOID(device_->fill(at, 0, 8));
  COPPICE_TRY(const Function digest_kernel, kernel("coppice_digest"));
  const unsigned grid[3] = {
      static_cast<unsigned>(8 * std::max<std::int64_t>(device_->facts().multiprocessors, 1)), 1, 1};
  COPPICE_TRY_VOID(
      device_->launch(digest_kernel, grid, 256, {w.inputs, w.setup->layout.inputs_bytes / 16, at}));
  COPPICE_TRY(const std::string bytes, device_->download(at, 8));
  std::uint64_t out = 0;
  std::memcpy(&out, bytes.data(), 8);
  return out;
}

Result<void> Judge::verify(WireReader& in, WireWriter& out) {
  COPPICE_TRY(OpenWorkload * w, workload(in));
  const auto slot = in.get<std::uint64_t>();
  std::vector<GuardRange> ranges = in.list<GuardRange>();
  if (!in.ok() || slot >= workspaces_.size()) {
    return Error{ErrorCode::corrupt, "judge: verify: no such workspace"};
  }
  for (GuardRange& range : ranges) {
    const Workspace& workspace = workspaces_[slot];
    if (range.address > workspace.bytes || range.bytes > workspace.bytes - range.address) {
      return Error{ErrorCode::corrupt, "judge: verify: guard outside the workspace"};
    }
    range.address += workspace.at;
  }
  COPPICE_TRY(const std::uint64_t now, digest(*w));
  const std::uint64_t changed = w->digest_known && now != w->digest ? 1 : 0;
  if (!w->digest_known) {
    w->digest = now;
    w->digest_known = true;
  }
  std::uint64_t input_guards = 0;
  if (changed != 0) {
    COPPICE_TRY(input_guards, damaged(guards(*w, false)));
  }
  COPPICE_TRY(const std::uint64_t workspace_guards, damaged(ranges));
  out.put(changed).put(input_guards).put(workspace_guards);
  return {};
}

}  // namespace coppice::evaluators::cuda
