// Small look-ups on an Op and its element types.
#include "core/op.h"

#include "core/codec.h"

namespace coppice {
namespace {

constexpr std::string_view kTypeNames[] = {
    "f64", "f32", "f16", "bf16", "e4m3", "e5m2", "i64", "i32", "i8", "u8"};

template <class Range>
auto named(const Range& range, std::string_view name) -> const typename Range::value_type* {
  for (const auto& item : range) {
    if (item.name == name) {
      return &item;
    }
  }
  return nullptr;
}

}  // namespace

std::size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::e4m3:
    case DType::e5m2:
    case DType::i8:
    case DType::u8:
      return 1;
  }
  COPPICE_UNREACHABLE();
}

std::string_view to_text(DType type) {
  return kTypeNames[static_cast<std::size_t>(type)];
}

Result<DType> dtype(std::string_view text) {
  return enum_named<DType>("element type", kTypeNames, text);
}

const Suite* Op::suite(std::string_view wanted) const {
  return named(suites, wanted);
}

const Template* Op::find_template(std::string_view wanted) const {
  return named(templates, wanted);
}

const PrecisionClass* Op::precision_class(std::string_view wanted) const {
  return named(precision, wanted);
}

}  // namespace coppice
