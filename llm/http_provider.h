// HttpProvider: a server behind an address, in one of the dialects.
#pragma once

#include "llm/dialect.h"
#include "llm/http.h"

#include <functional>
#include <memory>
#include <string>

namespace coppice::llm {

struct HttpProviderOptions {
  std::string base_url;  // "https://api.openai.com/v1"
  std::string key_env;   // name of the environment variable that holds the key; empty: no key
  std::string proxy;     // empty: from the environment
  std::string ca_file;   // empty: the system's
  DialectOptions dialect;
  Nanoseconds silence = std::chrono::seconds(120);  // streams only
  std::size_t max_bytes = std::size_t{16} << 20;
};

// Reads a variable of the environment; tests give their own.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
std::optional<std::string> process_environment(const std::string& name);

// Errors: an address that would leak the key (user:password@, a query, plain http beyond this
// machine), a key that is missing or can't be a header's value. No message holds the key.
Result<std::unique_ptr<Provider>> http_provider(std::unique_ptr<Dialect> dialect,
                                                HttpProviderOptions options,
                                                const Environment& environment);

}  // namespace coppice::llm
