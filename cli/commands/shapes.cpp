// `coppice shapes`: suites of shapes from a model's Hugging Face config.json.
#include "cli/commands.h"
#include "cli/model_shapes.h"
#include "cli/places.h"
#include "cli/text_file.h"

#include <charconv>
#include <filesystem>

namespace coppice::cli {
namespace {

constexpr std::string_view kRules = "shapes.json";

// --option of the command, name in shapes.json.
constexpr std::pair<const char*, const char*> kLevels[] = {{"--batch", "batch"},
                                                           {"--lengths", "length"},
                                                           {"--tokens", "tokens"},
                                                           {"--page-size", "page_size"}};

Result<std::int64_t> positive(const std::string& text, const std::string& option) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) {
    return Error{ErrorCode::usage,
                 option + ": expected whole numbers of at least 1, found \"" + text + "\""};
  }
  return number;
}

Result<ShapeRequest> request_of(const Arguments& arguments) {
  ShapeRequest out;
  const std::string path = arguments.text("CONFIG");
  COPPICE_TRY(const std::string text, read_text_file(path));
  COPPICE_TRY(const Json config, Json::parse(text, path));
  COPPICE_TRY(out.model, model_values(config.reader(path)));
  COPPICE_TRY(const auto tp, arguments.integer("--tp", 1, 4096));
  out.tp = tp.value_or(1);
  for (const auto& [option, name] : kLevels) {
    for (const std::string& item : arguments.list(option)) {
      COPPICE_TRY(const std::int64_t level, positive(item, option));
      out.levels[name].push_back(level);
    }
  }
  return out;
}

// "mixtral_8x7b.json" with tp 2 gives "mixtral_8x7b_tp2".
std::string suite_name(const Arguments& arguments, std::int64_t tp) {
  if (arguments.has("--name")) {
    return arguments.text("--name");
  }
  std::string stem = std::filesystem::path(arguments.text("CONFIG")).stem();
  if (stem == "config") {
    stem = std::filesystem::absolute(arguments.text("CONFIG")).parent_path().filename();
  }
  for (char& c : stem) {
    c = std::isalnum(static_cast<unsigned char>(c)) != 0
            ? static_cast<char>(std::tolower(static_cast<unsigned char>(c)))
            : '_';
  }
  return stem + "_tp" + std::to_string(tp);
}

Result<void> keep_suite(const std::string& folder,
                        const std::string& op,
                        const std::string& name,
                        const Json& suite,
                        Console& console) {
  const std::filesystem::path path =
      std::filesystem::path(folder) / op / "suites" / (name + ".json");
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return Error{ErrorCode::io, path.parent_path().string() + ": " + error.message()};
  }
  COPPICE_TRY_VOID(write_text_file(path, suite.pretty() + "\n"));
  console.answer(path.string());
  return {};
}

Result<std::vector<std::string>> wanted_ops(const Arguments& arguments, const Places& places) {
  std::vector<std::string> named = arguments.list("--op");
  return named.empty() ? places.op_names() : named;
}

Result<int> shapes_body(const Arguments& arguments, Console& console) {
  const Places places = Places::standard();
  COPPICE_TRY(const ShapeRequest request, request_of(arguments));
  COPPICE_TRY(const std::vector<std::string> ops, wanted_ops(arguments, places));
  const std::string name = suite_name(arguments, request.tp);
  Json all = Json::object();
  bool any = false;
  for (const std::string& op : ops) {
    COPPICE_TRY(const std::string folder, places.find_op(op));
    const std::string path = (std::filesystem::path(folder) / kRules).string();
    if (!std::filesystem::exists(path)) {
      if (arguments.has("--op")) {
        return Error{ErrorCode::missing, op + ": the operation has no " + std::string(kRules)};
      }
      continue;
    }
    COPPICE_TRY(const std::string text, read_text_file(path));
    COPPICE_TRY(const Json rules, Json::parse(text, path));
    COPPICE_TRY(const ModelSuite suite, model_suite(rules.reader(path), request));
    if (const auto* why = std::get_if<std::string>(&suite)) {
      console.say(op + ": " + *why);
      continue;
    }
    any = true;
    if (arguments.has("--output")) {
      COPPICE_TRY_VOID(
          keep_suite(arguments.text("--output"), op, name, std::get<Json>(suite), console));
    } else {
      all.set(op, std::get<Json>(suite));
    }
  }
  if (!arguments.has("--output") && any) {
    console.answer(all.pretty());
  }
  return any ? 0 : 1;
}

}  // namespace

Command shapes_command() {
  Command command;
  command.name = "shapes";
  command.summary = "suites of shapes from a model's Hugging Face config.json";
  command.example = "coppice shapes config.json --tp 2 --output experiments/ops";
  command.positionals = {{"CONFIG", "the model's config.json", true}};
  command.options = {
      {"--tp", "N", "tensor-parallel size: what one device holds", "1", false},
      {"--op", "A,B", "only these operations", "all with shapes.json", true},
      {"--batch", "A,B", "sequences that decode together", "the operation's", true},
      {"--lengths", "A,B", "tokens of a sequence", "the operation's", true},
      {"--tokens", "A,B", "rows of matrix products, norms and experts", "the operation's", true},
      {"--page-size", "A,B", "tokens of a cache page", "the operation's", true},
      {"--name", "NAME", "of the suites", "the file's name and tp", false},
      {"--output", "FOLDER", "write FOLDER/OP/suites/NAME.json", "to stdout", false}};
  command.body = shapes_body;
  command.json = false;
  return command;
}

}  // namespace coppice::cli
