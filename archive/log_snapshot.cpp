// ExperimentLog::snapshot: a consistent copy of a log while its writer goes on.
#include "archive/experiment_log.h"
#include "archive/log_state.h"

#include <fcntl.h>

namespace coppice::archive {

namespace {

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') {
      out += c;
    }
  }
  return out + "'";
}

Result<void> sync_path(const std::string& path) {
  COPPICE_TRY(FileDescriptor file, FileDescriptor::open(path, O_RDONLY));
  return sync_file(file, path);
}

}  // namespace

Result<ChainStatus> ExperimentLog::snapshot(const std::string& directory) const {
  COPPICE_TRY_VOID(make_directories(directory));
  COPPICE_TRY(const auto present, list_directory(directory));
  if (!present.empty()) {
    return Error{ErrorCode::config, directory + ": expected an empty folder, found " + present[0]};
  }
  const std::string log = directory + "/" + std::string(kLogFile);
  const std::string checkpoints = directory + "/" + std::string(kCheckpointsFile);
  // Checkpoints before rows, so that none of them knows more than the copy.
  COPPICE_TRY(const auto known, read_checkpoints(state_->path(kCheckpointsFile)));
  COPPICE_TRY_VOID(state_->database->run("VACUUM INTO " + sql_text(log)));
  COPPICE_TRY_VOID(CheckpointFile::create(checkpoints));
  {
    COPPICE_TRY(CheckpointFile file, CheckpointFile::open(checkpoints));
    for (const Checkpoint& checkpoint : known) {
      COPPICE_TRY_VOID(file.append(checkpoint, false));
    }
    COPPICE_TRY(Database copy, open_log_for_reading(log));
    State last;
    last.database.emplace(std::move(copy));
    COPPICE_TRY(const std::uint64_t count, State::count(last));
    COPPICE_TRY(const Digest head, last.chain_at(count));
    if (known.empty() || known.back().count < count) {
      COPPICE_TRY_VOID(file.append({count, head, state_->options.wall_clock()}, false));
    }
    COPPICE_TRY_VOID(file.sync());
  }
  COPPICE_TRY_VOID(sync_path(log));
  COPPICE_TRY_VOID(sync_directory(directory));
  COPPICE_TRY(ExperimentLog copy, ExperimentLog::open(directory, Mode::read));
  return copy.verify();
}

}  // namespace coppice::archive
