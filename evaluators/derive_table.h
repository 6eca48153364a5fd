// What another device might have recorded of the same kernel: tables made from a recorded one, to
// test warm starts with.
#pragma once

#include "evaluators/recorded_table.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

// "sibling": a device of the same make. Slow-downs are stretched by a power, each level of each
// axis and some pairs of levels cost a little more or less than before (smoothly along ordered
// axes), each configuration differs by chance, some are missing, some fail where a rule of the
// other device forbids them. "cousin": the same, much stronger. "mirror": fast and slow exchanged.
// "shuffled": the same times in another order. "planted": as it was, but configurations with some
// level of two axes, none of them good, promise to be the fastest of all.
std::vector<std::string> derivation_names();

// The same arguments give the same bits everywhere. Errors: an unknown name; a table that keeps no
// valid configuration.
Result<RecordedTable> derive_table(const RecordedTable& table,
                                   std::string_view name,
                                   std::uint64_t instance);

}  // namespace coppice::evaluators
