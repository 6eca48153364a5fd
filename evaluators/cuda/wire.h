// Messages between the agent and its judge and candidate processes: flat bytes, every read checked.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace coppice::evaluators::cuda {

// Appends plain values, texts and lists.
class WireWriter {
 public:
  template <class T>
  WireWriter& put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  WireWriter& text(std::string_view value) {
    put<std::uint64_t>(value.size());
    bytes_.append(value);
    return *this;
  }
  template <class T>
  WireWriter& list(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    put<std::uint64_t>(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    return *this;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what WireWriter wrote. After the first short read everything is zero and ok() is false.
class WireReader {
 public:
  // The bytes must outlive the reader: a temporary string would not.
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}
  explicit WireReader(std::string&&) = delete;

  template <class T>
  T get() {
    static_assert(std::is_trivially_copyable_v<T>);
    T out{};
    if (rest_.size() < sizeof(T)) {
      fail();
      return out;
    }
    std::memcpy(&out, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return out;
  }
  std::string text() {
    const auto size = get<std::uint64_t>();
    if (size > rest_.size()) {
      fail();
      return "";
    }
    std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }
  template <class T>
  std::vector<T> list() {
    const auto count = get<std::uint64_t>();
    if (count > rest_.size() / sizeof(T)) {
      fail();
      return {};
    }
    std::vector<T> out(count);
    if (count > 0) {
      std::memcpy(out.data(), rest_.data(), count * sizeof(T));
    }
    rest_.remove_prefix(count * sizeof(T));
    return out;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }

 private:
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace coppice::evaluators::cuda
