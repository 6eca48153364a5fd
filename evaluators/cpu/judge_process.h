// The judge: draws values, computes what is right, compares. It never loads candidate code and is
// the only process that knows seeds and expected outputs.
#pragma once

namespace coppice::evaluators::cpu {

// Serves one agent on a socket (hidden subcommand "judge") until it is closed. Calls:
//   open    session; attachment: the compiled reference  -> per workload: scalars
//   pool    workload, entries; descriptor: memory for entries and structure tensors
//   outputs workload; descriptor: the output ring
//   draw    workload, entry, case, seed  -> seconds of fill and reference
//   compare workload, entry, origin, places, precision, poison -> comparison per output
int run_judge(int socket);

}  // namespace coppice::evaluators::cpu
