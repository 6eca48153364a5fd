// Reads the command line with CLI11; refuses what a command does not know.
#include "cli/command.h"
#include "search/engine.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <memory>

namespace coppice::cli {
namespace {

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = 2 + word.size() / 2;
  for (const std::string& candidate : known) {
    const std::size_t d = distance(word, candidate);
    if (d < best_distance) {
      best_distance = d;
      best = candidate;
    }
  }
  return best;
}

Error usage(std::string message) {
  return Error{ErrorCode::usage, std::move(message)};
}

Error unknown(std::string_view what, std::string_view word, const std::vector<std::string>& known) {
  std::string message = "unknown " + std::string(what) + " '" + std::string(word) + "'";
  const std::string close = nearest(word, known);
  if (!close.empty()) {
    message += "; did you mean '" + close + "'?";
  }
  return usage(std::move(message));
}

std::vector<OptionSpec> all_options(const Command& command) {
  std::vector<OptionSpec> options = command.options;
  if (command.json) {
    options.push_back({"--json", "", "answer as one JSON object", "", false});
  }
  options.push_back({"--archive", "DIR", "where runs are kept", "coppice-archive", false});
  const auto seed = std::find_if(options.begin(), options.end(), [](const OptionSpec& option) {
    return option.name == "--seed";
  });
  if (seed == options.end()) {
    options.push_back({"--seed", "N", "only runs with this seed", "any", false});
  }
  return options;
}

// "archive pack" before "archive": two words when they name a command together.
std::pair<const Command*, std::size_t> find_command(const std::vector<std::string>& words) {
  const Command* found = nullptr;
  std::size_t used = 0;
  for (const Command& command : commands()) {
    const std::size_t space = command.name.find(' ');
    if (space == std::string::npos
            ? command.name == words[0]
            : words.size() > 1 && command.name == words[0] + " " + words[1]) {
      const std::size_t length = space == std::string::npos ? 1 : 2;
      if (length > used) {
        found = &command;
        used = length;
      }
    }
  }
  return {found, used};
}

Error unknown_command(const std::vector<std::string>& words) {
  std::vector<std::string> names;
  std::string actions;
  for (const Command& command : commands()) {
    names.push_back(command.name);
    if (command.name.rfind(words[0] + " ", 0) == 0) {
      actions += (actions.empty() ? "" : ", ") + command.name.substr(words[0].size() + 1);
    }
  }
  if (!actions.empty()) {
    const std::string found = words.size() > 1 ? "'" + words[1] + "'" : "nothing";
    return usage(words[0] + ": expected one of " + actions + ", found " + found);
  }
  return unknown("command", words[0], names);
}

struct Bound {
  std::string name;
  std::string one;                // positionals and options given once
  std::vector<std::string> many;  // repeated ones
  bool flag = false, repeated = false;
  CLI::Option* option = nullptr;

  std::vector<std::string> values() const {
    return flag       ? std::vector<std::string>{"true"}
           : repeated ? many
                      : std::vector<std::string>{one};
  }
};

void bind(CLI::App& app, const Command& command, std::vector<std::unique_ptr<Bound>>& bound) {
  for (const PositionalSpec& spec : command.positionals) {
    bound.push_back(std::make_unique<Bound>());
    Bound& item = *bound.back();
    item.name = spec.name;
    item.repeated = spec.repeated;
    item.option =
        spec.repeated ? app.add_option(spec.name, item.many) : app.add_option(spec.name, item.one);
  }
  for (const OptionSpec& spec : all_options(command)) {
    bound.push_back(std::make_unique<Bound>());
    Bound& item = *bound.back();
    item.name = spec.name;
    item.flag = spec.value.empty();
    item.repeated = spec.repeated;
    if (item.flag) {
      item.option = app.add_flag(spec.name);
    } else if (item.repeated) {
      item.option = app.add_option(spec.name, item.many)->allow_extra_args(false);
      item.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    } else {
      item.option = app.add_option(spec.name, item.one);
      item.option->multi_option_policy(CLI::MultiOptionPolicy::Throw);
    }
  }
}

Error explain(const Command& command, const CLI::Error& error, const CLI::App& app) {
  const std::vector<std::string> extras = app.remaining();
  if (!extras.empty() && extras[0].rfind("--", 0) == 0) {
    std::vector<std::string> known;
    for (const OptionSpec& spec : all_options(command)) {
      known.push_back(spec.name);
    }
    return unknown("option of " + command.name, extras[0].substr(0, extras[0].find('=')), known);
  }
  if (!extras.empty()) {
    return usage(command.name + ": did not expect '" + extras[0] + "'");
  }
  return usage(command.name + ": " + error.what());
}

Result<Arguments> parse_words(const Command& command, std::vector<std::string> words) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::vector<std::unique_ptr<Bound>> bound;
  bind(app, command, bound);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
    if (!app.remaining().empty()) {
      return explain(command, CLI::Error("extras", "extras"), app);
    }
  } catch (const CLI::Error& error) {
    return explain(command, error, app);
  }
  Arguments::Values values;
  for (const auto& item : bound) {
    if (item->option->count() > 0) {
      values[item->name] = item->values();
    }
  }
  for (const PositionalSpec& spec : command.positionals) {
    if (spec.required && values.find(spec.name) == values.end()) {
      return usage(command.name + ": " + spec.name + " is missing (" + spec.help + ")");
    }
  }
  return Arguments(std::move(values));
}

bool asks_for_help(const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "--help" || word == "-h";
  });
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 2, width), ' ');
  return text;
}

}  // namespace

Result<Parsed> parse_command_line(const std::vector<std::string>& words) {
  Parsed parsed;
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    parsed.help = program_help();
    return parsed;
  }
  if (words[0] == "--version") {
    parsed.help = version_text();
    return parsed;
  }
  if (words[0].rfind("-", 0) == 0) {
    return usage("expected a command before '" + words[0] + "'; try coppice --help");
  }
  const auto [command, used] = find_command(words);
  if (command == nullptr) {
    return unknown_command(words);
  }
  const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(used),
                                      words.end());
  if (asks_for_help(rest)) {
    parsed.help = help_of(*command);
    return parsed;
  }
  COPPICE_TRY(parsed.arguments, parse_words(*command, rest));
  parsed.command = command;
  return parsed;
}

std::string version_text() {
  return "coppice " COPPICE_VERSION " (decides as version " +
         std::to_string(search::kDecisionVersion) + ")\n";
}

std::string help_of(const Command& command) {
  std::string text =
      command.summary + "\n\nExample:\n  " + command.example + "\n\nUsage:\n  coppice ";
  text += command.name;
  for (const PositionalSpec& spec : command.positionals) {
    const std::string name = spec.name + (spec.repeated ? "..." : "");
    text += spec.required ? " " + name : " [" + name + "]";
  }
  text += " [options]\n";
  for (const PositionalSpec& spec : command.positionals) {
    text += "  " + padded(spec.name, 26) + spec.help + "\n";
  }
  text += "\nOptions:\n";
  for (const OptionSpec& spec : all_options(command)) {
    const std::string head = spec.name + (spec.value.empty() ? "" : " " + spec.value);
    text += "  " + padded(head, 26) + spec.help;
    text += spec.repeated ? "; may be repeated" : "";
    text += spec.fallback.empty() ? "\n" : " (default: " + spec.fallback + ")\n";
  }
  return text;
}

std::string program_help() {
  std::string text =
      "coppice searches for the fastest correct kernel of an operation and can prove how it got "
      "it.\n"
      "\nExample:\n  coppice run configs/quickstart.json\n  coppice report last\n\nCommands:\n";
  for (const Command& command : commands()) {
    text += "  " + padded(command.name, 18) + command.summary + "\n";
  }
  text +=
      "\ncoppice COMMAND --help shows the options of one. Exit status: 0 done, 1 the answer is "
      "no,\n";
  text += "2 usage or configuration, 3 environment, 130 interrupted and resumable.\n";
  return text;
}

std::string Arguments::text(std::string_view name, std::string_view fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? std::string(fallback)
                                                         : found->second.back();
}

std::vector<std::string> Arguments::list(std::string_view name) const {
  std::vector<std::string> items;
  const auto found = values_.find(name);
  if (found == values_.end()) {
    return items;
  }
  for (const std::string& value : found->second) {
    std::size_t start = 0;
    while (start <= value.size()) {
      const std::size_t comma = std::min(value.find(',', start), value.size());
      if (comma > start) {
        items.push_back(value.substr(start, comma - start));
      }
      start = comma + 1;
    }
  }
  return items;
}

namespace {

template <class T>
Result<std::optional<T>> number(
    const Arguments& arguments, std::string_view name, T low, T high, const char* expected) {
  if (!arguments.has(name)) {
    return std::optional<T>();
  }
  const std::string text = arguments.text(name);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() ||
      !(value >= low && value <= high)) {
    return usage(std::string(name) + ": expected " + expected + ", found \"" + text + "\"");
  }
  return std::optional<T>(value);
}

}  // namespace

Result<std::optional<std::int64_t>> Arguments::integer(std::string_view name,
                                                       std::int64_t low,
                                                       std::int64_t high) const {
  const std::string expected =
      "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  return number<std::int64_t>(*this, name, low, high, expected.c_str());
}

Result<std::optional<std::uint64_t>> Arguments::unsigned_integer(std::string_view name) const {
  return number<std::uint64_t>(*this, name, 0, UINT64_MAX, "a whole number from 0");
}

Result<std::optional<double>> Arguments::real(std::string_view name,
                                              double low,
                                              double high) const {
  const std::string expected =
      "a number from " + std::to_string(low) + " to " + std::to_string(high);
  return number<double>(*this, name, low, high, expected.c_str());
}

int run_program(const std::vector<std::string>& words, Console& console) {
  Result<Parsed> parsed = parse_command_line(words);
  if (!parsed.ok()) {
    console.say("coppice: " + parsed.error().message);
    return exit_status(parsed.error().code);
  }
  if (parsed->command == nullptr) {
    console.answer(parsed->help);
    return 0;
  }
  Result<int> status = parsed->command->body(parsed->arguments, console);
  if (!status.ok()) {
    console.say("coppice: " + status.error().message);
    return exit_status(status.error().code);
  }
  return *status;
}

}  // namespace coppice::cli
