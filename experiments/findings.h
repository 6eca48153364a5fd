// Findings: collects every problem of an operation's folder instead of stopping at the first.
#pragma once

#include "core/json.h"
#include "core/result.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace coppice::experiments {

class Findings {
 public:
  void add(Error error) { errors_.push_back(std::move(error)); }
  void add(const std::string& place, const std::string& message) {
    errors_.push_back(Error{ErrorCode::config, place + ": " + message});
  }

  // The value, or nothing when there is none (its error is then kept).
  template <class T>
  std::optional<T> take(Result<T> result) {
    if (result.ok()) {
      return std::move(result).value();
    }
    add(result.error());
    return std::nullopt;
  }
  // The value or what stands for it after an error.
  template <class T>
  T take_or(Result<T> result, T fallback) {
    auto value = take(std::move(result));
    return value.has_value() ? std::move(*value) : std::move(fallback);
  }
  bool take(const Result<void>& result) {
    if (!result.ok()) {
      add(result.error());
    }
    return result.ok();
  }

  std::size_t count() const { return errors_.size(); }
  const std::vector<Error>& errors() const { return errors_; }

 private:
  std::vector<Error> errors_;
};

}  // namespace coppice::experiments
