// Bounds-checked ELF reading; the binary was made by our compiler from hostile source.

#include "evaluators/cpu/elf_image.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace coppice::evaluators::cpu {
namespace {

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
#else
constexpr std::uint16_t kMachine = EM_NONE;
#endif

constexpr std::uint64_t kLargestSpan = 64ULL << 20;
constexpr std::uint64_t kMost = 1 << 20;  // symbols, relocations

Error corrupt_image(std::string what) {
  return {ErrorCode::corrupt, "binary: " + std::move(what)};
}

template <class T>
bool load(std::string_view bytes, std::uint64_t offset, T& out) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
    return false;
  }
  std::memcpy(&out, bytes.data() + offset, sizeof(T));
  return true;
}

// The file bytes behind [address, address + count) of the loaded image.
std::optional<std::string_view> at_address(std::string_view bytes,
                                           const ElfImage& image,
                                           std::uint64_t address,
                                           std::uint64_t count) {
  for (const ElfSegment& s : image.segments) {
    if (address >= s.address && address - s.address <= s.file_bytes &&
        count <= s.file_bytes - (address - s.address)) {
      return bytes.substr(s.file_offset + (address - s.address), count);
    }
  }
  return std::nullopt;
}

struct Dynamic {
  std::uint64_t symbols = 0, strings = 0, string_bytes = 0, hash = 0;
  std::uint64_t rela = 0, rela_bytes = 0, plt = 0, plt_bytes = 0;
};

Result<void> read_segments(std::string_view bytes,
                           const Elf64_Ehdr& head,
                           ElfImage& out,
                           std::optional<Elf64_Phdr>& dynamic) {
  for (std::uint64_t i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr p{};
    if (!load(bytes, head.e_phoff + i * sizeof p, p)) {
      return corrupt_image("program header outside the file");
    }
    if (p.p_type == PT_DYNAMIC) {
      dynamic = p;
    } else if (p.p_type == PT_TLS) {
      out.thread_storage = true;
    } else if (p.p_type == PT_LOAD) {
      if (p.p_offset > bytes.size() || p.p_filesz > bytes.size() - p.p_offset ||
          p.p_filesz > p.p_memsz || p.p_vaddr > kLargestSpan || p.p_memsz > kLargestSpan) {
        return corrupt_image("segment outside the file or too large");
      }
      out.segments.push_back({p.p_vaddr,
                              p.p_memsz,
                              p.p_offset,
                              p.p_filesz,
                              (p.p_flags & PF_R) != 0,
                              (p.p_flags & PF_W) != 0,
                              (p.p_flags & PF_X) != 0});
      out.span = std::max(out.span, p.p_vaddr + p.p_memsz);
    }
  }
  return out.segments.empty() ? corrupt_image("no segments") : Result<void>();
}

void note_dynamic(const Elf64_Dyn& entry, Dynamic& d, ElfImage& out) {
  const std::uint64_t value = entry.d_un.d_val;
  switch (entry.d_tag) {
    case DT_SYMTAB:
      d.symbols = value;
      break;
    case DT_STRTAB:
      d.strings = value;
      break;
    case DT_STRSZ:
      d.string_bytes = value;
      break;
    case DT_HASH:
      d.hash = value;
      break;
    case DT_RELA:
      d.rela = value;
      break;
    case DT_RELASZ:
      d.rela_bytes = value;
      break;
    case DT_JMPREL:
      d.plt = value;
      break;
    case DT_PLTRELSZ:
      d.plt_bytes = value;
      break;
    case DT_INIT:
    case DT_FINI:
    case DT_INIT_ARRAY:
    case DT_FINI_ARRAY:
    case DT_PREINIT_ARRAY:
      out.constructors = true;
      break;
    case DT_TEXTREL:
      out.text_relocations = true;
      break;
    case DT_FLAGS:
      out.text_relocations = out.text_relocations || (value & DF_TEXTREL) != 0;
      break;
    case DT_NEEDED:
      out.needs_libraries = true;
      break;
    default:
      break;
  }
}

Result<void> read_symbols(std::string_view bytes, const Dynamic& d, ElfImage& out) {
  const auto head = at_address(bytes, out, d.hash, 8);
  const auto strings = at_address(bytes, out, d.strings, d.string_bytes);
  std::uint32_t count = 0;
  if (d.hash == 0 || !head || !load(*head, 4, count) || !strings || count > kMost) {
    return corrupt_image("no usable symbol table");
  }
  const auto table = at_address(bytes, out, d.symbols, std::uint64_t{count} * sizeof(Elf64_Sym));
  if (!table) {
    return corrupt_image("symbol table outside its segment");
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    Elf64_Sym symbol{};
    load(*table, i * sizeof symbol, symbol);
    if (symbol.st_name > strings->size()) {
      return corrupt_image("symbol name outside the string table");
    }
    const std::string_view rest = strings->substr(symbol.st_name);
    const std::string_view name = rest.substr(0, rest.find('\0'));
    const int kind = ELF64_ST_TYPE(symbol.st_info);
    if (kind == STT_TLS || kind == STT_GNU_IFUNC) {
      out.thread_storage = out.thread_storage || kind == STT_TLS;
      out.constructors = out.constructors || kind == STT_GNU_IFUNC;
    }
    out.symbols.push_back({std::string(name), symbol.st_value, symbol.st_shndx != SHN_UNDEF});
  }
  return {};
}

Result<void> read_relocations(std::string_view bytes,
                              std::uint64_t address,
                              std::uint64_t size,
                              ElfImage& out) {
  if (size == 0) {
    return {};
  }
  const auto table = at_address(bytes, out, address, size);
  if (!table || size / sizeof(Elf64_Rela) > kMost) {
    return corrupt_image("relocations outside their segment");
  }
  for (std::uint64_t i = 0; i + sizeof(Elf64_Rela) <= size; i += sizeof(Elf64_Rela)) {
    Elf64_Rela r{};
    load(*table, i, r);
    const auto symbol = static_cast<std::uint32_t>(ELF64_R_SYM(r.r_info));
    if (symbol >= out.symbols.size() || out.span < 8 || r.r_offset > out.span - 8) {
      return corrupt_image("relocation outside the image");
    }
    out.relocations.push_back(
        {r.r_offset, static_cast<std::uint32_t>(ELF64_R_TYPE(r.r_info)), symbol, r.r_addend});
  }
  return {};
}

void read_sections(std::string_view bytes, const Elf64_Ehdr& head, ElfImage& out) {
  Elf64_Shdr names{};
  if (!load(bytes, head.e_shoff + std::uint64_t{head.e_shstrndx} * sizeof names, names)) {
    return;
  }
  for (std::uint64_t i = 0; i < head.e_shnum; ++i) {
    Elf64_Shdr s{};
    if (!load(bytes, head.e_shoff + i * sizeof s, s)) {
      return;
    }
    if ((s.sh_flags & SHF_ALLOC) == 0 || s.sh_size == 0) {
      continue;
    }
    const std::uint64_t at = names.sh_offset + s.sh_name;
    const std::string_view rest = at < bytes.size() ? bytes.substr(at) : std::string_view();
    out.sections.push_back({std::string(rest.substr(0, std::min<std::size_t>(rest.find('\0'), 64))),
                            s.sh_size,
                            (s.sh_flags & SHF_WRITE) != 0});
  }
}

}  // namespace

Result<ElfImage> read_elf(std::string_view bytes) {
  Elf64_Ehdr head{};
  if (!load(bytes, 0, head) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
      head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
      head.e_type != ET_DYN || head.e_machine != kMachine) {
    return corrupt_image("not a shared object for this machine");
  }
  ElfImage out;
  std::optional<Elf64_Phdr> dynamic;
  COPPICE_TRY_VOID(read_segments(bytes, head, out, dynamic));
  if (!dynamic) {
    return corrupt_image("no dynamic section");
  }
  Dynamic d;
  for (std::uint64_t i = 0; i < dynamic->p_filesz / sizeof(Elf64_Dyn); ++i) {
    Elf64_Dyn entry{};
    if (!load(bytes, dynamic->p_offset + i * sizeof entry, entry)) {
      return corrupt_image("dynamic section outside the file");
    }
    if (entry.d_tag == DT_NULL) {
      break;
    }
    note_dynamic(entry, d, out);
  }
  COPPICE_TRY_VOID(read_symbols(bytes, d, out));
  COPPICE_TRY_VOID(read_relocations(bytes, d.rela, d.rela_bytes, out));
  COPPICE_TRY_VOID(read_relocations(bytes, d.plt, d.plt_bytes, out));
  read_sections(bytes, head, out);
  return out;
}

std::optional<Verdict> check_binary(std::string_view bytes,
                                    const std::vector<std::string>& entries) {
  const auto refuse = [](FailureClass failure, std::string message) {
    return Verdict{false, Gate::binary, failure, std::move(message)};
  };
  const Result<ElfImage> image = read_elf(bytes);
  if (!image.ok()) {
    return refuse(FailureClass::forbidden_code, image.error().message);
  }
  if (image->constructors || image->thread_storage || image->text_relocations ||
      image->needs_libraries) {
    return refuse(FailureClass::forbidden_code,
                  "has constructors, thread-local storage or needs other libraries");
  }
  for (const ElfSection& s : image->sections) {
    const bool linker_own = s.name == ".dynamic" || s.name == ".got" || s.name == ".got.plt" ||
                            s.name == ".data.rel.ro";
    if (s.writable && !linker_own) {
      return refuse(
          FailureClass::forbidden_code,
          fmt::format("keeps {} bytes of writable state ({}): kernels have none", s.bytes, s.name));
    }
  }
  for (std::size_t i = 1; i < image->symbols.size(); ++i) {
    const ElfSymbol& symbol = image->symbols[i];
    if (!symbol.defined && !symbol.name.empty() && !allowed_import(symbol.name)) {
      return refuse(FailureClass::forbidden_code, fmt::format("calls '{}'", symbol.name));
    }
  }
  for (const std::string& entry : entries) {
    const auto found = std::find_if(image->symbols.begin(),
                                    image->symbols.end(),
                                    [&](const auto& s) { return s.defined && s.name == entry; });
    if (found == image->symbols.end()) {
      return refuse(FailureClass::plan_invalid, fmt::format("has no kernel named '{}'", entry));
    }
  }
  return std::nullopt;
}

}  // namespace coppice::evaluators::cpu
