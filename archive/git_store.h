// GitStore: a bare git repository that is written in packs; objects in memory first, then one pack,
// then refs.
#pragma once

#include "core/result.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coppice::archive {

struct GitId {
  std::array<std::uint8_t, 20> bytes{};
  friend auto operator<=>(const GitId&, const GitId&) = default;
  std::string hex() const;
  static Result<GitId> from_hex(std::string_view text);
};

struct GitEntry {
  std::string name;
  GitId id;
  bool tree = false;
};

struct GitCommit {
  GitId tree;
  std::vector<GitId> parents;
  std::int64_t seconds = 0;  // since the epoch; author and committer are always the same
  std::string message;
};

// Used by one thread. Objects put in are lost unless write_pack() follows; refs may only name
// objects that are in a pack. Everything is synced. A crash leaves an unreferenced pack at worst.
class GitStore {
 public:
  static Result<GitStore> open(const std::string& path);  // made, bare, when missing
  GitStore(GitStore&&) noexcept;
  GitStore& operator=(GitStore&&) noexcept;
  ~GitStore();

  Result<GitId> put_blob(std::string_view bytes, std::string_view name_hint);
  Result<GitId> put_tree(std::vector<GitEntry> entries);  // any order
  Result<GitId> put_commit(const GitCommit& commit);
  std::size_t pending_objects() const;
  std::size_t pending_bytes() const;
  Result<void> write_pack();  // all pending objects; nothing when there are none

  Result<void> set_ref(const std::string& name, const GitId& commit);
  Result<void> set_head(const std::string& name);  // symbolic
  Result<std::optional<GitId>> ref(const std::string& name) const;
  // Of a packed commit: its entries at `folder` ("" for the root), and a file's content.
  Result<std::vector<GitEntry>> entries(const GitId& commit, const std::string& folder) const;
  Result<std::string> file(const GitId& commit, const std::string& path) const;

  Result<std::size_t> packs() const;
  // Merges the smallest packs until half of `most` are left, when there are more than `most`.
  Result<void> consolidate(std::size_t most);

 private:
  struct State;
  explicit GitStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coppice::archive
