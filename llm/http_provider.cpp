// Asks a server, and sorts what comes back: status, content type, body.
#include "llm/http_provider.h"

#include "llm/retry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <ctime>

namespace coppice::llm {
namespace {

bool is_media_type(std::string_view header, std::string_view type) {
  std::string name(header.substr(0, header.find(';')));
  while (!name.empty() && name.back() == ' ') {
    name.pop_back();
  }
  std::ranges::transform(
      name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name == type || (type == "application/json" && name.ends_with("+json"));
}

// Retry-After, measured against the server's own clock where it tells it.
std::optional<Nanoseconds> wished_wait(const HttpResponse& response) {
  double milliseconds = 0;
  const std::string& precise = response.retry_after_ms;
  const auto end = std::from_chars(precise.data(), precise.data() + precise.size(), milliseconds);
  if (!precise.empty() && end.ec == std::errc() && milliseconds >= 0 && milliseconds < 1e9) {
    return Nanoseconds(static_cast<std::int64_t>(milliseconds * 1e6));
  }
  const std::int64_t now = http_date(response.date).value_or(std::time(nullptr));
  return retry_after(response.retry_after, now);
}

class HttpProvider final : public Provider {
 public:
  HttpProvider(std::unique_ptr<Dialect> dialect,
               HttpProviderOptions options,
               std::string key,
               Secrets secrets)
      : Provider(std::move(secrets)),
        dialect_(std::move(dialect)),
        options_(std::move(options)),
        key_(std::move(key)) {}

 protected:
  Outcome attempt(const Call& call, const std::stop_token& stop) override {
    HttpRequest request;
    request.url = options_.base_url + std::string(dialect_->path());
    request.headers = dialect_->headers(key_);
    request.headers.emplace_back("Content-Type: application/json");
    request.headers.emplace_back(options_.dialect.stream
                                     ? "Accept: text/event-stream, application/json"
                                     : "Accept: application/json");
    request.body = dialect_->body(call, options_.dialect).dump();
    request.proxy = options_.proxy;
    request.ca_file = options_.ca_file;
    request.deadline = call.deadline;
    request.silence = options_.dialect.stream ? options_.silence : Nanoseconds(0);
    request.max_bytes = options_.max_bytes;
    auto answer = http_.post(request, stop);
    if (Failure* failure = std::get_if<Failure>(&answer)) {
      return std::move(*failure);
    }
    const HttpResponse& response = std::get<HttpResponse>(answer);
    Outcome outcome = response.status == 200 ? read(response) : refused(response);
    finish(call, response, outcome);
    return outcome;
  }

 private:
  Outcome read(const HttpResponse& response) const {
    if (is_media_type(response.content_type, "text/event-stream")) {
      return dialect_->read_stream(response.body);
    }
    if (is_media_type(response.content_type, "application/json") || response.content_type.empty()) {
      return dialect_->read(response.body);
    }
    return Failure{
        .kind = FailureKind::bad_reply,
        .message = fmt::format("expected application/json, found content type \"{}\": {}",
                               excerpt(response.content_type),
                               excerpt(std::string_view(response.body).substr(0, 200)))};
  }

  static Outcome refused(const HttpResponse& response) {
    if (response.status >= 300 && response.status < 400) {
      return Failure{.kind = FailureKind::bad_request,
                     .message = fmt::format("HTTP {}: the server redirects; redirects are never "
                                            "followed, give the final address",
                                            response.status)};
    }
    if (response.status < 300) {
      return Failure{.kind = FailureKind::bad_reply,
                     .message = fmt::format("expected HTTP 200, found {}", response.status)};
    }
    Failure failure = failure_of(response.status, response.body);
    failure.retry_after = wished_wait(response);
    return failure;
  }

  // What both kinds of outcome carry, and estimates where the server did not count.
  static void finish(const Call& call, const HttpResponse& response, Outcome& outcome) {
    if (Reply* reply = std::get_if<Reply>(&outcome)) {
      reply->latency = response.latency;
      reply->request_id = response.request_id.empty() ? reply->request_id : response.request_id;
      if (!reply->usage.counted) {
        reply->usage.in = estimated_tokens(call.messages);
        reply->usage.out = estimated_tokens(reply->text);
      }
    } else {
      Failure& failure = std::get<Failure>(outcome);
      failure.latency = response.latency;
      failure.request_id = response.request_id.empty() ? failure.request_id : response.request_id;
    }
  }

  std::unique_ptr<Dialect> dialect_;
  HttpProviderOptions options_;
  std::string key_;
  Http http_;
};

struct Address {
  bool secure = false;
  std::string host;
};

Result<Address> address_of(const std::string& url) {
  const auto bad = [](std::string_view what) {
    return Error{ErrorCode::config, "base_url: " + std::string(what)};
  };
  Address out;
  out.secure = url.starts_with("https://");
  if (!out.secure && !url.starts_with("http://")) {
    return bad("expected an address that starts with https:// or http://");
  }
  const std::string rest = url.substr(out.secure ? 8 : 7);
  const std::string authority = rest.substr(0, rest.find('/'));
  if (url.find_first_of("?#") != std::string::npos || authority.find('@') != std::string::npos) {
    return bad("expected no user, password, query or fragment: keys come from the environment");
  }
  const bool printable = std::ranges::all_of(
      url, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
  out.host = authority.starts_with('[') ? authority.substr(0, authority.find(']') + 1)
                                        : authority.substr(0, authority.find(':'));
  if (!printable || out.host.empty()) {
    return bad("expected a host and no blanks");
  }
  return out;
}

bool is_this_machine(const std::string& host) {
  const bool loopback =
      host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "[::1]" || loopback;
}

}  // namespace

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Result<std::unique_ptr<Provider>> http_provider(std::unique_ptr<Dialect> dialect,
                                                HttpProviderOptions options,
                                                const Environment& environment) {
  COPPICE_TRY(const Address address, address_of(options.base_url));
  while (options.base_url.ends_with('/')) {
    options.base_url.pop_back();
  }
  std::string key;
  Secrets secrets;
  if (!options.key_env.empty()) {
    key = environment(options.key_env).value_or("");
    if (key.empty()) {
      return Error{ErrorCode::environment,
                   "the environment variable " + options.key_env + " (the key) is not set"};
    }
    const bool printable = std::ranges::all_of(
        key, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
    if (!printable) {
      return Error{ErrorCode::environment,
                   "the key in " + options.key_env + " holds a blank or a control character"};
    }
    if (!address.secure && !is_this_machine(address.host)) {
      return Error{ErrorCode::config,
                   "base_url: the key would cross the network unencrypted; use https://"};
    }
    secrets.add(key);
  }
  // A proxy's address may hold a password.
  if (const std::size_t at = options.proxy.find('@'); at != std::string::npos) {
    secrets.add(options.proxy);
    const std::size_t scheme = options.proxy.find("://");
    const std::size_t from = scheme == std::string::npos ? 0 : scheme + 3;
    secrets.add(options.proxy.substr(from, at - from));
  }
  return std::unique_ptr<Provider>(std::make_unique<HttpProvider>(
      std::move(dialect), std::move(options), std::move(key), std::move(secrets)));
}

}  // namespace coppice::llm
