// Moving values in and poison out, always past the caches.

#include "evaluators/cpu/station.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

// The canary is the same byte pattern everywhere, by the byte's offset in the slot.
bool intact(const std::byte* at, std::uint64_t count, std::uint64_t offset, std::uint64_t& bad) {
  for (std::uint64_t i = 0; i < count; ++i) {
    if (at[i] != static_cast<std::byte>(kCanary >> (8 * ((offset + i) % 4)))) {
      bad = i;
      return false;
    }
  }
  return true;
}

}  // namespace

Result<Station> Station::open(JudgeClient& judge,
                              const Workload& workload,
                              std::vector<TensorShape> tensors,
                              StationSize size) {
  Station out;
  out.name_ = workload.name;
  out.tensors_ = std::move(tensors);
  out.size_ = size;
  out.layout_ = make_layout(out.tensors_, 0);
  std::uint64_t structure = 0;
  for (const TensorShape& tensor : out.tensors_) {
    structure += tensor.role == TensorRole::structure
                     ? whole_pages(std::max<std::uint64_t>(tensor.bytes, 8))
                     : 0;
  }
  const std::uint64_t entries = size.timed_entries + size.case_entries;
  out.structure_at_ = entries * out.layout_.entry_bytes;
  COPPICE_TRY(out.pool_, SharedMemory::create("pool", out.structure_at_ + structure));
  COPPICE_TRY(out.inputs_, SharedMemory::create("inputs", out.layout_.inputs_bytes));
  COPPICE_TRY_VOID(out.inputs_.seal_future_writes());
  COPPICE_TRY(out.outputs_,
              SharedMemory::create("outputs", (size.slots + 1) * out.layout_.slot_bytes));
  COPPICE_TRY_VOID(judge.attach_pool(out.name_, entries, out.pool_.fd()));
  COPPICE_TRY_VOID(judge.attach_outputs(out.name_, out.outputs_.size(), out.outputs_.fd()));
  return out;
}

Result<int> Station::workspace_fd(std::uint64_t bytes) {
  if (bytes == 0) {
    return -1;
  }
  if (workspace_.size() < bytes) {
    COPPICE_TRY(workspace_, SharedMemory::create("workspace", bytes));
  }
  return workspace_.fd();
}

std::uint64_t Station::bytes() const {
  return pool_.size() + inputs_.size() + outputs_.size() + workspace_.size();
}

Result<JudgeClient::Drawn> Station::draw(JudgeClient& judge,
                                         std::uint64_t entry,
                                         const std::string& value_case,
                                         std::uint64_t seed) {
  const std::string key = fmt::format("{}/{}", value_case, seed);
  if (drawn_.size() <= entry) {
    drawn_.resize(entry + 1);
  }
  if (drawn_[entry] == key) {
    return JudgeClient::Drawn{};
  }
  drawn_[entry].clear();
  COPPICE_TRY(const JudgeClient::Drawn drawn, judge.draw(name_, entry, value_case, seed));
  drawn_[entry] = key;
  return drawn;
}

void Station::place_structure(const Layout& layout, int threads) {
  std::uint64_t at = structure_at_;
  for (const Place& place : layout.inputs) {
    if (place.tensor.role == TensorRole::structure) {
      copy_cold(inputs_.data() + place.data, pool_.data() + at, place.tensor.bytes, threads);
      at += whole_pages(std::max<std::uint64_t>(place.tensor.bytes, 8));
    }
  }
}

void Station::refresh(const Layout& layout, const Refresh& what) {
  place_structure(layout, what.threads);
  const std::vector<std::int64_t> offsets = packed(layout);
  const std::byte* entry = pool_.data() + what.entry * layout.entry_bytes;
  for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
    if (offsets[i] >= 0) {
      copy_cold(inputs_.data() + layout.inputs[i].data,
                entry + offsets[i],
                layout.inputs[i].tensor.bytes,
                what.threads);
    }
  }
  std::byte* slot = outputs_.data() + origin(what.slot);
  for (const Place& place : layout.outputs) {
    const std::uint64_t end = place.region + place.region_bytes;
    fill_cold(slot + place.region, kCanary, place.data - place.region, 1);
    fill_cold(slot + place.data, what.poison, place.tensor.bytes, what.threads);
    const std::uint64_t tail = place.data + place.tensor.bytes;
    // The pattern's phase follows the offset in the region, not the start of this piece.
    const unsigned turn = static_cast<unsigned>(8 * ((tail - place.region) % 4));
    const std::uint32_t turned = turn == 0 ? kCanary : (kCanary >> turn) | (kCanary << (32 - turn));
    fill_cold(slot + tail, turned, end - tail, 1);
  }
  if (what.workspace_bytes > 0) {
    fill_cold(workspace_.data(), what.poison, what.workspace_bytes, what.threads);
  }
}

std::optional<std::string> Station::damage(const Layout& layout, std::uint64_t slot) const {
  const std::byte* base = outputs_.data() + origin(slot);
  for (const Place& place : layout.outputs) {
    std::uint64_t bad = 0;
    const std::uint64_t front = place.data - place.region;
    if (!intact(base + place.region, front, 0, bad)) {
      return fmt::format("writes {} bytes before the start of {}", front - bad, place.tensor.name);
    }
    const std::uint64_t tail = front + place.tensor.bytes;
    if (!intact(base + place.region + tail, place.region_bytes - tail, tail, bad)) {
      return fmt::format("writes {} bytes past the end of {}", bad, place.tensor.name);
    }
  }
  return std::nullopt;
}

}  // namespace coppice::evaluators::cpu
