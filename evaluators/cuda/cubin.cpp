// Reads ELF64 with every offset checked: the bytes come from a compiler run on hostile source.
#include "evaluators/cuda/cubin.h"

#include <charconv>
#include <cstring>
#include <optional>

namespace coppice::evaluators::cuda {
namespace {

constexpr std::uint16_t kMachineCuda = 190;
constexpr std::uint32_t kNoBits = 8, kSymbolTable = 2;
constexpr std::uint64_t kReservedShared = 1024;  // from sm_90 on, at the start of shared memory
constexpr std::uint8_t kInfoSized = 4, kInfoFrame = 0x11, kInfoRegisters = 0x2f;

struct Section {
  std::string name;
  std::uint32_t type = 0, link = 0;
  std::uint64_t flags = 0, offset = 0, size = 0;
};

struct Symbol {
  std::string name;
  unsigned char info = 0, other = 0;
  std::uint16_t section = 0;
  std::uint64_t value = 0, size = 0;
};

struct Image {
  std::string_view bytes;

  template <class T>
  std::optional<T> at(std::uint64_t offset) const {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
      return std::nullopt;
    }
    T out;
    std::memcpy(&out, bytes.data() + offset, sizeof(T));
    return out;
  }
  std::string text(std::uint64_t offset) const {
    if (offset >= bytes.size()) {
      return "";
    }
    const std::string_view rest = bytes.substr(offset);
    return std::string(rest.substr(0, std::min(rest.find('\0'), std::size_t(1024))));
  }
};

Error torn(const char* what) {
  return Error{ErrorCode::corrupt, std::string("cubin: ") + what};
}

Result<std::vector<Section>> sections(const Image& image) {
  const auto table = image.at<std::uint64_t>(0x28);
  const auto entry = image.at<std::uint16_t>(0x3a);
  const auto count = image.at<std::uint16_t>(0x3c);
  const auto names = image.at<std::uint16_t>(0x3e);
  if (!table || !entry || !count || !names || *entry != 64 || *names >= *count) {
    return torn("section table is torn");
  }
  const auto names_offset = image.at<std::uint64_t>(*table + 64ull * *names + 0x18);
  std::vector<Section> out;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::uint64_t base = *table + 64 * i;
    const auto name = image.at<std::uint32_t>(base);
    const auto type = image.at<std::uint32_t>(base + 4);
    const auto flags = image.at<std::uint64_t>(base + 8);
    const auto offset = image.at<std::uint64_t>(base + 0x18);
    const auto size = image.at<std::uint64_t>(base + 0x20);
    const auto link = image.at<std::uint32_t>(base + 0x28);
    if (!name || !type || !flags || !offset || !size || !link || !names_offset) {
      return torn("a section header lies outside the file");
    }
    if (*type != kNoBits &&
        (*offset > image.bytes.size() || *size > image.bytes.size() - *offset)) {
      return torn("a section lies outside the file");
    }
    out.push_back({image.text(*names_offset + *name), *type, *link, *flags, *offset, *size});
  }
  return out;
}

std::vector<Symbol> symbols(const Image& image, const std::vector<Section>& all) {
  std::vector<Symbol> out;
  for (const Section& section : all) {
    if (section.type != kSymbolTable || section.link >= all.size()) {
      continue;
    }
    for (std::uint64_t at = section.offset; at + 24 <= section.offset + section.size; at += 24) {
      const auto name = image.at<std::uint32_t>(at);
      const auto info = image.at<unsigned char>(at + 4);
      const auto other = image.at<unsigned char>(at + 5);
      const auto index = image.at<std::uint16_t>(at + 6);
      const auto value = image.at<std::uint64_t>(at + 8);
      const auto size = image.at<std::uint64_t>(at + 16);
      if (!name || !info || !other || !index || !value || !size) {
        break;
      }
      out.push_back(
          {image.text(all[section.link].offset + *name), *info, *other, *index, *value, *size});
    }
  }
  return out;
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// .nv.info: (format, attribute, size, payload) records; sized ones carry (symbol, value).
void read_info(const Image& image,
               const Section& section,
               const std::vector<Symbol>& names,
               CubinInfo& out) {
  std::uint64_t at = section.offset;
  const std::uint64_t end = section.offset + section.size;
  while (at + 4 <= end) {
    const std::uint8_t format = *image.at<std::uint8_t>(at);
    const std::uint8_t attribute = *image.at<std::uint8_t>(at + 1);
    const std::uint16_t size = *image.at<std::uint16_t>(at + 2);
    const std::uint64_t payload = format == kInfoSized ? size : 0;
    if (payload >= 8 && at + 12 <= end) {
      const std::uint32_t symbol = *image.at<std::uint32_t>(at + 4);
      const std::uint32_t value = *image.at<std::uint32_t>(at + 8);
      const auto kernel =
          symbol < names.size() ? out.kernels.find(names[symbol].name) : out.kernels.end();
      if (kernel != out.kernels.end() && attribute == kInfoRegisters) {
        kernel->second.registers = value;
      } else if (kernel != out.kernels.end() && attribute == kInfoFrame) {
        kernel->second.frame_bytes = value;
      }
    }
    at += 4 + payload;
  }
}

std::int64_t number_before(std::string_view line, std::string_view words) {
  const std::size_t at = line.find(words);
  if (at == std::string_view::npos || at == 0) {
    return 0;
  }
  std::size_t first = at;
  while (first > 0 && line[first - 1] >= '0' && line[first - 1] <= '9') {
    --first;
  }
  std::int64_t out = 0;
  std::from_chars(line.data() + first, line.data() + at, out);
  return out;
}

void collect_sections(const std::vector<Section>& all, CubinInfo& out) {
  for (const Section& section : all) {
    if (starts_with(section.name, ".text.")) {
      KernelResources kernel;
      kernel.code_bytes = static_cast<std::int64_t>(section.size);
      out.kernels.emplace(section.name.substr(6), kernel);
    }
  }
  for (const Section& section : all) {
    if (starts_with(section.name, ".nv.shared.")) {
      const auto kernel = out.kernels.find(section.name.substr(11));
      if (kernel != out.kernels.end()) {
        kernel->second.shared_bytes = static_cast<std::int64_t>(
            section.size >= kReservedShared ? section.size - kReservedShared : section.size);
      }
    } else if (starts_with(section.name, ".nv.global") || section.name == ".nv.uft.udt") {
      out.writable_bytes += section.size;
    } else if (section.name == ".nv.constant3") {
      out.constant_bytes += section.size;
    }
  }
}

}  // namespace

Result<CubinInfo> inspect_cubin(std::string_view cubin) {
  const Image image{cubin};
  if (cubin.substr(0, 6) != std::string_view("\x7f"
                                             "ELF\x02\x01",
                                             6)) {
    return torn("not a 64-bit little-endian ELF file");
  }
  if (image.at<std::uint16_t>(0x12).value_or(0) != kMachineCuda) {
    return torn("machine type is not CUDA");
  }
  COPPICE_TRY(const std::vector<Section> all, sections(image));
  const std::vector<Symbol> names = symbols(image, all);
  CubinInfo out;
  collect_sections(all, out);
  for (const Symbol& symbol : names) {
    const bool object = (symbol.info & 0xf) == 1;
    if (symbol.section == 0 && !symbol.name.empty() && (symbol.info >> 4) != 0 &&
        !starts_with(symbol.name, "__cuda_reserved") && !starts_with(symbol.name, ".nv")) {
      out.unresolved.push_back(symbol.name);
    } else if (object && symbol.section < all.size() &&
               starts_with(all[symbol.section].name, ".nv.global")) {
      out.writable_names.push_back(symbol.name);
    }
  }
  for (const Section& section : all) {
    if (section.name == ".nv.info") {
      read_info(image, section, names, out);
    }
  }
  return out;
}

void add_assembler_report(CubinInfo& info, std::string_view log) {
  KernelResources* current = nullptr;
  std::size_t start = 0;
  while (start < log.size()) {
    const std::size_t end = std::min(log.find('\n', start), log.size());
    const std::string_view line = log.substr(start, end - start);
    start = end + 1;
    constexpr std::string_view kProperties = "Function properties for ";
    if (const std::size_t at = line.find(kProperties); at != std::string_view::npos) {
      const auto found = info.kernels.find(line.substr(at + kProperties.size()));
      current = found == info.kernels.end() ? nullptr : &found->second;
    } else if (current != nullptr && line.find("bytes spill stores") != std::string_view::npos) {
      current->frame_bytes = number_before(line, " bytes stack frame");
      current->spill_store_bytes = number_before(line, " bytes spill stores");
      current->spill_load_bytes = number_before(line, " bytes spill loads");
    }
  }
}

Json to_json(const CubinInfo& info) {
  Json kernels = Json::object();
  for (const auto& [name, kernel] : info.kernels) {
    Json one = Json::object();
    one.set("registers", kernel.registers)
        .set("shared_bytes", kernel.shared_bytes)
        .set("frame_bytes", kernel.frame_bytes)
        .set("spill_bytes", kernel.spill_store_bytes + kernel.spill_load_bytes)
        .set("code_bytes", kernel.code_bytes);
    kernels.set(name, std::move(one));
  }
  Json out = Json::object();
  out.set("kernels", std::move(kernels)).set("writable_bytes", info.writable_bytes);
  return out;
}

}  // namespace coppice::evaluators::cuda
