// A dynamic linker of a hundred lines: four relocation types, no constructors, no writable pages.

#include "evaluators/cpu/kernel_loader.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

#if defined(__aarch64__)
constexpr std::uint32_t kRelative = R_AARCH64_RELATIVE;
constexpr std::uint32_t kGlobal = R_AARCH64_GLOB_DAT;
constexpr std::uint32_t kJump = R_AARCH64_JUMP_SLOT;
constexpr std::uint32_t kAbsolute = R_AARCH64_ABS64;
#else
constexpr std::uint32_t kRelative = R_X86_64_RELATIVE;
constexpr std::uint32_t kGlobal = R_X86_64_GLOB_DAT;
constexpr std::uint32_t kJump = R_X86_64_JUMP_SLOT;
constexpr std::uint32_t kAbsolute = R_X86_64_64;
#endif
constexpr std::uint64_t kPage = 65536;  // the largest page size of our architectures

Error broken(std::string what) {
  return {ErrorCode::corrupt, "load: " + std::move(what)};
}

Result<std::uint64_t> symbol_address(const ElfImage& image,
                                     const ImportTable& imports,
                                     std::uint32_t index,
                                     const char* base) {
  const ElfSymbol& symbol = image.symbols[index];
  if (symbol.defined) {
    return reinterpret_cast<std::uint64_t>(base) + symbol.address;
  }
  const auto found = imports.find(symbol.name);
  if (found == imports.end()) {
    return broken(fmt::format("symbol '{}' is not allowed", symbol.name));
  }
  return reinterpret_cast<std::uint64_t>(found->second);
}

Result<void> relocate(const ElfImage& image, const ImportTable& imports, char* base) {
  for (const ElfRelocation& r : image.relocations) {
    std::uint64_t value = 0;
    if (r.type == kRelative) {
      value = reinterpret_cast<std::uint64_t>(base) + static_cast<std::uint64_t>(r.addend);
    } else if (r.type == kGlobal || r.type == kJump || r.type == kAbsolute) {
      COPPICE_TRY(value, symbol_address(image, imports, r.symbol, base));
      value += r.type == kAbsolute ? static_cast<std::uint64_t>(r.addend) : 0;
    } else {
      return broken(fmt::format("relocation type {} is not allowed", r.type));
    }
    std::memcpy(base + r.address, &value, sizeof value);
  }
  return {};
}

}  // namespace

Result<ImportTable> import_table(const ElfImage& image) {
  ImportTable out;
  for (std::size_t i = 1; i < image.symbols.size(); ++i) {
    const ElfSymbol& symbol = image.symbols[i];
    if (symbol.defined || symbol.name.empty()) {
      continue;
    }
    const void* address = import_address(symbol.name);
    if (address == nullptr) {
      return broken(fmt::format("symbol '{}' is not available", symbol.name));
    }
    out.emplace(symbol.name, address);
  }
  return out;
}

Result<std::map<std::string, KernelEntry, std::less<>>> map_image(
    std::string_view bytes,
    const ElfImage& image,
    const ImportTable& imports,
    const std::vector<std::string>& entries) {
  const std::uint64_t span = (image.span + kPage - 1) / kPage * kPage;
  void* area = ::mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) {
    return broken("no memory");
  }
  char* base = static_cast<char*>(area);
  for (const ElfSegment& s : image.segments) {
    std::memcpy(base + s.address, bytes.data() + s.file_offset, s.file_bytes);
  }
  COPPICE_TRY_VOID(relocate(image, imports, base));
  ::mprotect(base, span, PROT_READ);
  const std::uint64_t step = 4096;
  for (const ElfSegment& s : image.segments) {
    if (s.executable) {
      const std::uint64_t first = s.address / step * step;
      ::mprotect(base + first, s.address + s.memory_bytes - first, PROT_READ | PROT_EXEC);
    }
  }
  __builtin___clear_cache(base, base + span);
  std::map<std::string, KernelEntry, std::less<>> out;
  for (std::size_t i = 1; i < image.symbols.size(); ++i) {
    const ElfSymbol& symbol = image.symbols[i];
    if (symbol.defined && symbol.address < image.span) {
      for (const std::string& entry : entries) {
        if (entry == symbol.name) {
          out.emplace(entry, reinterpret_cast<KernelEntry>(base + symbol.address));
        }
      }
    }
  }
  return out;
}

}  // namespace coppice::evaluators::cpu
