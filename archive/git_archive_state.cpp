// How far a git archive is, and which commit is which candidate.
#include "archive/git_archive_state.h"

#include <charconv>

namespace coppice::archive {

namespace {

// Lines "<candidate> TAB <commit> LF".
Result<void> read_batch(std::string_view text, std::unordered_map<CandidateId, GitId>& commits) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::size_t tab = std::min(line.find('\t'), line.size());
    CandidateId candidate;
    const auto parsed = std::from_chars(line.data(), line.data() + tab, candidate.value);
    if (parsed.ec != std::errc() || tab == line.size()) {
      return Error{ErrorCode::corrupt, "expected a candidate and a commit, found another line"};
    }
    COPPICE_TRY(const GitId commit, GitId::from_hex(line.substr(tab + 1)));
    commits.emplace(candidate, commit);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

Result<void> read_best(const JsonReader& json, GitArchiveState& state) {
  COPPICE_TRY(const auto members, json.members());
  for (const auto& [name, reader] : members) {
    GitBest best;
    COPPICE_TRY(const JsonReader candidate, reader.at("candidate"));
    COPPICE_TRY(best.candidate.value, candidate.unsigned_integer());
    COPPICE_TRY(const JsonReader cost, reader.at("log_cost"));
    COPPICE_TRY(best.log_cost, cost.real());
    COPPICE_TRY(const JsonReader level, reader.at("fidelity"));
    COPPICE_TRY(const std::string text, level.text());
    COPPICE_TRY(best.fidelity, fidelity(text));
    state.best[name] = best;
  }
  return {};
}

Result<void> read_state_json(const Json& json, GitArchiveState& state) {
  const JsonReader reader = json.reader("state.json");
  COPPICE_TRY(const JsonReader version, reader.at("v"));
  COPPICE_TRY(const std::int64_t v, version.integer());
  if (v != 1) {
    return Error{ErrorCode::environment,
                 "state.json: written by a newer coppice (version " + std::to_string(v) + ")"};
  }
  COPPICE_TRY(const JsonReader events, reader.at("events"));
  COPPICE_TRY(state.events, events.unsigned_integer());
  COPPICE_TRY(const JsonReader chain, reader.at("chain"));
  COPPICE_TRY(const std::string hex, chain.text());
  COPPICE_TRY(state.chain, Digest::from_hex(hex));
  COPPICE_TRY(const JsonReader candidates, reader.at("candidates"));
  COPPICE_TRY(state.candidates, candidates.unsigned_integer());
  COPPICE_TRY(const JsonReader open, reader.at("open"));
  COPPICE_TRY(const auto items, open.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(const std::uint64_t seq, item.unsigned_integer());
    state.open.push_back(seq);
  }
  COPPICE_TRY(const JsonReader best, reader.at("best"));
  return read_best(best, state);
}

}  // namespace

Json to_json(const GitArchiveState& state) {
  Json best = Json::object();
  for (const auto& [name, entry] : state.best) {
    best.set(name,
             Json::object()
                 .set("candidate", entry.candidate.value)
                 .set("fidelity", to_text(entry.fidelity))
                 .set("log_cost", entry.log_cost));
  }
  return Json::object()
      .set("v", 1)
      .set("events", state.events)
      .set("chain", state.chain.hex())
      .set("candidates", state.candidates)
      .set("open", Json::array_of(state.open, [](std::uint64_t seq) { return Json(seq); }))
      .set("best", std::move(best));
}

Result<GitArchiveState> read_git_state(const GitStore& store, const std::optional<GitId>& commit) {
  GitArchiveState state;
  if (!commit) {
    return state;
  }
  COPPICE_TRY(const std::string text, store.file(*commit, "state.json"));
  COPPICE_TRY(const Json json, Json::parse(text, "state.json"));
  COPPICE_TRY_VOID(read_state_json(json, state));
  COPPICE_TRY(state.batch_files, store.entries(*commit, "candidates"));
  for (const GitEntry& entry : state.batch_files) {
    COPPICE_TRY(const std::string lines, store.file(*commit, "candidates/" + entry.name));
    COPPICE_TRY_VOID(read_batch(lines, state.commits).within("candidates/" + entry.name));
  }
  state.batches = state.batch_files.size();
  if (state.commits.size() != state.candidates) {
    return Error{ErrorCode::corrupt,
                 "expected " + std::to_string(state.candidates) + " candidates, found " +
                     std::to_string(state.commits.size())};
  }
  return state;
}

}  // namespace coppice::archive
