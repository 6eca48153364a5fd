// Filling in the C structures, and loading trusted code from memory.

#include "evaluators/cpu/op_abi.h"

#include "evaluators/wire.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

double number(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    return static_cast<double>(*whole);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return *real;
  }
  const auto* truth = std::get_if<bool>(&value);
  return truth != nullptr && *truth ? 1.0 : 0.0;
}

}  // namespace

Problem::Problem(const Op& op, const Workload& workload, const std::vector<TensorShape>& tensors)
    : message_(1024, '\0') {
  names_.reserve(workload.dims.size() + op.constants.size() + workload.structure.size() +
                 tensors.size() + op.scalars.size());
  const auto keep = [&](const std::string& name) {
    return names_.emplace_back(name).c_str();
  };
  for (const auto& [name, extent] : workload.dims) {
    dims_.push_back({keep(name), static_cast<double>(extent)});
  }
  for (const auto& [name, value] : op.constants) {
    constants_.push_back({keep(name), number(value)});
  }
  for (const auto& [name, value] : workload.structure) {
    parameters_.push_back({keep(name), number(value)});
  }
  for (const std::string& name : op.scalars) {
    scalars_.push_back({keep(name), 0.0});
  }
  for (const TensorShape& tensor : tensors) {
    AbiTensor t{keep(tensor.name),
                static_cast<std::int32_t>(tensor.dtype),
                static_cast<std::int32_t>(std::min<std::size_t>(tensor.shape.size(), 8)),
                {},
                nullptr};
    std::copy_n(tensor.shape.begin(), t.rank, t.shape);
    tensors_.push_back(t);
  }
  const auto count = [](const auto& list) {
    return static_cast<std::int32_t>(list.size());
  };
  abi_ = {dims_.data(),
          count(dims_),
          constants_.data(),
          count(constants_),
          parameters_.data(),
          count(parameters_),
          tensors_.data(),
          count(tensors_),
          scalars_.data(),
          count(scalars_),
          message_.data(),
          message_.size()};
}

ValueMap Problem::scalars() const {
  ValueMap out;
  for (const AbiNamed& scalar : scalars_) {
    const auto whole = static_cast<std::int64_t>(scalar.value);
    if (static_cast<double>(whole) == scalar.value) {
      out.emplace(scalar.name, Value(whole));
    } else {
      out.emplace(scalar.name, Value(scalar.value));
    }
  }
  return out;
}

Result<TrustedLibrary> TrustedLibrary::load(std::string_view bytes) {
  const Fd file(::memfd_create("trusted.so", MFD_CLOEXEC));
  std::size_t written = 0;
  while (file && written < bytes.size()) {
    const ssize_t n = ::write(file.get(), bytes.data() + written, bytes.size() - written);
    if (n <= 0) {
      break;
    }
    written += static_cast<std::size_t>(n);
  }
  if (!file || written != bytes.size()) {
    return Error{ErrorCode::environment, fmt::format("load: {}", std::strerror(errno))};
  }
  TrustedLibrary out;
  const std::string path = fmt::format("/proc/self/fd/{}", file.get());
  out.handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (out.handle_ == nullptr) {
    const char* why = ::dlerror();
    return Error{ErrorCode::environment, fmt::format("load: {}", why != nullptr ? why : "unknown")};
  }
  return out;
}

void* TrustedLibrary::find(const char* name) const {
  return handle_ == nullptr ? nullptr : ::dlsym(handle_, name);
}

}  // namespace coppice::evaluators::cpu
