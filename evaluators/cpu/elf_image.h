// A candidate's shared object, read as untrusted bytes: what gate 5 inspects and the loader maps.
#pragma once

#include "core/evidence.h"
#include "core/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cpu {

struct ElfSegment {
  std::uint64_t address = 0, memory_bytes = 0, file_offset = 0, file_bytes = 0;
  bool readable = false, writable = false, executable = false;
};
struct ElfSymbol {
  std::string name;
  std::uint64_t address = 0;
  bool defined = false;
};
struct ElfRelocation {
  std::uint64_t address = 0;
  std::uint32_t type = 0;
  std::uint32_t symbol = 0;
  std::int64_t addend = 0;
};
struct ElfSection {
  std::string name;
  std::uint64_t bytes = 0;
  bool writable = false;
};

struct ElfImage {
  std::vector<ElfSegment> segments;
  std::vector<ElfSymbol> symbols;  // dynamic ones; index 0 is the null symbol
  std::vector<ElfRelocation> relocations;
  std::vector<ElfSection> sections;  // allocated ones
  std::uint64_t span = 0;            // bytes from address 0 to the end of the last segment
  bool constructors = false, thread_storage = false, text_relocations = false,
       needs_libraries = false;
};

// ELF64, little-endian, shared object, this machine's architecture. Every offset is checked.
Result<ElfImage> read_elf(std::string_view bytes);

// Gate 5: nothing when the binary may be loaded.
std::optional<Verdict> check_binary(std::string_view bytes,
                                    const std::vector<std::string>& entries);

// Imports that a kernel may have: a few memory functions and libm. The address is null when this
// process does not have it; `allowed_import` alone decides whether it may be asked for.
bool allowed_import(std::string_view name);
const void* import_address(const std::string& name);

}  // namespace coppice::evaluators::cpu
