// A process that runs a library's version of the operation: trusted code, launched, timed and
// frozen in the same way as a candidate.
#pragma once

namespace coppice::evaluators::cpu {

// Serves one agent on a socket (hidden subcommand "baseline"):
//   open  session, threads; attachment: the compiled baseline
//   add   workload, layout, slot origin; descriptors: inputs, outputs -> set up, not yet run
//   serve descriptor: control block. No answer; from then on only the doorbell counts.
int run_baseline(int socket);

}  // namespace coppice::evaluators::cpu
