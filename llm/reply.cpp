// Takes a reply apart: idea, kernel or edits, parts of the recipe.
#include "llm/reply.h"

#include "core/plan.h"
#include "llm/edits.h"
#include "llm/extract.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace coppice::llm {
namespace {

constexpr std::size_t kMostSource = std::size_t{1} << 20;
constexpr std::size_t kMostEdits = 256;
constexpr std::size_t kMostTitle = 120;
constexpr std::size_t kMostWhy = 2000;
constexpr std::size_t kMostReasons = 32;
constexpr std::array<std::string_view, 9> kCode = {
    "cpp", "c++", "cc", "c", "cxx", "cuda", "cu", "hip", "h"};

// What a reply holds, before it is judged.
struct ReplyParts {
  std::string title, why;
  std::optional<std::string> source;
  std::vector<TextEdit> edits;
  std::optional<Json> recipe;
  std::vector<std::string> refused;
};

bool is_code(const Block& block) {
  return std::ranges::find(kCode, block.language) != kCode.end();
}

bool holds_edits(std::string_view text) {
  return text.find("<<<<< SEARCH") != std::string_view::npos;
}

bool looks_like_json(const Block& block) {
  return block.language.starts_with("json") ||
         (!is_code(block) && trimmed(block.text).starts_with("{"));
}

// "IDEA: ..." with whatever marks markdown puts around it; else the first line of the prose.
void read_words(const std::string& prose, ReplyParts& parts) {
  std::string first, rest;
  each_line(prose, [&](std::string_view line) {
    std::string_view plain = trimmed(line);
    plain.remove_prefix(std::min(plain.find_first_not_of("#*_> "), plain.size()));
    const bool idea = plain.starts_with("IDEA") || plain.starts_with("Idea");
    if (idea && parts.title.empty()) {
      plain.remove_prefix(4);
      plain.remove_prefix(std::min(plain.find_first_not_of("*_: "), plain.size()));
      parts.title = shortened(plain, kMostTitle);
    } else {
      if (first.empty()) {
        first = plain;
      }
      rest.append(line).append("\n");
    }
  });
  if (parts.title.empty()) {
    parts.title = shortened(first, kMostTitle);
  }
  parts.why = shortened(trimmed(rest), kMostWhy);
}

void read_text_member(const JsonReader& root,
                      std::string_view key,
                      std::size_t most,
                      ReplyParts& parts,
                      std::string& out) {
  if (const auto member = root.find(key)) {
    if (member->is_string()) {
      out = shortened(trimmed(member->text().value()), most);
    } else {
      parts.refused.push_back(member->error("text").message);
    }
  }
}

void read_edit_list(const JsonReader& list, ReplyParts& parts) {
  if (!list.is_array()) {
    parts.refused.push_back(list.error("an array of edits").message);
    return;
  }
  const std::vector<JsonReader> items = list.items().value();
  for (const JsonReader& item : items) {
    const auto search = item.is_object() ? item.find("search") : std::nullopt;
    const auto replace = item.is_object() ? item.find("replace") : std::nullopt;
    if (search && search->is_string() && replace && replace->is_string()) {
      parts.edits.push_back({search->text().value(), replace->text().value()});
    } else {
      parts.refused.push_back(item.error("an edit with search and replace").message);
    }
  }
}

// A whole reply as one object.
ReplyParts parts_of_object(const JsonReader& root) {
  ReplyParts parts;
  read_text_member(root, "idea", kMostTitle, parts, parts.title);
  read_text_member(root, "why", kMostWhy, parts, parts.why);
  if (const auto source = root.find("source")) {
    if (source->is_string()) {
      parts.source = source->text().value();
    } else {
      parts.refused.push_back(source->error("the kernel's text").message);
    }
  }
  if (const auto edits = root.find("edits")) {
    read_edit_list(*edits, parts);
  }
  if (const auto recipe = root.find("recipe")) {
    parts.recipe = recipe->copy();
  }
  const auto members = root.members().value();
  for (const auto& [key, value] : members) {
    if (key != "idea" && key != "why" && key != "source" && key != "edits" && key != "recipe") {
      parts.refused.push_back(fmt::format("\"{}\": a reply has no such part", shortened(key, 40)));
    }
  }
  return parts;
}

ReplyParts parts_of_blocks(std::string_view text) {
  ReplyParts parts;
  read_words(prose_of(text), parts);
  parts.edits = edits_in(text, parts.refused);
  const Block* kernel = nullptr;
  const std::vector<Block> blocks = blocks_of(text);
  for (const Block& block : blocks) {
    if (holds_edits(block.text)) {
      continue;
    }
    if (looks_like_json(block)) {
      if (parts.recipe) {
        parts.refused.push_back("a second JSON block: one is enough");
        continue;
      }
      Result<Json> json = object_in(block.text, "recipe");
      if (json.ok()) {
        parts.recipe = std::move(json).value();
      } else {
        parts.refused.push_back(json.error().message);
      }
    } else if (kernel == nullptr || block.text.size() > kernel->text.size()) {
      kernel = &block;
    } else {
      parts.refused.push_back("a second code block: the longer one is the kernel");
    }
  }
  if (kernel != nullptr && parts.edits.empty()) {
    if (kernel->closed) {
      parts.source = kernel->text;
    } else {
      parts.refused.push_back("the code block is not closed (was the reply cut?)");
    }
  } else if (kernel != nullptr) {
    parts.refused.push_back("a code block beside edits: the edits count");
  }
  return parts;
}

ReplyParts parts_of(std::string_view text) {
  const std::string_view body = trimmed(text);
  const std::vector<Block> blocks = blocks_of(text);
  std::string_view candidate = body.starts_with("{") ? body : std::string_view();
  if (blocks.size() == 1 && looks_like_json(blocks.front()) && !holds_edits(text)) {
    candidate = blocks.front().text;
  }
  if (!candidate.empty()) {
    const Result<Json> json = object_in(candidate, "reply");
    if (json.ok() &&
        (json->reader("reply").find("source") || json->reader("reply").find("edits"))) {
      return parts_of_object(json->reader("reply"));
    }
  }
  return parts_of_blocks(text);
}

// An axis with what follows from its levels filled in, where the reply left it out.
Json completed_axis(const JsonReader& axis) {
  Json out = axis.copy();
  const auto levels = axis.is_object() ? axis.find("levels") : std::nullopt;
  if (!levels || !levels->is_array()) {
    return out;  // refused later, by name
  }
  const std::vector<JsonReader> items = levels->items().value();
  if (items.empty()) {
    return out;
  }
  const JsonReader& first = items.front();
  if (!axis.find("type")) {
    out.set("type", first.is_bool() ? "boolean" : first.is_string() ? "categorical" : "ordinal");
  }
  if (!axis.find("kind")) {
    out.set("kind", "other");
  }
  if (!axis.find("default")) {
    out.set("default", first.copy());
  }
  return out;
}

// The parent's recipe with the reply's parts in their places; an error when a part is none.
Result<Json> merged_recipe(const Json& parent, const Json& own, std::vector<std::string>& refused) {
  Json out = parent;
  const JsonReader root = own.reader("recipe");
  if (!root.is_object()) {
    return root.error("an object");
  }
  const auto members = root.members().value();
  for (const auto& [key, value] : members) {
    const bool list = key == "axes" || key == "restrictions";
    if (list && !value.is_array()) {
      return value.error("an array");
    }
    if (key == "precision" && !value.is_string()) {
      return value.error("the name of a class, or an expression that gives one");
    }
    if (key == "plan") {
      const auto plan = launch_plan(value);
      if (!plan.ok()) {
        return plan.error();
      }
    }
    if (key == "axes") {
      const std::vector<JsonReader> axes = value.items().value();
      out.set(key, Json::array_of(axes, completed_axis));
    } else if (list || key == "precision" || key == "plan") {
      out.set(key, value.copy());
    } else {
      refused.push_back(fmt::format("recipe: \"{}\" can't be set by a reply", shortened(key, 40)));
    }
  }
  return out;
}

Result<std::string> source_of(ReplyParts& parts, const ReplyParent& parent) {
  if (!parts.edits.empty()) {
    if (parts.source) {
      parts.refused.push_back("source beside edits: the edits count");
    }
    if (parts.edits.size() > kMostEdits) {
      return Error{ErrorCode::config,
                   fmt::format("{} edits, at most {} are taken", parts.edits.size(), kMostEdits)};
    }
    return apply_edits(parent.source, parts.edits, parts.refused);
  }
  if (parts.source) {
    return *parts.source;
  }
  return Error{ErrorCode::config,
               parts.refused.empty() ? "the reply holds no kernel and no edit"
                                     : "the reply holds no kernel: " + parts.refused.front()};
}

}  // namespace

std::variant<KernelReply, ReplyProblem> read_kernel_reply(std::string_view text,
                                                          const ReplyParent& parent) {
  ReplyParts parts = parts_of(clean_text(text));
  const auto problem = [&parts](std::string message) {
    parts.refused.resize(std::min(parts.refused.size(), kMostReasons));
    return ReplyProblem{std::move(message), std::move(parts.refused)};
  };
  const Result<std::string> source = source_of(parts, parent);
  if (!source.ok()) {
    return problem(source.error().message);
  }
  if (trimmed(*source).empty()) {
    return problem("the kernel is empty");
  }
  if (source->size() > kMostSource) {
    return problem(
        fmt::format("the kernel has {} bytes, at most {} are taken", source->size(), kMostSource));
  }
  Json recipe = parent.recipe;
  if (parts.recipe) {
    Result<Json> merged = merged_recipe(parent.recipe, *parts.recipe, parts.refused);
    if (!merged.ok()) {
      return problem(merged.error().message);
    }
    recipe = std::move(merged).value();
  }
  if (trimmed(*source) == trimmed(parent.source) && recipe == parent.recipe) {
    return problem("the reply is the parent, unchanged");
  }
  KernelReply reply;
  reply.title = parts.title.empty() ? "an idea without a name" : parts.title;
  reply.why = std::move(parts.why);
  reply.source = *source;
  reply.recipe = std::move(recipe);
  reply.refused = std::move(parts.refused);
  reply.refused.resize(std::min(reply.refused.size(), kMostReasons));
  return reply;
}

}  // namespace coppice::llm
