// Reads and writes comparison.json.
#include "archive/comparison_file.h"

#include "archive/durable_file.h"
#include "core/json.h"

namespace coppice::archive {
namespace {

constexpr int kSchema = 2;
constexpr std::uint64_t kMaxBytes = 1ULL << 20U;

Json without_digest(std::uint64_t events,
                    const Digest& head,
                    const std::vector<ComparedRun>& compared) {
  Json out = Json::object();
  out.set("schema", kSchema).set("events", events).set("head", head.hex());
  out.set("compared", Json::array_of(compared, [](const ComparedRun& item) {
            Json json = Json::object();
            json.set("strategy", item.strategy).set("run", item.run).set("basis", item.basis);
            json.set("ratio", item.ratio ? Json(*item.ratio) : Json());
            json.set("head", item.head.hex());
            return json;
          }));
  return out;
}

Result<Digest> digest_at(const JsonReader& json, std::string_view key) {
  COPPICE_TRY(const JsonReader member, json.at(key));
  COPPICE_TRY(const std::string hex, member.text());
  return Digest::from_hex(hex);
}

Result<std::string> text_at(const JsonReader& json, std::string_view key) {
  COPPICE_TRY(const JsonReader member, json.at(key));
  return member.text();
}

Result<ComparedRun> read_item(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"strategy", "run", "basis", "ratio", "head"}));
  ComparedRun out;
  COPPICE_TRY(out.strategy, text_at(json, "strategy"));
  COPPICE_TRY(out.run, text_at(json, "run"));
  COPPICE_TRY(out.basis, text_at(json, "basis"));
  COPPICE_TRY(out.head, digest_at(json, "head"));
  if (const auto ratio = json.find("ratio")) {
    COPPICE_TRY(out.ratio, ratio->real());
  }
  return out;
}

// What the file says, and whether it says it about this log.
Result<std::vector<ComparedRun>> read_whole(const JsonReader& json, const ExperimentLog& log) {
  COPPICE_TRY_VOID(json.only_keys({"schema", "events", "head", "compared", "sha256"}));
  COPPICE_TRY(const JsonReader schema, json.at("schema"));
  COPPICE_TRY_VOID(schema.integer_in(kSchema, kSchema));
  COPPICE_TRY(const JsonReader count, json.at("events"));
  COPPICE_TRY(const std::uint64_t events, count.unsigned_integer());
  COPPICE_TRY(const Digest head, digest_at(json, "head"));
  COPPICE_TRY(const Digest digest, digest_at(json, "sha256"));
  COPPICE_TRY(const JsonReader list, json.at("compared"));
  COPPICE_TRY(const auto items, list.items());
  std::vector<ComparedRun> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(out.emplace_back(), read_item(item));
  }
  if (sha256(without_digest(events, head, out).dump()) != digest) {
    return json.complain("its text is not the one that its digest was taken of");
  }
  COPPICE_TRY(const std::uint64_t size, log.size());
  Digest found;
  if (events > 0 && events <= size) {
    COPPICE_TRY(const LogRow row, log.row(EventSeq{events}));
    found = row.chain;
  }
  if (found != head) {
    return json.complain("it belongs to another log (one whose event " + std::to_string(events) +
                         " has chain " + head.hex() + ")");
  }
  return out;
}

}  // namespace

Result<Digest> head_of(const ExperimentLog& log) {
  COPPICE_TRY(const std::uint64_t size, log.size());
  if (size == 0) {
    return Digest{};
  }
  COPPICE_TRY(const LogRow row, log.row(EventSeq{size}));
  return row.chain;
}

Result<void> write_comparison(const ExperimentLog& log, const std::vector<ComparedRun>& compared) {
  COPPICE_TRY(const std::uint64_t events, log.size());
  COPPICE_TRY(const Digest head, head_of(log));
  Json out = without_digest(events, head, compared);
  const Digest digest = sha256(out.dump());
  out.set("sha256", digest.hex());
  return replace_file(log.directory() + "/" + std::string(kComparisonFile), out.pretty() + "\n");
}

Result<std::vector<ComparedRun>> read_comparison(const ExperimentLog& log) {
  const std::string path = log.directory() + "/" + std::string(kComparisonFile);
  const Result<std::string> text = read_file(path, kMaxBytes);
  if (!text.ok() && text.error().code == ErrorCode::missing) {
    return std::vector<ComparedRun>();
  }
  COPPICE_TRY(const std::string bytes, text);
  const Result<Json> json = Json::parse(bytes, path);
  Result<std::vector<ComparedRun>> out = json.ok() ? read_whole(json->reader(path), log)
                                                   : Result<std::vector<ComparedRun>>(json.error());
  if (!out.ok()) {  // we wrote it, so a mistake in it is damage, not the user's configuration
    return Error{ErrorCode::corrupt,
                 out.error().message + "; the log does not need this file: remove it to go on"};
  }
  return out;
}

}  // namespace coppice::archive
