// The table of rule mutators.
#include "mutators/table.h"

namespace coppice::mutators {

MutatorTable rule_mutators() {
  MutatorTable table;
  table.push_back(make_seed());
  table.push_back(make_axis_step());
  table.push_back(make_local_exhaustive());
  table.push_back(make_crossover());
  table.push_back(make_structural_switch());
  table.push_back(make_repair());
  table.push_back(make_jump());
  return table;
}

}  // namespace coppice::mutators
