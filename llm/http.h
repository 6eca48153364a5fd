// Http: one POST over libcurl, with limits on time and size; TLS is always verified, redirects are
// never followed.
#pragma once

#include "llm/provider.h"

#include <memory>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

namespace coppice::llm {

struct HttpRequest {
  std::string url;  // http:// or https://
  std::vector<std::string> headers;
  std::string body;
  std::string proxy;    // empty: as the environment says (http_proxy, https_proxy, no_proxy)
  std::string ca_file;  // empty: the system's certificates
  Nanoseconds deadline = std::chrono::seconds(300);
  Nanoseconds silence{};  // no byte for so long is a timeout; 0: only the deadline counts
  std::size_t max_bytes = std::size_t{16} << 20;  // of the reply's body
};

struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::string retry_after;     // header, as it came
  std::string retry_after_ms;  // header, as it came
  std::string date;            // header, as it came
  std::string request_id;
  std::string body;
  Nanoseconds latency{};
};

// Keeps connections open between calls. Thread-safe: concurrent posts use connections of their own.
class Http {
 public:
  Http();
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  // Any status is a response; a Failure says why there is none.
  std::variant<HttpResponse, Failure> post(const HttpRequest& request, const std::stop_token& stop);

 private:
  struct Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace coppice::llm
