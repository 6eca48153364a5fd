// The cassette's file, and the provider that plays from it.
#include "llm/cassette.h"

#include "core/codec.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace coppice::llm {
namespace {

Error disk_error(const std::string& path, std::string_view what) {
  return Error{ErrorCode::io, fmt::format("{}: {}: {}", path, what, std::strerror(errno))};
}

std::string cassette_line(const Call& call, const Outcome& outcome) {
  Json json = Json::object();
  json.set("v", 1).set("call", call.identity().hex()).set("model", call.model);
  if (const Reply* reply = std::get_if<Reply>(&outcome)) {
    json.set("reply", to_json(*reply));
  } else {
    json.set("refused", std::get<Failure>(outcome).message);
  }
  return json.dump() + "\n";
}

// The outcome's own bytes, to compare two records of one call.
std::string cassette_bytes(const Outcome& outcome) {
  const Reply* reply = std::get_if<Reply>(&outcome);
  return reply ? reply->text : std::get<Failure>(outcome).message;
}

Result<void> append_line(const std::string& path, const std::string& line) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    return disk_error(path, "open");
  }
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = ::write(file, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      const Error error = disk_error(path, "write");
      ::close(file);
      return error;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  const bool synced = ::fdatasync(file) == 0;
  const Error error = disk_error(path, "sync");
  ::close(file);
  return synced ? Result<void>() : Result<void>(error);
}

class CassetteProvider final : public Provider {
 public:
  CassetteProvider(std::shared_ptr<Cassette> cassette, std::unique_ptr<Provider> behind)
      : Provider(Secrets()), cassette_(std::move(cassette)), behind_(std::move(behind)) {}

 protected:
  Outcome attempt(const Call& call, const std::stop_token& stop) override {
    const Digest key = call.identity();
    if (auto known = cassette_->find(key)) {
      return *std::move(known);
    }
    if (!behind_) {
      return Failure{.kind = FailureKind::missing,
                     .message = fmt::format("{}: no reply recorded for call {} (model {}); {} are",
                                            cassette_->path(),
                                            key.hex(),
                                            call.model,
                                            cassette_->size())};
    }
    Outcome outcome = behind_->send(call, stop);
    if (const auto kept = cassette_->keep(call, outcome); !kept.ok()) {
      // A run whose replies are not kept could not be repeated: that is a failure, not a warning.
      return Failure{.kind = FailureKind::bad_request, .message = kept.error().message};
    }
    // When two asked at once, both take the answer that was recorded.
    return cassette_->find(key).value_or(std::move(outcome));
  }

 private:
  std::shared_ptr<Cassette> cassette_;
  std::unique_ptr<Provider> behind_;
};

}  // namespace

Result<std::unique_ptr<Cassette>> Cassette::open(const std::string& path, bool create) {
  std::unique_ptr<Cassette> out(new Cassette(path));
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (create && ::access(path.c_str(), F_OK) != 0) {
      COPPICE_TRY_VOID(append_line(path, ""));
      return out;
    }
    return Error{ErrorCode::missing, fmt::format("{}: {}", path, std::strerror(errno))};
  }
  std::string text(std::istreambuf_iterator<char>(file), {});
  const std::size_t whole = text.rfind('\n') + 1;  // npos + 1 == 0
  if (whole < text.size()) {
    text.resize(whole);
    if (create && ::truncate(path.c_str(), static_cast<off_t>(whole)) != 0) {
      return disk_error(path, "cut off a torn line");
    }
  }
  COPPICE_TRY_VOID(out->load(text));
  return out;
}

Result<void> Cassette::load(const std::string& text) {
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    COPPICE_TRY_VOID(load_line(std::string_view(text).substr(at, end - at), ++number));
    at = end + 1;
  }
  return {};
}

Result<void> Cassette::load_line(std::string_view line, std::size_t number) {
  if (line.empty()) {
    return {};
  }
  const std::string place = fmt::format("{}:{}", path_, number);
  COPPICE_TRY(const Json json, Json::parse(line, place));
  const JsonReader root = json.reader(place);
  int version = 0;
  Digest call;
  std::string model;
  std::string refused;
  Json recorded;
  Fields fields(root, {"v", "call", "model", "reply", "refused"});
  fields.need("v", version)
      .need("call", call)
      .maybe("model", model)
      .maybe("reply", recorded)
      .maybe("refused", refused);
  COPPICE_TRY_VOID(fields.done(0).ok() ? Result<void>() : Result<void>(fields.done(0).error()));
  if (version != 1) {
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: expected version 1, found {}", place, version)};
  }
  Outcome outcome = Failure{.kind = FailureKind::refused, .message = refused};
  if (const auto at = root.find("reply")) {
    COPPICE_TRY(outcome, reply(*at));
  } else if (!root.find("refused")) {
    return root.complain("expected reply or refused, found neither");
  }
  const MutexLock lock(mutex_);
  const auto [known, fresh] = outcomes_.emplace(call, outcome);
  if (!fresh && cassette_bytes(known->second) != cassette_bytes(outcome)) {
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: another reply for call {} stands above", place, call.hex())};
  }
  return {};
}

std::optional<Outcome> Cassette::find(const Digest& call) const {
  const MutexLock lock(mutex_);
  const auto found = outcomes_.find(call);
  return found == outcomes_.end() ? std::nullopt : std::optional<Outcome>(found->second);
}

Result<void> Cassette::keep(const Call& call, const Outcome& outcome) {
  const Failure* failure = std::get_if<Failure>(&outcome);
  if (failure && failure->kind != FailureKind::refused) {
    return {};
  }
  const MutexLock lock(mutex_);
  if (!outcomes_.emplace(call.identity(), outcome).second) {
    return {};  // two asked at once: the first answer stays
  }
  return append_line(path_, cassette_line(call, outcome));
}

std::size_t Cassette::size() const {
  const MutexLock lock(mutex_);
  return outcomes_.size();
}

std::unique_ptr<Provider> cassette_provider(std::shared_ptr<Cassette> cassette,
                                            std::unique_ptr<Provider> behind) {
  return std::make_unique<CassetteProvider>(std::move(cassette), std::move(behind));
}

}  // namespace coppice::llm
