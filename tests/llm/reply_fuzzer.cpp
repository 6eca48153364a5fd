// libFuzzer's entry: cmake -DCOPPICE_FUZZ=ON with clang, then build/.../fuzz_replies CORPUS.
#include "tests/llm/reply_fuzz.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coppice::llm::FuzzCounts counts;
  coppice::llm::fuzz_reply_text({reinterpret_cast<const char*>(data), size}, counts);
  return 0;
}
