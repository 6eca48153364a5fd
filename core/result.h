// Result<T>: the value of an operation, or the Error that explains to a person why there is none.
#pragma once

#include "core/check.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace coppice {

// The code decides what the caller does; the message tells a person.
enum class ErrorCode {
  usage,        // command line: exit status 2
  config,       // a file that the user wrote: exit status 2
  missing,      // a named thing does not exist: exit status 2
  environment,  // compiler, device, library or permission: exit status 3
  io,           // disk, pipe, network: exit status 3
  busy,         // somebody else holds it: exit status 3
  corrupt,      // bytes that are not what was written: exit status 3
  interrupted,  // the user stopped it; resumable: exit status 130
};

// Exit status of the program for an error of this kind (see STYLE.md's command-line section).
int exit_status(ErrorCode code) noexcept;

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::io;
  std::string message;

  // The same error with the context put in front: "open archive: <message>".
  Error within(std::string_view context) const {
    return Error{code, std::string(context) + ": " + message};
  }
};

// Holds a T or an Error; reading the wrong one aborts.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  T& value() & {
    COPPICE_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    COPPICE_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  // By value: a reference into a temporary would not outlive a range-for's first line.
  T value() && {
    COPPICE_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    COPPICE_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

  // Adds context to an error and leaves a value alone.
  Result within(std::string_view context) && {
    return ok() ? std::move(*this) : Result(error().within(context));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}  // NOLINT

  bool ok() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return ok(); }
  const Error& error() const {
    COPPICE_CHECK(failed_);
    return error_;
  }
  Result within(std::string_view context) && {
    return ok() ? Result() : Result(error_.within(context));
  }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace coppice

#define COPPICE_CONCAT_INNER(a, b) a##b
#define COPPICE_CONCAT(a, b) COPPICE_CONCAT_INNER(a, b)

// COPPICE_TRY(auto x, f()): binds the value, or returns the error from the enclosing function.
#define COPPICE_TRY(declaration, expression) \
  COPPICE_TRY_NAMED(COPPICE_CONCAT(coppice_result_, __LINE__), declaration, expression)
#define COPPICE_TRY_NAMED(name, declaration, expression) \
  auto name = (expression);                              \
  if (!name.ok()) {                                      \
    return name.error();                                 \
  }                                                      \
  declaration = std::move(name).value()

// COPPICE_TRY_VOID(f()): returns the error from the enclosing function, if there is one.
#define COPPICE_TRY_VOID(expression)                                \
  do {                                                              \
    if (auto coppice_result = (expression); !coppice_result.ok()) { \
      return coppice_result.error();                                \
    }                                                               \
  } while (false)
