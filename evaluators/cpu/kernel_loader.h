// Maps a checked binary into this process, links it against the allowed imports only, and makes
// every page of it read-only. Needs no file system and no system calls but mmap and mprotect.
#pragma once

#include "evaluators/cpu/elf_image.h"
#include "evaluators/cpu/kernel_task.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators::cpu {

using KernelEntry = void (*)(const Task* task, void* const* args);

// Addresses of imports, looked up before the process is locked.
using ImportTable = std::map<std::string, const void*, std::less<>>;
Result<ImportTable> import_table(const ElfImage& image);

// The image stays mapped until the process ends. Errors name the symbol or relocation.
Result<std::map<std::string, KernelEntry, std::less<>>> map_image(
    std::string_view bytes,
    const ElfImage& image,
    const ImportTable& imports,
    const std::vector<std::string>& entries);

}  // namespace coppice::evaluators::cpu
