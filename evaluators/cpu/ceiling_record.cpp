// Keeps measured ceilings in the cache folder.
#include "evaluators/cpu/ceiling_record.h"

#include "core/codec.h"
#include "core/digest.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace coppice::evaluators::cpu {
namespace {

constexpr int kRecordSchema = 2;
constexpr Nanoseconds kTrusted = std::chrono::hours(24);

CeilingRecord read_record(const CeilingSource& source) {
  if (source.folder.empty()) {
    return {};
  }
  const std::string path = source.path();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const auto json = Json::parse(text.str(), path);
  if (!json.ok()) {
    return {};
  }
  const auto record = ceiling_record(json->reader(path));
  return record.ok() ? *record : CeilingRecord();
}

void write_record(const CeilingSource& source, const CeilingRecord& record) {
  if (source.folder.empty()) {
    return;
  }
  const std::string path = source.path();
  const std::string temporary = fmt::format("{}.{}", path, ::getpid());
  std::ofstream(temporary) << to_json(record).dump() << "\n";
  std::rename(temporary.c_str(), path.c_str());
}

Nanoseconds wall_clock(const CeilingSource& source) {
  return source.now ? source.now()
                    : std::chrono::duration_cast<Nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch());
}

Ceilings better_of(const Ceilings& a, const Ceilings& b) {
  Ceilings out = a;
  out.read_one = std::max(a.read_one, b.read_one);
  out.read_all = std::max(a.read_all, b.read_all);
  out.f32_fma = std::max(a.f32_fma, b.f32_fma);
  out.f64_fma = std::max(a.f64_fma, b.f64_fma);
  return out;
}

}  // namespace

void CeilingRecord::add(const Entry& entry) {
  entries_.push_back(entry);
  if (entries_.size() > kMost) {
    entries_.erase(entries_.begin());
  }
}

Ceilings CeilingRecord::best() const {
  Ceilings out;
  for (const Entry& entry : entries_) {
    out = better_of(out, entry.ceilings);
  }
  return out;
}

bool CeilingRecord::due(Nanoseconds now) const {
  // A newest one from the future says that the clock was set back: then its age is unknown.
  return entries_.size() < kEnough || newest() > now || now - newest() > kTrusted;
}

Nanoseconds CeilingRecord::newest() const {
  return entries_.empty() ? Nanoseconds{} : entries_.back().at;
}

Json to_json(const CeilingRecord& record) {
  Json out = Json::object();
  out.set("schema", kRecordSchema);
  out.set("measured", Json::array_of(record.entries(), [](const CeilingRecord::Entry& entry) {
            Json item = Json::object();
            item.set("at_ns", entry.at.count()).set("ceilings", to_json(entry.ceilings));
            return item;
          }));
  return out;
}

Result<CeilingRecord> ceiling_record(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"schema", "measured"}));
  COPPICE_TRY(const JsonReader schema, json.at("schema"));
  COPPICE_TRY_VOID(schema.integer_in(kRecordSchema, kRecordSchema));
  COPPICE_TRY(const JsonReader list, json.at("measured"));
  COPPICE_TRY(const auto items, list.items());
  CeilingRecord out;
  for (const JsonReader& item : items) {
    CeilingRecord::Entry entry;
    COPPICE_TRY_VOID(item.only_keys({"at_ns", "ceilings"}));
    COPPICE_TRY(const JsonReader at, item.at("at_ns"));
    COPPICE_TRY(const std::int64_t ns, at.integer());
    entry.at = Nanoseconds{ns};
    COPPICE_TRY(const JsonReader rates, item.at("ceilings"));
    COPPICE_TRY(entry.ceilings, ceilings(rates));
    out.add(entry);
  }
  return out;
}

std::string CeilingSource::path() const {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  const std::string key =
      fmt::format("{} {} {} {}", host, machine.name, machine.cores, machine.l3_bytes);
  return folder + "/ceilings-" + sha256(key).hex().substr(0, 16) + ".json";
}

CeilingRecord look_up_ceilings(const CeilingSource& source, Measuring when) {
  CeilingRecord record = read_record(source);
  const Nanoseconds now = wall_clock(source);
  if (when == Measuring::now || record.due(now)) {
    record.add({now, source.measure(source.machine)});
    write_record(source, record);
  }
  return record;
}

void keep_ceilings(const CeilingSource& source, const Ceilings& measured) {
  CeilingRecord record = read_record(source);
  const Ceilings before = record.best();
  const bool better = measured.read_one > before.read_one || measured.read_all > before.read_all ||
                      measured.f32_fma > before.f32_fma || measured.f64_fma > before.f64_fma;
  if (better) {
    record.add({wall_clock(source), measured});
    write_record(source, record);
  }
}

}  // namespace coppice::evaluators::cpu
