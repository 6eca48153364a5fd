// GitStore: a bare git repository that is written in packs, by libgit2.
#include "archive/git_store.h"

#include "archive/durable_file.h"

#include <fmt/format.h>
#include <git2.h>
#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>
#include <git2/sys/repository.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace coppice::archive {

namespace git {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;

using Repository = Owned<git_repository, git_repository_free>;
using Odb = Owned<git_odb, git_odb_free>;
using PackBuilder = Owned<git_packbuilder, git_packbuilder_free>;
using Object = Owned<git_object, git_object_free>;
using TreeEntry = Owned<git_tree_entry, git_tree_entry_free>;

}  // namespace git

namespace {

using namespace git;

Error git_error(std::string_view path, std::string_view verb) {
  const ::git_error* last = git_error_last();
  return Error{ErrorCode::io,
               fmt::format("{}: cannot {}: {}",
                           path,
                           verb,
                           last != nullptr && last->message != nullptr ? last->message
                                                                       : "unknown git error")};
}

GitId id_of(const git_oid& oid) {
  GitId out;
  std::memcpy(out.bytes.data(), oid.id, out.bytes.size());
  return out;
}

git_oid oid_of(const GitId& id) {
  git_oid out{};
  std::memcpy(out.id, id.bytes.data(), id.bytes.size());
  return out;
}

// A repository handle that reads its objects from `odb` alone.
Result<Repository> over(const std::string& path, git_odb* odb) {
  git_repository* raw = nullptr;
  if (git_repository_open_bare(&raw, path.c_str()) != 0) {
    return git_error(path, "open");
  }
  Repository repository(raw);
  if (git_repository_set_odb(raw, odb) != 0) {
    return git_error(path, "open");
  }
  return repository;
}

Result<void> write_pack_of(git_repository* repository,
                           const std::vector<std::pair<git_oid, std::string>>& objects,
                           const std::string& folder,
                           std::string* name) {
  git_packbuilder* raw = nullptr;
  if (git_packbuilder_new(&raw, repository) != 0) {
    return git_error(folder, "write a pack");
  }
  const PackBuilder builder(raw);
  git_packbuilder_set_threads(raw, 0);  // as many as there are cores
  for (const auto& [oid, hint] : objects) {
    if (git_packbuilder_insert(raw, &oid, hint.empty() ? nullptr : hint.c_str()) != 0) {
      return git_error(folder, "write a pack");
    }
  }
  if (git_packbuilder_write(raw, folder.c_str(), 0444, nullptr, nullptr) != 0) {
    return git_error(folder, "write a pack");
  }
  if (name != nullptr) {
    *name = git_packbuilder_name(raw);
  }
  return sync_directory(folder);
}

int collect(const git_oid* oid, void* out) {
  static_cast<std::vector<std::pair<git_oid, std::string>>*>(out)->emplace_back(*oid, "");
  return 0;
}

}  // namespace

std::string GitId::hex() const {
  const git_oid oid = oid_of(*this);
  std::string out(GIT_OID_HEXSZ, '0');
  git_oid_fmt(out.data(), &oid);
  return out;
}

Result<GitId> GitId::from_hex(std::string_view text) {
  git_oid oid{};
  if (text.size() != GIT_OID_HEXSZ || git_oid_fromstrn(&oid, text.data(), text.size()) != 0) {
    return Error{ErrorCode::corrupt,
                 fmt::format("expected a git id of 40 characters, found \"{}\"", text)};
  }
  return id_of(oid);
}

struct GitStore::State {
  std::string path;
  Repository stored;  // the repository on disk: refs and reading
  Odb memory;         // only the in-memory backend: a write never looks at the disk
  git_odb_backend* mempack = nullptr;  // owned by `memory`
  Repository fresh;                    // handle over `memory`, for the pack builder
  std::vector<std::pair<git_oid, std::string>> pending;
  std::size_t pending_bytes = 0;

  State() { git_libgit2_init(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    fresh.reset();
    memory.reset();
    stored.reset();
    git_libgit2_shutdown();
  }
  std::string pack_folder() const { return path + "/objects/pack"; }
  Result<void> open_memory();
  Result<void> open_stored();
  Result<Object> at(const GitId& commit, const std::string& place) const;
  Result<GitId> put(std::string_view bytes, git_object_t type, std::string_view hint);
  Result<std::vector<std::pair<std::uint64_t, std::string>>> sized_packs() const;
  Result<void> merge(const std::vector<std::string>& names);
};

GitStore::GitStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
GitStore::GitStore(GitStore&&) noexcept = default;
GitStore& GitStore::operator=(GitStore&&) noexcept = default;
GitStore::~GitStore() = default;

Result<void> GitStore::State::open_stored() {
  git_repository* raw = nullptr;
  if (git_repository_open_bare(&raw, path.c_str()) != 0) {
    return git_error(path, "open");
  }
  stored.reset(raw);
  return {};
}

Result<void> GitStore::State::open_memory() {
  git_odb* odb = nullptr;
  if (git_odb_new(&odb) != 0) {
    return git_error(path, "open");
  }
  memory.reset(odb);
  if (git_mempack_new(&mempack) != 0 || git_odb_add_backend(odb, mempack, 1) != 0) {
    return git_error(path, "open");
  }
  COPPICE_TRY(fresh, over(path, odb));
  return {};
}

Result<GitStore> GitStore::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->path = path;
  // For the whole process, and what every user of libgit2 here wants.
  git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
  if (!exists(path + "/HEAD")) {
    git_repository* raw = nullptr;
    if (git_repository_init(&raw, path.c_str(), 1) != 0) {
      return git_error(path, "create");
    }
    state->stored.reset(raw);
    COPPICE_TRY_VOID(make_directories(state->pack_folder()));
  } else {
    COPPICE_TRY_VOID(state->open_stored());
  }
  COPPICE_TRY_VOID(state->open_memory());
  return GitStore(std::move(state));
}

Result<GitId> GitStore::State::put(std::string_view bytes,
                                   git_object_t type,
                                   std::string_view hint) {
  git_oid oid{};
  if (git_odb_hash(&oid, bytes.data(), bytes.size(), type) != 0) {
    return git_error(path, "hash");
  }
  if (git_odb_exists(memory.get(), &oid) == 0) {
    if (git_odb_write(&oid, memory.get(), bytes.data(), bytes.size(), type) != 0) {
      return git_error(path, "write");
    }
    pending.emplace_back(oid, std::string(hint));
    pending_bytes += bytes.size();
  }
  return id_of(oid);
}

Result<GitId> GitStore::put_blob(std::string_view bytes, std::string_view name_hint) {
  return state_->put(bytes, GIT_OBJECT_BLOB, name_hint);
}

Result<GitId> GitStore::put_tree(std::vector<GitEntry> entries) {
  // Git's order: names as bytes, folders as if they ended in "/".
  const auto key = [](const GitEntry& entry) {
    return entry.name + (entry.tree ? "/" : "");
  };
  std::ranges::sort(entries, {}, key);
  std::string bytes;
  for (const GitEntry& entry : entries) {
    bytes += entry.tree ? "40000 " : "100644 ";
    bytes += entry.name;
    bytes += '\0';
    bytes.append(reinterpret_cast<const char*>(entry.id.bytes.data()), entry.id.bytes.size());
  }
  return state_->put(bytes, GIT_OBJECT_TREE, "");
}

Result<GitId> GitStore::put_commit(const GitCommit& commit) {
  std::string text = "tree " + commit.tree.hex() + "\n";
  for (const GitId& parent : commit.parents) {
    text += "parent " + parent.hex() + "\n";
  }
  const std::string who = fmt::format("coppice <coppice@localhost> {} +0000\n", commit.seconds);
  text += "author " + who + "committer " + who + "\n" + commit.message;
  std::erase(text, '\0');  // git refuses it in commits
  return state_->put(text, GIT_OBJECT_COMMIT, "");
}

std::size_t GitStore::pending_objects() const {
  return state_->pending.size();
}

std::size_t GitStore::pending_bytes() const {
  return state_->pending_bytes;
}

Result<void> GitStore::write_pack() {
  State& s = *state_;
  if (s.pending.empty()) {
    return {};
  }
  COPPICE_TRY_VOID(write_pack_of(s.fresh.get(), s.pending, s.pack_folder(), nullptr));
  s.pending.clear();
  s.pending_bytes = 0;
  // A new in-memory store, too: libgit2's object cache would keep the old one's contents.
  s.fresh.reset();
  s.memory.reset();
  COPPICE_TRY_VOID(s.open_memory());
  git_odb* odb = nullptr;
  if (git_repository_odb(&odb, s.stored.get()) != 0) {
    return git_error(s.path, "open");
  }
  const Odb held(odb);
  return git_odb_refresh(odb) == 0 ? Result<void>() : git_error(s.path, "read the new pack");
}

Result<void> GitStore::set_ref(const std::string& name, const GitId& commit) {
  const git_oid oid = oid_of(commit);
  git_reference* raw = nullptr;
  if (git_reference_create(&raw, state_->stored.get(), name.c_str(), &oid, 1, nullptr) != 0) {
    return git_error(state_->path, "move " + name);
  }
  git_reference_free(raw);
  return {};
}

Result<void> GitStore::set_head(const std::string& name) {
  return git_repository_set_head(state_->stored.get(), name.c_str()) == 0
             ? Result<void>()
             : git_error(state_->path, "move HEAD");
}

Result<std::optional<GitId>> GitStore::ref(const std::string& name) const {
  git_oid oid{};
  const int code = git_reference_name_to_id(&oid, state_->stored.get(), name.c_str());
  if (code == GIT_ENOTFOUND) {
    return std::optional<GitId>();
  }
  if (code != 0) {
    return git_error(state_->path, "read " + name);
  }
  return std::optional<GitId>(id_of(oid));
}

// The object at a place in a commit's tree; the tree itself for "".
Result<Object> GitStore::State::at(const GitId& commit, const std::string& place) const {
  const git_oid oid = oid_of(commit);
  git_object* raw = nullptr;
  if (git_object_lookup(&raw, stored.get(), &oid, GIT_OBJECT_COMMIT) != 0) {
    return git_error(path, "read commit " + commit.hex());
  }
  const Object held(raw);
  git_object* found = nullptr;
  const int code = place.empty()
                       ? git_object_peel(&found, raw, GIT_OBJECT_TREE)
                       : git_object_lookup_bypath(&found, raw, place.c_str(), GIT_OBJECT_ANY);
  if (code != 0) {
    return git_error(path, "read " + place + " in " + commit.hex());
  }
  return Object(found);
}

Result<std::vector<GitEntry>> GitStore::entries(const GitId& commit,
                                                const std::string& folder) const {
  COPPICE_TRY(const Object object, state_->at(commit, folder));
  if (git_object_type(object.get()) != GIT_OBJECT_TREE) {
    return Error{ErrorCode::corrupt, state_->path + ": " + folder + ": expected a folder"};
  }
  const auto* tree = reinterpret_cast<const git_tree*>(object.get());
  std::vector<GitEntry> out;
  for (std::size_t i = 0; i < git_tree_entrycount(tree); ++i) {
    const git_tree_entry* entry = git_tree_entry_byindex(tree, i);
    out.push_back({git_tree_entry_name(entry),
                   id_of(*git_tree_entry_id(entry)),
                   git_tree_entry_type(entry) == GIT_OBJECT_TREE});
  }
  return out;
}

Result<std::string> GitStore::file(const GitId& commit, const std::string& path) const {
  COPPICE_TRY(const Object object, state_->at(commit, path));
  if (git_object_type(object.get()) != GIT_OBJECT_BLOB) {
    return Error{ErrorCode::corrupt, state_->path + ": " + path + ": expected a file"};
  }
  const auto* blob = reinterpret_cast<const git_blob*>(object.get());
  return std::string(static_cast<const char*>(git_blob_rawcontent(blob)),
                     static_cast<std::size_t>(git_blob_rawsize(blob)));
}

// Size and name ("pack-<hash>") of each pack that has an index, smallest first.
Result<std::vector<std::pair<std::uint64_t, std::string>>> GitStore::State::sized_packs() const {
  COPPICE_TRY(const auto names, list_directory(pack_folder()));
  std::vector<std::pair<std::uint64_t, std::string>> out;
  for (const std::string& name : names) {
    if (name.ends_with(".idx")) {
      const std::string stem = name.substr(0, name.size() - 4);
      COPPICE_TRY(const std::uint64_t size, file_size(pack_folder() + "/" + stem + ".pack"));
      out.emplace_back(size, stem);
    }
  }
  std::ranges::sort(out);
  return out;
}

Result<std::size_t> GitStore::packs() const {
  COPPICE_TRY(const auto packs, state_->sized_packs());
  return packs.size();
}

Result<void> GitStore::State::merge(const std::vector<std::string>& names) {
  git_odb* raw = nullptr;
  if (git_odb_new(&raw) != 0) {
    return git_error(path, "merge packs");
  }
  const Odb odb(raw);
  for (const std::string& name : names) {
    git_odb_backend* backend = nullptr;
    const std::string index = pack_folder() + "/" + name + ".idx";
    if (git_odb_backend_one_pack(&backend, index.c_str()) != 0 ||
        git_odb_add_backend(raw, backend, 1) != 0) {
      return git_error(index, "open");
    }
  }
  std::vector<std::pair<git_oid, std::string>> objects;
  if (git_odb_foreach(raw, collect, &objects) != 0) {
    return git_error(path, "list packs");
  }
  COPPICE_TRY(const Repository repository, over(path, raw));
  std::string merged;
  COPPICE_TRY_VOID(write_pack_of(repository.get(), objects, pack_folder(), &merged));
  for (const std::string& name : names) {
    // The index goes first: a pack without one is not looked at.
    for (const char* ending : {".idx", ".pack"}) {
      const std::string file = pack_folder() + "/" + name + ending;
      if (name != "pack-" + merged && ::unlink(file.c_str()) != 0) {
        return system_error(file, "remove", errno);
      }
    }
  }
  return sync_directory(pack_folder());
}

Result<void> GitStore::consolidate(std::size_t most) {
  COPPICE_TRY(const auto packs, state_->sized_packs());
  if (packs.size() <= most) {
    return {};
  }
  const std::size_t merged = packs.size() - most / 2 + 1;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(merged, packs.size()); ++i) {
    names.push_back(packs[i].second);
  }
  COPPICE_TRY_VOID(state_->merge(names));
  return state_->open_stored();  // with no handle on a pack that is gone
}

}  // namespace coppice::archive
