// Command: what one word of the command line takes and does; Arguments: what the user gave it.
#pragma once

#include "cli/console.h"
#include "core/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::cli {

struct PositionalSpec {
  std::string name;  // "RUN"
  std::string help;
  bool required = true;
  bool repeated = false;  // the last one may be: "TABLE..."
};

struct OptionSpec {
  std::string name;      // "--seconds"
  std::string value;     // "S"; empty: a flag
  std::string help;      // with unit
  std::string fallback;  // how the default reads; empty: none
  bool repeated = false;
};

// Values as the user wrote them; numbers are checked when they are asked for.
class Arguments {
 public:
  using Values = std::map<std::string, std::vector<std::string>, std::less<>>;
  explicit Arguments(Values values) : values_(std::move(values)) {}

  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  std::string text(std::string_view name, std::string_view fallback = "") const;
  std::vector<std::string> list(std::string_view name) const;  // all values, commas split
  Result<std::optional<std::int64_t>> integer(std::string_view name,
                                              std::int64_t low,
                                              std::int64_t high) const;
  Result<std::optional<std::uint64_t>> unsigned_integer(std::string_view name) const;
  Result<std::optional<double>> real(std::string_view name, double low, double high) const;

 private:
  Values values_;
};

// Returns the exit status, or the error that the program prints and turns into one.
using CommandBody = Result<int> (*)(const Arguments&, Console&);

struct Command {
  std::string name;     // "run", "archive pack"
  std::string summary;  // one line
  std::string example;  // what a user types first
  std::vector<PositionalSpec> positionals;
  std::vector<OptionSpec> options;  // besides --archive, --seed, --help
  CommandBody body = nullptr;
  bool json = true;  // takes --json
};

// Every command of the program, in the order of the help text.
const std::vector<Command>& commands();

struct Parsed {
  const Command* command = nullptr;  // absent: `help` is the answer
  Arguments arguments{{}};
  std::string help;
};

// `words` without the program's name. Usage errors name the word and the nearest known one.
Result<Parsed> parse_command_line(const std::vector<std::string>& words);
std::string help_of(const Command& command);
std::string program_help();
std::string version_text();  // "coppice 0.1.0 (decides as version 1)"

// The whole program: parses, runs, prints the error, returns the exit status.
int run_program(const std::vector<std::string>& words, Console& console);

}  // namespace coppice::cli
