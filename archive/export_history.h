// Exports that need only events: history.jsonl, one line an attempt; memory.json, what the run
// learned.
#pragma once

#include "archive/candidate_source.h"
#include "archive/run_fold.h"

#include <functional>
#include <string>
#include <string_view>

namespace coppice::archive {

// One attempt: who it was, where it came from, what was expected, what came out, what it cost.
// {"v":1,"attempt":..,"candidate":..,"parents":[..],"mutator":..,"node":..,"fidelity":..,
//  "template":..,"axes":{..},"levels":[..],"source":digest,"why":..,"prediction":{..},
//  "state":"done|in_flight|lost","precision":..,"verdict":{valid,gate,failure,message},
//  "performance":{baseline,speedup,speedup_low,speedup_high,sol_score,log_cost,log_noise,
//  workloads:[{workload,median_ns,baseline_ns,speedup,samples}]},"error":..,
//  "cost":{compile_ns,device_ns,llm_ns,llm_tokens,money},"at_seconds":..,"improved":..,
//  "events":[proposed,evaluated]}; members that would say nothing are left out.
Json history_line(const Attempt& attempt, const CandidateSource& source);

using TextSink = std::function<Result<void>(std::string_view)>;
// All attempts in the order of proposal; the sink gets whole lines.
Result<void> export_history(const RunFold& fold,
                            const CandidateSource& source,
                            const TextSink& sink);
// Streams into `path`; the old file stays until the new one is whole.
Result<void> write_history(const RunFold& fold,
                           const CandidateSource& source,
                           const std::string& path);

// {"v":1,"run":..,"best":[per class: candidate, attempt, fidelity, speedup, log_cost, axes..],
//  "templates":[{template, attempts, valid, best_log_cost}],
//  "levels":[{template, axis, level, attempts, valid, best_log_cost, failures:{class: n}}],
//  "dead_ends":[levels tried at least `kDeadAfter` times and never valid: .., shown_by:[attempts]],
//  "rejected":[{gate, failure, count, shown_by:[attempts]}],"pruned":[{node,title,reason}]}
// Search fidelity only, but for "best". Infrastructure failures are nobody's fault and not counted.
Json memory_of(const RunFold& fold, const CandidateSource& source);
inline constexpr std::int64_t kDeadAfter = 3;

}  // namespace coppice::archive
