// The table of rule mutators; adding one is one file and one line in table.cpp.
#pragma once

#include "mutators/mutator.h"

#include <memory>

namespace coppice::mutators {

std::unique_ptr<Mutator> make_seed();               // the template's default under the node
std::unique_ptr<Mutator> make_axis_step();          // one axis of an elite, one level on
std::unique_ptr<Mutator> make_jump();               // anywhere under the node
std::unique_ptr<Mutator> make_crossover();          // levels of two elites, mixed
std::unique_ptr<Mutator> make_structural_switch();  // an elite under another structural choice
std::unique_ptr<Mutator> make_repair();             // the nearest way round a failure
std::unique_ptr<Mutator> make_local_exhaustive();   // every single-axis change of the incumbent

// All of them; the order is part of the engine's decisions.
MutatorTable rule_mutators();

}  // namespace coppice::mutators
