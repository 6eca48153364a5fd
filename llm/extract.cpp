// Fences by lines, JSON by one pass that knows strings from structure.
#include "llm/extract.h"

#include <algorithm>
#include <optional>

namespace coppice::llm {
namespace {

constexpr int kMostObjects = 64;  // opening braces that are tried in one text

struct Fence {
  char kind = '`';
  std::size_t length = 0;
  std::string_view info;
};

std::optional<Fence> fence_of(std::string_view line) {
  const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(indent);
  if (indent > 3 || line.size() < 3 || (line[0] != '`' && line[0] != '~')) {
    return std::nullopt;
  }
  const std::size_t length = std::min(line.find_first_not_of(line[0]), line.size());
  const std::string_view info = trimmed(line.substr(length));
  if (length < 3 || (line[0] == '`' && info.find('`') != std::string_view::npos)) {
    return std::nullopt;
  }
  return Fence{line[0], length, info};
}

std::string language_of(std::string_view info) {
  std::string out(info.substr(0, info.find_first_of(" \t{:,")));
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

// Splits a text into blocks and what lies outside of them.
void split_blocks(std::string_view text, std::vector<Block>& blocks, std::string& prose) {
  std::optional<Fence> open;
  each_line(text, [&](std::string_view line) {
    const auto fence = fence_of(line);
    if (!open && fence) {
      open = fence;
      blocks.push_back({language_of(fence->info), "", false});
    } else if (open && fence && fence->kind == open->kind && fence->length >= open->length &&
               fence->info.empty()) {
      blocks.back().closed = true;
      open.reset();
    } else {
      (open ? blocks.back().text : prose).append(line).append("\n");
    }
  });
}

// Copies JSON text and leaves out, or mends, what only people write.
class Mender {
 public:
  explicit Mender(std::string_view text) : text_(text) {}

  std::string run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        copy_string();
      } else if (c == '/' && skip_comment()) {
        continue;
      } else {
        if (c == '}' || c == ']') {
          drop_comma();
        }
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  void copy_string() {
    out_ += text_[at_++];
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        out_ += c;
        out_ += text_[at_++];
      } else if (c == '\n') {
        out_ += "\\n";
      } else if (c == '\t') {
        out_ += "\\t";
      } else {
        out_ += c;
        if (c == '"') {
          return;
        }
      }
    }
  }

  bool skip_comment() {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("//")) {
      at_ = std::min(text_.find('\n', at_), text_.size());
      return true;
    }
    if (rest.starts_with("/*")) {
      const std::size_t end = text_.find("*/", at_ + 2);
      at_ = end == std::string_view::npos ? text_.size() : end + 2;
      return true;
    }
    return false;
  }

  void drop_comma() {
    const std::size_t last = out_.find_last_not_of(" \t\r\n");
    if (last != std::string::npos && out_[last] == ',') {
      out_.erase(last, 1);
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
};

// Where the bracket that opens at `begin` is closed; npos when it is not.
std::size_t closing(std::string_view text, std::size_t begin) {
  int depth = 0;
  bool string = false;
  for (std::size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (string) {
      i += c == '\\' ? 1 : 0;
      string = c != '"';
    } else if (c == '"') {
      string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

}  // namespace

std::vector<Block> blocks_of(std::string_view text) {
  std::vector<Block> blocks;
  std::string prose;
  split_blocks(text, blocks, prose);
  return blocks;
}

std::string prose_of(std::string_view text) {
  std::vector<Block> blocks;
  std::string prose;
  split_blocks(text, blocks, prose);
  return prose;
}

Result<Json> lenient_json(std::string_view text, std::string_view name) {
  Result<Json> strict = Json::parse(text, name);
  return strict.ok() ? std::move(strict) : Json::parse(Mender(text).run(), name);
}

Result<Json> object_in(std::string_view text, std::string_view name) {
  Error why{ErrorCode::config, std::string(name) + ": expected a JSON object, found none"};
  std::size_t begin = text.find('{');
  for (int tried = 0; begin != std::string_view::npos && tried < kMostObjects; ++tried) {
    const std::size_t end = closing(text, begin);
    if (end != std::string_view::npos) {
      Result<Json> json = lenient_json(text.substr(begin, end - begin + 1), name);
      if (json.ok()) {
        return json;
      }
      if (tried == 0) {
        why = json.error();
      }
    } else if (tried == 0) {
      why.message = std::string(name) + ": the JSON object is not closed (was the reply cut?)";
    }
    begin = text.find('{', begin + 1);
  }
  return why;
}

std::string clean_text(std::string_view text) {
  // Writing JSON replaces what is not UTF-8.
  const auto json = Json::parse(Json(text).dump(), "text");
  std::string out = json.ok() ? json->reader("text").text().value() : std::string();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool line_end = out[i] == '\r' && i + 1 < out.size() && out[i + 1] == '\n';
    if (out[i] != '\0' && !line_end) {
      out[kept++] = out[i];
    }
  }
  out.resize(kept);
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) {
    return std::string(text);
  }
  std::size_t end = most > 3 ? most - 3 : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
    --end;
  }
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace coppice::llm
