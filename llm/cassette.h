// Cassette: recorded replies by request; re-used, and extended while recording.
#pragma once

#include "core/thread_safety.h"
#include "llm/provider.h"

#include <map>
#include <memory>
#include <string>

namespace coppice::llm {

// A file of lines, each {"v": 1, "call": <64 hex>, "model": ..., "reply": {...}} or, for a model
// that declined, {"v": 1, "call": ..., "refused": "..."}. Other failures are never recorded: they
// say nothing about the call. A line is written as one write and synced; a torn last line (the
// machine stopped in between) is dropped and, when recording, cut off.
class Cassette {
 public:
  // Errors: the file is not there (unless `create`), a line that is no record, two different
  // replies for one call; each with file and line.
  static Result<std::unique_ptr<Cassette>> open(const std::string& path, bool create);

  // The recorded outcome; nothing when there is none.
  std::optional<Outcome> find(const Digest& call) const;
  // Keeps a reply or refusal; other failures are ignored. Errors: the disk.
  Result<void> keep(const Call& call, const Outcome& outcome);
  std::size_t size() const;
  const std::string& path() const { return path_; }

 private:
  explicit Cassette(std::string path) : path_(std::move(path)) {}
  Result<void> load(const std::string& text);
  Result<void> load_line(std::string_view line, std::size_t number);
  std::string path_;
  mutable Mutex mutex_;
  std::map<Digest, Outcome> outcomes_ COPPICE_GUARDED_BY(mutex_);
};

// Answers from the cassette. `behind` (may be null) is asked for what is not there, and its answer
// kept; without it, that is a failure of kind `missing` that names the call and the file.
std::unique_ptr<Provider> cassette_provider(std::shared_ptr<Cassette> cassette,
                                            std::unique_ptr<Provider> behind);

}  // namespace coppice::llm
