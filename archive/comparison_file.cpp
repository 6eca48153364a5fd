// Reads and writes comparison.json.
#include "archive/comparison_file.h"

#include "archive/durable_file.h"
#include "core/json.h"

namespace coppice::archive {
namespace {

constexpr int kSchema = 3;
constexpr int kFirstSchema = 2;
constexpr std::uint64_t kMaxBytes = 1ULL << 20U;

Json number_or_null(const std::optional<std::int64_t>& number) {
  return number ? Json(*number) : Json();
}

void set_attempts(Json& json, const ComparedRun& item) {
  json.set("attempts", item.attempts).set("best_after", number_or_null(item.best_after));
  json.set("as_good_after", number_or_null(item.as_good_after));
  json.set("workloads", Json::array_of(item.workloads, [](const ComparedWorkload& one) {
             return Json::object().set("workload", one.workload).set("ratio", one.ratio);
           }));
}

Json without_digest(std::int64_t schema,
                    std::uint64_t events,
                    const Digest& head,
                    const std::vector<ComparedRun>& compared) {
  Json out = Json::object();
  out.set("schema", schema).set("events", events).set("head", head.hex());
  out.set("compared", Json::array_of(compared, [&](const ComparedRun& item) {
            Json json = Json::object();
            json.set("strategy", item.strategy).set("run", item.run).set("basis", item.basis);
            json.set("ratio", item.ratio ? Json(*item.ratio) : Json());
            json.set("head", item.head.hex());
            if (schema > kFirstSchema) {
              set_attempts(json, item);
            }
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

Result<std::optional<std::int64_t>> count_at(const JsonReader& json, std::string_view key) {
  const auto member = json.find(key);
  if (!member) {
    return std::optional<std::int64_t>();
  }
  COPPICE_TRY(const std::int64_t count, member->integer());
  return std::optional<std::int64_t>(count);
}

Result<void> read_attempts(const JsonReader& json, ComparedRun& into) {
  COPPICE_TRY(into.attempts, json.integer_or("attempts", 0));
  COPPICE_TRY(into.best_after, count_at(json, "best_after"));
  COPPICE_TRY(into.as_good_after, count_at(json, "as_good_after"));
  COPPICE_TRY(const JsonReader list, json.at("workloads"));
  COPPICE_TRY(const auto items, list.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY_VOID(item.only_keys({"workload", "ratio"}));
    ComparedWorkload one;
    COPPICE_TRY(one.workload, text_at(item, "workload"));
    COPPICE_TRY(const JsonReader ratio, item.at("ratio"));
    COPPICE_TRY(one.ratio, ratio.real());
    into.workloads.push_back(std::move(one));
  }
  return {};
}

Result<ComparedRun> read_item(std::int64_t number, const JsonReader& json) {
  if (number == kFirstSchema) {
    COPPICE_TRY_VOID(json.only_keys({"strategy", "run", "basis", "ratio", "head"}));
  } else {
    COPPICE_TRY_VOID(json.only_keys({"strategy",
                                     "run",
                                     "basis",
                                     "ratio",
                                     "head",
                                     "attempts",
                                     "best_after",
                                     "as_good_after",
                                     "workloads"}));
  }
  ComparedRun out;
  COPPICE_TRY(out.strategy, text_at(json, "strategy"));
  COPPICE_TRY(out.run, text_at(json, "run"));
  COPPICE_TRY(out.basis, text_at(json, "basis"));
  COPPICE_TRY(out.head, digest_at(json, "head"));
  if (const auto ratio = json.find("ratio")) {
    COPPICE_TRY(out.ratio, ratio->real());
  }
  if (number != kFirstSchema) {
    COPPICE_TRY_VOID(read_attempts(json, out));
  }
  return out;
}

// What the file says, and whether it says it about this log.
Result<std::vector<ComparedRun>> read_whole(const JsonReader& json, const ExperimentLog& log) {
  COPPICE_TRY_VOID(json.only_keys({"schema", "events", "head", "compared", "sha256"}));
  COPPICE_TRY(const JsonReader schema, json.at("schema"));
  COPPICE_TRY(const std::int64_t number, schema.integer_in(kFirstSchema, kSchema));
  COPPICE_TRY(const JsonReader count, json.at("events"));
  COPPICE_TRY(const std::uint64_t events, count.unsigned_integer());
  COPPICE_TRY(const Digest head, digest_at(json, "head"));
  COPPICE_TRY(const Digest digest, digest_at(json, "sha256"));
  COPPICE_TRY(const JsonReader list, json.at("compared"));
  COPPICE_TRY(const auto items, list.items());
  std::vector<ComparedRun> out;
  for (const JsonReader& item : items) {
    COPPICE_TRY(out.emplace_back(), read_item(number, item));
  }
  if (sha256(without_digest(number, events, head, out).dump()) != digest) {
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
  Json out = without_digest(kSchema, events, head, compared);
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
