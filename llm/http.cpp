// A POST is driven through libcurl's multi interface, so that a stop request ends it at once.
#include "llm/http.h"

#include "core/thread_safety.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace coppice::llm {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;
using List = std::unique_ptr<curl_slist, ListDeleter>;

bool curl_ready() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

struct Transfer {
  const HttpRequest* request = nullptr;
  HttpResponse response;
  bool too_large = false;
  SteadyTime last_byte = std::chrono::steady_clock::now();
};

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  const std::size_t bytes = size * count;
  transfer.last_byte = std::chrono::steady_clock::now();
  if (transfer.response.body.size() + bytes > transfer.request->max_bytes) {
    transfer.too_large = true;
    return 0;
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  transfer.last_byte = std::chrono::steady_clock::now();
  const std::string_view line(data, size * count);
  const std::size_t colon = line.find(':');
  if (line.starts_with("HTTP/") || colon == std::string_view::npos) {
    return line.size();
  }
  std::string name(line.substr(0, colon));
  std::ranges::transform(
      name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
  };
  while (!value.empty() && blank(value.front())) {
    value.remove_prefix(1);
  }
  while (!value.empty() && blank(value.back())) {
    value.remove_suffix(1);
  }
  HttpResponse& response = transfer.response;
  const std::pair<std::string_view, std::string*> wanted[] = {
      {"content-type", &response.content_type},
      {"retry-after", &response.retry_after},
      {"retry-after-ms", &response.retry_after_ms},
      {"date", &response.date},
      {"x-request-id", &response.request_id},
      {"request-id", &response.request_id}};
  for (const auto& [header, out] : wanted) {
    if (name == header) {
      *out = std::string(value.substr(0, 200));
    }
  }
  return line.size();
}

FailureKind curl_kind(CURLcode code) {
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_USE_SSL_FAILED:
      return FailureKind::tls;
    case CURLE_OPERATION_TIMEDOUT:
      return FailureKind::timeout;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_NOT_BUILT_IN:
      return FailureKind::bad_request;
    default:
      return FailureKind::overloaded;  // no connection, or one that broke
  }
}

Failure http_failure(FailureKind kind, std::string message) {
  return Failure{.kind = kind, .message = std::move(message)};
}

std::string without_proxy() {
  std::string hosts = "localhost,127.0.0.1,::1";
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    if (const char* more = std::getenv(name); more != nullptr && *more != '\0') {
      return std::string(more) == "*" ? "*" : hosts + "," + more;
    }
  }
  return hosts;
}

// The system's certificates: where this libcurl was built they may lie elsewhere than here.
std::string system_certificates() {
  if (const char* named = std::getenv("SSL_CERT_FILE"); named != nullptr && *named != '\0') {
    return named;
  }
  for (const char* place : {"/etc/ssl/certs/ca-certificates.crt",  // Debian, Ubuntu
                            "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora, Red Hat
                            "/etc/ssl/ca-bundle.pem",              // SUSE
                            "/etc/ssl/cert.pem"}) {                // Alpine
    if (::access(place, R_OK) == 0) {
      return place;
    }
  }
  return "";
}

void set_limits(CURL* easy, const HttpRequest& request) {
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(request.deadline);
  const long milliseconds = std::max<long>(1, static_cast<long>(limit.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, std::min(milliseconds, 30000L));
  const std::string direct = without_proxy();
  curl_easy_setopt(easy, CURLOPT_NOPROXY, direct.c_str());
  if (!request.proxy.empty()) {
    curl_easy_setopt(easy, CURLOPT_PROXY, request.proxy.c_str());
  }
  const std::string trusted = request.ca_file.empty() ? system_certificates() : request.ca_file;
  if (!trusted.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, trusted.c_str());
  }
}

// Runs the transfer; the reason when we, not the other side, gave it up.
std::optional<Failure> drive(CURLM* multi, const Transfer& transfer, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  const HttpRequest& request = *transfer.request;
  int running = 1;
  while (true) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) {
      return http_failure(FailureKind::overloaded, "libcurl could not go on");
    }
    if (running == 0) {
      return std::nullopt;
    }
    if (stop.stop_requested()) {
      return http_failure(FailureKind::cancelled, "stopped");
    }
    if (request.silence.count() > 0 &&
        std::chrono::steady_clock::now() - transfer.last_byte > request.silence) {
      return http_failure(FailureKind::timeout,
                          fmt::format("no byte for {:.3g} s", to_seconds(request.silence)));
    }
    curl_multi_poll(multi, nullptr, 0, request.silence.count() > 0 ? 20 : 200, nullptr);
  }
}

CURLcode result_of(CURLM* multi) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg == CURLMSG_DONE) {
      return message->data.result;
    }
  }
  return CURLE_RECV_ERROR;
}

List header_list(const std::vector<std::string>& headers) {
  List list;
  for (const std::string& header : headers) {
    if (curl_slist* longer = curl_slist_append(list.get(), header.c_str())) {
      [[maybe_unused]] curl_slist* same = list.release();  // appended to, or none yet
      list.reset(longer);
    }
  }
  return list;
}

std::variant<HttpResponse, Failure> post_on(CURLM* multi,
                                            const HttpRequest& request,
                                            const std::stop_token& stop) {
  const Easy easy(curl_easy_init());
  if (!easy) {
    return http_failure(FailureKind::overloaded, "libcurl gave no handle");
  }
  Transfer transfer;
  transfer.request = &request;
  char detail[CURL_ERROR_SIZE] = "";
  std::vector<std::string> headers = request.headers;
  headers.push_back("Expect:");  // bodies are small: never wait for a 100
  const List list = header_list(headers);
  set_limits(easy.get(), request);
  curl_easy_setopt(easy.get(), CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_POST, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, request.body.data());
  curl_easy_setopt(
      easy.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, list.get());
  curl_easy_setopt(easy.get(), CURLOPT_USERAGENT, "coppice");
  curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy.get(), CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(easy.get(), CURLOPT_HEADERDATA, &transfer);

  const SteadyTime begin = std::chrono::steady_clock::now();
  curl_multi_add_handle(multi, easy.get());
  std::optional<Failure> given_up = drive(multi, transfer, stop);
  const CURLcode code = given_up ? CURLE_OK : result_of(multi);
  curl_multi_remove_handle(multi, easy.get());
  const Nanoseconds latency = std::chrono::steady_clock::now() - begin;
  if (!given_up && code != CURLE_OK) {
    const std::string why = detail[0] != '\0' ? detail : curl_easy_strerror(code);
    given_up =
        transfer.too_large
            ? http_failure(FailureKind::bad_reply,
                           fmt::format("the reply is larger than {} bytes", request.max_bytes))
            : http_failure(curl_kind(code), why);
  }
  if (given_up) {
    given_up->latency = latency;
    given_up->request_id = transfer.response.request_id;
    return *given_up;
  }
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  transfer.response.latency = latency;
  return std::move(transfer.response);
}

}  // namespace

// Idle handles, each with its open connections.
struct Http::Pool {
  struct MultiDeleter {
    void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
  };
  using Multi = std::unique_ptr<CURLM, MultiDeleter>;

  Mutex mutex;
  std::vector<Multi> idle COPPICE_GUARDED_BY(mutex);

  Multi take() {
    const MutexLock lock(mutex);
    if (idle.empty()) {
      return Multi(curl_multi_init());
    }
    Multi out = std::move(idle.back());
    idle.pop_back();
    return out;
  }
  void give_back(Multi multi) {
    const MutexLock lock(mutex);
    idle.push_back(std::move(multi));
  }
};

Http::Http() : pool_(std::make_unique<Pool>()) {}
Http::~Http() = default;

std::variant<HttpResponse, Failure> Http::post(const HttpRequest& request,
                                               const std::stop_token& stop) {
  Pool::Multi multi = curl_ready() ? pool_->take() : nullptr;
  if (!multi) {
    return http_failure(FailureKind::overloaded, "libcurl could not be started");
  }
  auto out = post_on(multi.get(), request, stop);
  pool_->give_back(std::move(multi));
  return out;
}

}  // namespace coppice::llm
