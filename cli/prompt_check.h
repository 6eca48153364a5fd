// prompt_check: the prompts of a recorded run, made again from its log.
#pragma once

#include "cli/run_reader.h"

#include <cstdint>

namespace coppice::cli {

struct PromptCheck {
  std::int64_t sent = 0;  // questions whose prompt the log holds
  std::int64_t same = 0;  // made again from the log alone, to the letter
};

// From the archived prompt texts and the events before each question. No model is asked.
Result<PromptCheck> check_prompts(const RunReader& run);

}  // namespace coppice::cli
