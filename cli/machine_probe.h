// probe_machine: which of the pieces that runs can use are on this machine.
#pragma once

#include "cli/places.h"

#include <string>
#include <vector>

namespace coppice::cli {

struct Piece {
  std::string name;  // "host compiler"
  bool present = false;
  bool needed = false;  // nothing runs without it
  std::string found;    // version, path, count
  std::string costs;    // what does not work without it
  std::string remedy;   // a command, or a sentence
};

// Starts a compiler for its version and opens libraries; changes nothing.
std::vector<Piece> probe_machine(const Places& places, const std::string& archive);

}  // namespace coppice::cli
