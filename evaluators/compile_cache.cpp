// One file an entry, written aside and renamed; checked by digest when read.

#include "evaluators/compile_cache.h"

#include "core/codec.h"
#include "evaluators/child.h"
#include "evaluators/wire.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace coppice::evaluators {
namespace {

namespace fs = std::filesystem;

std::string path_of(const std::string& folder, const Digest& key) {
  const std::string hex = key.hex();
  return folder + "/" + hex.substr(0, 2) + "/" + hex;
}

void field(std::string& out, std::string_view text) {
  out += fmt::format("{}:", text.size());
  out += text;
}

class CachedToolchain final : public Toolchain {
 public:
  CachedToolchain(std::unique_ptr<Toolchain> inner, std::string folder)
      : inner_(std::move(inner)), folder_(std::move(folder)) {}
  std::string version() const override { return inner_->version(); }
  Result<Compiled> compile(const CompileJob& job, std::stop_token stop) override {
    const Nanoseconds start = steady_now();
    const Digest key = cache_key(job, inner_->version());
    if (auto kept = read_cache(folder_, key)) {
      kept->elapsed = steady_now() - start;
      return std::move(*kept);
    }
    auto fresh = inner_->compile(job, std::move(stop));
    if (fresh.ok()) {
      write_cache(folder_, key, *fresh);
    }
    return fresh;
  }

 private:
  std::unique_ptr<Toolchain> inner_;
  std::string folder_;
};

}  // namespace

Digest cache_key(const CompileJob& job, const std::string& version) {
  std::string text = "coppice compile 1\n";
  field(text, version);
  field(text, job.source_name);
  field(text, job.source);
  for (const std::string& flag : job.flags) {
    field(text, flag);
  }
  for (const auto& [name, header] : job.headers) {
    field(text, name);
    field(text, header);
  }
  return sha256(text);
}

std::optional<Compiled> read_cache(const std::string& folder, const Digest& key) {
  if (folder.empty()) {
    return std::nullopt;
  }
  const std::string path = path_of(folder, key);
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::nullopt;
  }
  std::stringstream bytes;
  bytes << file.rdbuf();
  FrameDecoder decoder;
  std::uint32_t descriptors = 0;
  const bool fed = decoder.feed(bytes.str()).ok();
  std::optional<Message> message = fed ? decoder.take(descriptors) : std::nullopt;
  Compiled out;
  Digest digest;
  std::string failure;
  bool good = message && message->attachments.size() == 1;
  if (good) {
    const JsonReader json = message->json.reader(path);
    Fields fields(json, {"binary", "failure", "message", "log"});
    fields.need("binary", digest).need("failure", failure).need("message", out.message);
    good = fields.need("log", out.log).done(true).ok();
  }
  if (good) {
    const auto named = failure_class(failure);
    good = named.ok() && sha256(message->attachments.front()) == digest;
    out.failure = named.ok() ? *named : FailureClass::none;
  }
  if (!good) {
    std::error_code error;
    fs::remove(path, error);
    return std::nullopt;
  }
  out.binary = std::move(message->attachments.front());
  out.cached = true;
  return out;
}

void write_cache(const std::string& folder, const Digest& key, const Compiled& compiled) {
  if (folder.empty() ||
      (compiled.failure != FailureClass::none && compiled.failure != FailureClass::compile_error)) {
    return;
  }
  static std::atomic<std::uint64_t> counter{0};
  const std::string path = path_of(folder, key);
  const std::string temporary = fmt::format("{}.{}.{}", path, ::getpid(), counter.fetch_add(1));
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  Message message;
  message.json.set("binary", sha256(compiled.binary).hex());
  message.json.set("failure", to_text(compiled.failure)).set("message", compiled.message);
  message.json.set("log", compiled.log);
  message.attachments.push_back(compiled.binary);
  const std::string frame = encode_frame(message);
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(frame.data(), static_cast<std::streamsize>(frame.size()));
    if (!file.flush()) {
      file.close();
      fs::remove(temporary, error);
      return;
    }
  }
  fs::rename(temporary, path, error);
  if (error) {
    fs::remove(temporary, error);
  }
}

std::unique_ptr<Toolchain> cached(std::unique_ptr<Toolchain> inner, std::string folder) {
  if (folder.empty()) {
    return inner;
  }
  return std::make_unique<CachedToolchain>(std::move(inner), std::move(folder));
}

}  // namespace coppice::evaluators
