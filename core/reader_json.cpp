// JsonReader: typed access to a parsed document, with errors that name file, place and value.
#include "core/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace coppice {

using Node = nlohmann::json;

// One step of the way from the root; the steps share their beginnings.
struct JsonReader::Place {
  std::string name;  // of the document at the root, else the key or index
  std::shared_ptr<const Place> parent;
};

namespace {

const Node& as_node(const void* node) {
  return *static_cast<const Node*>(node);
}

// '~' and '/' escaped as in RFC 6901.
void append_step(const std::string& step, std::string& out) {
  out += '/';
  for (const char c : step) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string suggestion(std::string_view key, std::initializer_list<std::string_view> allowed) {
  std::string_view nearest;
  std::size_t distance = std::max<std::size_t>(2, key.size() / 2) + 1;
  for (const std::string_view candidate : allowed) {
    const std::size_t d = edit_distance(key, candidate);
    if (d < distance) {
      distance = d;
      nearest = candidate;
    }
  }
  if (!nearest.empty()) {
    return ", did you mean \"" + std::string(nearest) + "\"?";
  }
  std::string list;
  for (const std::string_view candidate : allowed) {
    list += (list.empty() ? "\"" : ", \"") + std::string(candidate) + "\"";
  }
  return allowed.size() == 0 ? ", no key is allowed here" : ", expected one of " + list;
}

}  // namespace

JsonReader::JsonReader(const void* node, std::shared_ptr<const Place> place)
    : node_(node), place_(std::move(place)) {}

JsonReader JsonReader::root(const void* node, std::string_view name) {
  return {node, std::make_shared<const Place>(Place{std::string(name), nullptr})};
}

JsonReader JsonReader::below(const void* node, std::string step) const {
  return {node, std::make_shared<const Place>(Place{std::move(step), place_})};
}

bool JsonReader::is_null() const {
  return as_node(node_).is_null();
}
bool JsonReader::is_object() const {
  return as_node(node_).is_object();
}
bool JsonReader::is_array() const {
  return as_node(node_).is_array();
}
bool JsonReader::is_string() const {
  return as_node(node_).is_string();
}
bool JsonReader::is_number() const {
  return as_node(node_).is_number();
}
bool JsonReader::is_bool() const {
  return as_node(node_).is_boolean();
}

Result<std::string> JsonReader::text() const {
  if (!is_string()) {
    return error("text");
  }
  return as_node(node_).get_ref<const std::string&>();
}

Result<std::int64_t> JsonReader::integer() const {
  if (as_node(node_).type() != Node::value_t::number_integer) {
    return error("a whole number");
  }
  return as_node(node_).get<std::int64_t>();
}

Result<std::uint64_t> JsonReader::unsigned_integer() const {
  const Node& node = as_node(node_);
  const bool whole = node.is_number_integer();
  if (!whole || (node.type() == Node::value_t::number_integer && node.get<std::int64_t>() < 0)) {
    return error("a whole number of at least 0");
  }
  return node.get<std::uint64_t>();
}

Result<std::int64_t> JsonReader::integer_in(std::int64_t low, std::int64_t high) const {
  const Result<std::int64_t> number = integer();
  if (!number.ok() || *number < low || *number > high) {
    return error("a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return number;
}

Result<double> JsonReader::real() const {
  if (is_number()) {
    return as_node(node_).get<double>();
  }
  if (is_string()) {
    const std::string& text = as_node(node_).get_ref<const std::string&>();
    if (text == "inf" || text == "-inf") {
      return text[0] == '-' ? -std::numeric_limits<double>::infinity()
                            : std::numeric_limits<double>::infinity();
    }
    if (text == "nan") {
      return std::numeric_limits<double>::quiet_NaN();
    }
  }
  return error("a number");
}

Result<bool> JsonReader::boolean() const {
  if (!is_bool()) {
    return error("true or false");
  }
  return as_node(node_).get<bool>();
}

Result<Value> JsonReader::value() const {
  const Node& node = as_node(node_);
  switch (node.type()) {
    case Node::value_t::boolean:
      return Value(node.get<bool>());
    case Node::value_t::number_integer:
      return Value(node.get<std::int64_t>());
    case Node::value_t::number_float:
      return Value(node.get<double>());
    case Node::value_t::string:
      return Value(node.get<std::string>());
    default:
      return error("true, false, a number or text");
  }
}

Result<std::vector<std::string>> JsonReader::texts() const {
  COPPICE_TRY(const std::vector<JsonReader> readers, items());
  std::vector<std::string> out;
  for (const JsonReader& reader : readers) {
    COPPICE_TRY(std::string item, reader.text());
    out.push_back(std::move(item));
  }
  return out;
}

Result<JsonReader> JsonReader::at(std::string_view key) const {
  if (!is_object()) {
    return error("an object");
  }
  const Node& node = as_node(node_);
  const auto member = node.find(std::string(key));
  if (member == node.end()) {
    return complain("the key \"" + std::string(key) + "\" is missing");
  }
  return below(&*member, std::string(key));
}

std::optional<JsonReader> JsonReader::find(std::string_view key) const {
  if (!is_object()) {
    return std::nullopt;
  }
  const Node& node = as_node(node_);
  const auto member = node.find(std::string(key));
  if (member == node.end() || member->is_null()) {
    return std::nullopt;
  }
  return below(&*member, std::string(key));
}

Result<std::vector<JsonReader>> JsonReader::items() const {
  if (!is_array()) {
    return error("an array");
  }
  std::vector<JsonReader> out;
  for (const Node& item : as_node(node_)) {
    out.push_back(below(&item, std::to_string(out.size())));
  }
  return out;
}

Result<std::vector<std::pair<std::string, JsonReader>>> JsonReader::members() const {
  if (!is_object()) {
    return error("an object");
  }
  const Node& node = as_node(node_);
  std::vector<std::pair<std::string, JsonReader>> out;
  for (auto member = node.begin(); member != node.end(); ++member) {
    out.emplace_back(member.key(), below(&*member, member.key()));
  }
  return out;
}

Result<void> JsonReader::only_keys(std::initializer_list<std::string_view> allowed) const {
  if (!is_object()) {
    return error("an object");
  }
  const Node& node = as_node(node_);
  for (auto member = node.begin(); member != node.end(); ++member) {
    if (std::find(allowed.begin(), allowed.end(), member.key()) == allowed.end()) {
      return complain("unknown key \"" + member.key() + "\"" + suggestion(member.key(), allowed));
    }
  }
  return {};
}

Result<std::string> JsonReader::text_or(std::string_view key, std::string_view fallback) const {
  const auto member = find(key);
  return member ? member->text() : Result<std::string>(std::string(fallback));
}

Result<std::int64_t> JsonReader::integer_or(std::string_view key, std::int64_t fallback) const {
  const auto member = find(key);
  return member ? member->integer() : Result<std::int64_t>(fallback);
}

Result<double> JsonReader::real_or(std::string_view key, double fallback) const {
  const auto member = find(key);
  return member ? member->real() : Result<double>(fallback);
}

Result<bool> JsonReader::boolean_or(std::string_view key, bool fallback) const {
  const auto member = find(key);
  return member ? member->boolean() : Result<bool>(fallback);
}

std::string JsonReader::place() const {
  std::vector<const Place*> steps;
  for (const Place* step = place_.get(); step != nullptr; step = step->parent.get()) {
    steps.push_back(step);
  }
  std::string out = steps.back()->name + ": ";
  steps.pop_back();
  if (steps.empty()) {
    return out + "/";
  }
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    append_step((*step)->name, out);
  }
  return out;
}

Error JsonReader::error(std::string_view expected) const {
  constexpr std::size_t kMaxFound = 60;
  std::string found = is_object() ? "an object" : is_array() ? "an array" : copy().dump();
  if (found.size() > kMaxFound) {
    found = found.substr(0, kMaxFound) + "...";
  }
  return complain("expected " + std::string(expected) + ", found " + found);
}

Error JsonReader::complain(std::string_view message) const {
  return Error{ErrorCode::config, place() + ": " + std::string(message)};
}

}  // namespace coppice
