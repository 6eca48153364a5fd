// Says what the device's counters and the memory checker found.
#include "cli/device_evidence.h"

namespace coppice::cli {
namespace {

std::string counter_lines(const HardwareCounters& counters, const std::string& indent) {
  std::string text;
  if (!counters.workloads.empty()) {
    text += indent + "counters (" + counters.source + "):\n";
  }
  for (const WorkloadCounters& one : counters.workloads) {
    text += indent + "  " + one.workload + ": " + text_of(one) + "\n";
  }
  if (!counters.unavailable.empty()) {
    text += indent + (counters.workloads.empty() ? "no counters: " : "more counters: ") +
            counters.unavailable + "\n";
  }
  return text;
}

std::string both_texts(const HardwareCounters* counters,
                       const MemoryCheck* check,
                       const std::string& indent) {
  std::string text = counters == nullptr ? std::string() : counter_lines(*counters, indent);
  if (check != nullptr) {
    text += indent + text_of(*check) + "\n";
  }
  return text;
}

}  // namespace

std::string device_evidence_text(const archive::RunFold& fold,
                                 CandidateId candidate,
                                 const std::string& indent) {
  const HardwareCounters* counters = nullptr;
  const MemoryCheck* check = nullptr;
  for (const archive::Attempt& attempt : fold.attempts()) {
    if (attempt.proposal.candidate == candidate && attempt.evidence) {
      const Evidence& evidence = *attempt.evidence;
      counters = evidence.counters ? &*evidence.counters : counters;
      check = evidence.memory_check ? &*evidence.memory_check : check;
    }
  }
  return both_texts(counters, check, indent);
}

std::string device_evidence_text(const Evidence& evidence, const std::string& indent) {
  return both_texts(evidence.counters ? &*evidence.counters : nullptr,
                    evidence.memory_check ? &*evidence.memory_check : nullptr,
                    indent);
}

}  // namespace coppice::cli
