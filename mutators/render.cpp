// Renders a template under a genome into a Candidate.
#include "mutators/render.h"

#include <set>

namespace coppice::mutators {
namespace {

// "staging" -> "STAGING", "head-dim" -> "HEAD_DIM".
std::string macro_name(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += lower ? static_cast<char>(c - 'a' + 'A') : plain ? c : '_';
  }
  return name;
}

class Defines {
 public:
  Result<void> add(const std::string& name, const std::string& value) {
    if (!names_.insert(name).second) {
      return Error{ErrorCode::config, "two axes or types define " + name};
    }
    text_ += "#define " + name + " " + value + "\n";
    return {};
  }
  std::string take() { return std::move(text_); }

 private:
  std::set<std::string> names_;
  std::string text_;
};

}  // namespace

Result<std::string> define_block(const AxisSpace& space,
                                 const Genome& genome,
                                 const TensorTypes& types) {
  Defines defines;
  for (std::size_t i = 0; i < space.size(); ++i) {
    const std::string axis = macro_name(space.axis(i).name);
    const Value& value = space.value(genome, i);
    if (const std::string* text = std::get_if<std::string>(&value)) {
      COPPICE_TRY_VOID(defines.add(axis + "_" + macro_name(*text), "1"));
    } else if (const bool* flag = std::get_if<bool>(&value)) {
      COPPICE_TRY_VOID(defines.add(axis, *flag ? "1" : "0"));
    } else {
      COPPICE_TRY_VOID(defines.add(axis, to_text(value)));
    }
  }
  for (const auto& [name, type] : types) {
    COPPICE_TRY_VOID(defines.add(macro_name(name) + "_" + macro_name(type), "1"));
  }
  return defines.take();
}

Result<Candidate> render(const Template& source,
                         const AxisSpace& space,
                         const Genome& genome,
                         const TensorTypes& types,
                         std::string_view headline) {
  const std::string place = "template " + source.name;
  if (genome.levels.size() != space.size() || !space.valid(genome)) {
    return Error{ErrorCode::config, place + ": the genome breaks a restriction"};
  }
  Candidate candidate;
  candidate.backend = source.backend;
  candidate.source_name = source.source_name;
  COPPICE_TRY(const std::string defines, define_block(space, genome, types).within(place));
  candidate.source = defines + source.source;
  candidate.plan = source.plan;
  candidate.axis_values = space.values(genome);
  candidate.flags = source.flags;
  candidate.precision = headline;
  candidate.label = source.name + ": " + space.describe(genome);
  if (source.precision) {
    ValueMap values = space.constants();
    for (const auto& [name, value] : candidate.axis_values) {
      values.insert_or_assign(name, value);
    }
    COPPICE_TRY(const Value precision,
                source.precision->evaluate(values).within(place + ": precision"));
    if (!std::holds_alternative<std::string>(precision)) {
      return Error{
          ErrorCode::config,
          place + ": precision: expected the name of a class, found " + to_text(precision)};
    }
    candidate.precision = std::get<std::string>(precision);
  }
  return candidate;
}

}  // namespace coppice::mutators
