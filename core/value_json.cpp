// Json over nlohmann's value: construction, strict parsing and canonical writing.
#include "core/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>

namespace coppice {

using Node = nlohmann::json;

struct Json::Impl {
  Node node;
};

namespace {

constexpr std::size_t kMaxDepth = 200;

// Length of the well-formed UTF-8 sequence at `i`, or 0 (Unicode 15, table 3-7).
std::size_t utf8_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) {
    return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U;
  };
  const auto tail = [&](std::size_t k) {
    return (byte(k) & 0xC0U) == 0x80U;
  };
  const unsigned int first = byte(0);
  if (first < 0x80U) {
    return 1;
  }
  if (first >= 0xC2U && first <= 0xDFU) {
    return tail(1) ? 2 : 0;
  }
  if (first >= 0xE0U && first <= 0xEFU) {
    const bool low = first != 0xE0U || byte(1) >= 0xA0U;
    const bool no_surrogate = first != 0xEDU || byte(1) <= 0x9FU;
    return tail(1) && tail(2) && low && no_surrogate ? 3 : 0;
  }
  if (first >= 0xF0U && first <= 0xF4U) {
    const bool low = first != 0xF0U || byte(1) >= 0x90U;
    const bool high = first != 0xF4U || byte(1) <= 0x8FU;
    return tail(1) && tail(2) && tail(3) && low && high ? 4 : 0;
  }
  return 0;
}

// Compiler logs may hold any bytes: what is not UTF-8 becomes U+FFFD, so that a dump always parses.
std::string clean_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out.append(text.substr(i, length));
      i += length;
    }
  }
  return out;
}

Node number_node(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value > 0 ? "inf" : "-inf";
  }
  return value;
}

Node unsigned_node(std::uint64_t value) {
  // One spelling of a whole number, whichever way it came in.
  if (value <= static_cast<std::uint64_t>(INT64_MAX)) {
    return static_cast<std::int64_t>(value);
  }
  return value;
}

// ---- writing ----

void write_text(const std::string& text, std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kDigits[(c >> 4) & 15];
          out += kDigits[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

struct Layout {
  bool pretty = false;
  int depth = 0;
};

void new_line(Layout layout, std::string& out) {
  if (layout.pretty) {
    out += '\n';
    out.append(static_cast<std::size_t>(layout.depth) * 2, ' ');
  }
}

void write_node(const Node& node, Layout layout, std::string& out);

void write_container(const Node& node, Layout layout, std::string& out) {
  const bool object = node.is_object();
  out += object ? '{' : '[';
  const Layout inner{layout.pretty, layout.depth + 1};
  bool first = true;
  for (auto item = node.begin(); item != node.end(); ++item) {
    if (!first) {
      out += ',';
    }
    first = false;
    new_line(inner, out);
    if (object) {
      write_text(item.key(), out);
      out += layout.pretty ? ": " : ":";
    }
    write_node(*item, inner, out);
  }
  if (!first) {
    new_line(layout, out);
  }
  out += object ? '}' : ']';
}

void write_node(const Node& node, Layout layout, std::string& out) {
  switch (node.type()) {
    case Node::value_t::null:
      out += "null";
      return;
    case Node::value_t::boolean:
      out += node.get<bool>() ? "true" : "false";
      return;
    case Node::value_t::number_integer:
      out += std::to_string(node.get<std::int64_t>());
      return;
    case Node::value_t::number_unsigned:
      out += std::to_string(node.get<std::uint64_t>());
      return;
    case Node::value_t::number_float:
      out += to_text(Value(node.get<double>()));
      return;
    case Node::value_t::string:
      write_text(node.get_ref<const std::string&>(), out);
      return;
    case Node::value_t::object:
    case Node::value_t::array:
      write_container(node, layout, out);
      return;
    case Node::value_t::binary:
    case Node::value_t::discarded:
      break;
  }
  COPPICE_UNREACHABLE();
}

// ---- parsing ----

// A character pointer that tells the handler how far the parser has read.
struct CountingPointer {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** reached;

  reference operator*() const { return *at; }
  CountingPointer& operator++() {
    ++at;
    *reached = at;
    return *this;
  }
  CountingPointer operator++(int) {
    CountingPointer old = *this;
    ++*this;
    return old;
  }
  friend bool operator==(const CountingPointer& a, const CountingPointer& b) {
    return a.at == b.at;
  }
  friend bool operator!=(const CountingPointer& a, const CountingPointer& b) {
    return a.at != b.at;
  }
};

// Builds the tree and refuses what nlohmann lets pass: repeated keys, whole numbers beyond 64 bits.
class Builder final : public nlohmann::json_sax<Node> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(unsigned_node(value)); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (text.find_first_of(".eE") == std::string::npos) {
      problem_ = "the whole number " + text + " does not fit into 64 bits";
      return false;
    }
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Node::object()); }
  bool start_array(std::size_t) override { return open(Node::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    Node& object = *stack_.back();
    if (object.contains(name)) {
      problem_ = "the key \"" + name + "\" occurs twice";
      return false;
    }
    slot_ = &object[name];
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const Node::exception& why) override {
    offset_ = position;
    problem_ = why.what();
    // nlohmann's own prefix says what we say better: the text after the place.
    const std::size_t cut = problem_.find(": ");
    if (problem_.rfind("[json.exception", 0) == 0 && cut != std::string::npos) {
      problem_.erase(0, cut + 2);
    }
    return false;
  }

  Node root;
  const std::string& problem() const { return problem_; }
  std::size_t offset() const { return offset_; }  // 0: where the parser stopped

 private:
  Node* place(Node value) {
    if (stack_.empty()) {
      root = std::move(value);
      return &root;
    }
    if (stack_.back()->is_array()) {
      stack_.back()->push_back(std::move(value));
      return &stack_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool add(Node value) {
    place(std::move(value));
    return true;
  }
  bool open(Node value) {
    if (stack_.size() >= kMaxDepth) {
      problem_ = "nested deeper than " + std::to_string(kMaxDepth) + " levels";
      return false;
    }
    stack_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  std::vector<Node*> stack_;
  Node* slot_ = nullptr;
  std::string problem_;
  std::size_t offset_ = 0;
};

Error parse_problem(std::string_view text,
                    std::string_view name,
                    std::size_t offset,
                    std::string_view problem) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  const std::size_t column = std::max<std::size_t>(before.size() - start, 1);
  return Error{ErrorCode::config,
               std::string(name) + ": line " + std::to_string(line) + ", column " +
                   std::to_string(column) + ": not valid JSON: " + std::string(problem)};
}

}  // namespace

Json::Json() = default;
Json::Json(bool value) : impl_(new Impl{value}) {}
Json::Json(int value) : impl_(new Impl{static_cast<std::int64_t>(value)}) {}
Json::Json(std::int64_t value) : impl_(new Impl{value}) {}
Json::Json(std::uint64_t value) : impl_(new Impl{unsigned_node(value)}) {}
Json::Json(double value) : impl_(new Impl{number_node(value)}) {}
Json::Json(const char* value) : Json(std::string_view(value)) {}
Json::Json(std::string_view value) : impl_(new Impl{clean_text(value)}) {}
Json::Json(const std::string& value) : Json(std::string_view(value)) {}
Json::Json(const Value& value) {
  *this = std::visit([](const auto& held) { return Json(held); }, value);
}
Json::Json(const Json& other) : impl_(other.impl_ ? new Impl(*other.impl_) : nullptr) {}
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) {
  if (this != &other) {
    impl_.reset(other.impl_ ? new Impl(*other.impl_) : nullptr);
  }
  return *this;
}
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;

Json Json::object() {
  Json out;
  out.impl_.reset(new Impl{Node::object()});
  return out;
}

Json Json::array() {
  Json out;
  out.impl_.reset(new Impl{Node::array()});
  return out;
}

Result<Json> Json::parse(std::string_view text, std::string_view name) {
  const char* reached = text.data();
  const char* const end = text.data() + text.size();
  Builder builder;
  bool parsed = false;
  try {
    parsed = Node::sax_parse(
        CountingPointer{text.data(), &reached}, CountingPointer{end, &reached}, &builder);
  } catch (const std::exception& problem) {
    return parse_problem(
        text, name, static_cast<std::size_t>(reached - text.data()), problem.what());
  }
  if (!parsed) {
    const auto read = static_cast<std::size_t>(reached - text.data());
    return parse_problem(
        text, name, builder.offset() > 0 ? builder.offset() : read, builder.problem());
  }
  Json out;
  out.impl_.reset(new Impl{std::move(builder.root)});
  return out;
}

Json& Json::set(std::string_view key, Json value) {
  if (!impl_) {
    *this = object();
  }
  COPPICE_CHECK(impl_->node.is_object());
  impl_->node[clean_text(key)] = value.impl_ ? std::move(value.impl_->node) : Node(nullptr);
  return *this;
}

Json& Json::push(Json value) {
  if (!impl_) {
    *this = array();
  }
  COPPICE_CHECK(impl_->node.is_array());
  impl_->node.push_back(value.impl_ ? std::move(value.impl_->node) : Node(nullptr));
  return *this;
}

bool Json::is_null() const {
  return !impl_ || impl_->node.is_null();
}

bool Json::empty() const {
  return is_null() || ((impl_->node.is_object() || impl_->node.is_array()) && impl_->node.empty());
}

std::string Json::dump() const {
  std::string out;
  write_node(impl_ ? impl_->node : Node(nullptr), Layout{}, out);
  return out;
}

std::string Json::pretty() const {
  std::string out;
  write_node(impl_ ? impl_->node : Node(nullptr), Layout{.pretty = true}, out);
  return out;
}

bool operator==(const Json& a, const Json& b) {
  return a.dump() == b.dump();
}

JsonReader Json::reader(std::string_view name) const {
  static const Node kNull;
  return JsonReader::root(impl_ ? &impl_->node : &kNull, name);
}

Json JsonReader::copy() const {
  Json out;
  out.impl_.reset(new Json::Impl{*static_cast<const Node*>(node_)});
  return out;
}

}  // namespace coppice
