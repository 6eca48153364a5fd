// A table that is wrong about its device would steer the search by numbers that are not there.
#include "evaluators/cuda/target_check.h"

#include <array>
#include <utility>

namespace coppice::evaluators::cuda {
namespace {

// The table's name of a fact and the driver's.
constexpr std::array<std::pair<const char*, const char*>, 5> kNumbers = {{
    {"multiprocessors", "multiprocessors"},
    {"l2_bytes", "l2_bytes"},
    {"shared_bytes_per_block", "shared_per_block"},
    {"shared_bytes_per_multiprocessor", "shared_per_multiprocessor"},
    {"registers_per_multiprocessor", "registers_per_multiprocessor"},
}};

// "sm_90" of "sm_90a".
std::string family(const std::string& architecture) {
  const bool suffix = !architecture.empty() && architecture.back() == 'a';
  return suffix ? architecture.substr(0, architecture.size() - 1) : architecture;
}

}  // namespace

Result<std::vector<std::string>> differences(const Target& target, const Json& device) {
  const JsonReader facts = device.reader("device");
  COPPICE_TRY(const std::string found, facts.text_or("architecture", ""));
  COPPICE_TRY(const std::string name, facts.text_or("name", "the device"));
  const auto known = target.facts.find("architecture");
  const auto* wanted =
      known == target.facts.end() ? nullptr : std::get_if<std::string>(&known->second);
  if (wanted != nullptr && !found.empty() && family(*wanted) != family(found)) {
    return Error{ErrorCode::environment,
                 "target " + target.name + " is " + *wanted + ", but " + name + " is " + found +
                     ": choose its table with \"target\" in the configuration"};
  }
  std::vector<std::string> out;
  for (const auto& [table, driver] : kNumbers) {
    const auto fact = target.facts.find(table);
    const auto* number =
        fact == target.facts.end() ? nullptr : std::get_if<std::int64_t>(&fact->second);
    COPPICE_TRY(const std::int64_t real, facts.integer_or(driver, -1));
    if (number != nullptr && real >= 0 && real != *number) {
      out.push_back("target " + target.name + " says " + table + " = " + std::to_string(*number) +
                    ", but " + name + " has " + std::to_string(real));
    }
  }
  return out;
}

}  // namespace coppice::evaluators::cuda
