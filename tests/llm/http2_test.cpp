// HTTP/2 as providers speak it: agreed on by TLS, one connection for call after call.
#include "llm/http_provider.h"
#include "tests/llm/certificate.h"
#include "tests/llm/outcomes.h"
#include "tests/support/catch.h"
#include "tests/support/text.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <thread>
#include <vector>

namespace coppice::llm {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum class Frame : std::uint8_t { data = 0, headers = 1, settings = 4, ping = 6, goaway = 7 };

// As much of a server of RFC 9113 as one client needs: it answers each stream that has ended with
// the same JSON. Who does not offer h2 is not let in.
class Http2Server {
 public:
  Http2Server(const Certificate& made, std::string answer)
      : answer_(std::move(answer)), context_(SSL_CTX_new(TLS_server_method())) {
    std::signal(SIGPIPE, SIG_IGN);  // a client may be gone before its answer
    SSL_CTX_use_certificate(context_, made.certificate);
    SSL_CTX_use_PrivateKey(context_, made.key);
    SSL_CTX_set_alpn_select_cb(context_, choose_h2, nullptr);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~Http2Server() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    SSL_CTX_free(context_);
  }
  Http2Server(const Http2Server&) = delete;
  Http2Server& operator=(const Http2Server&) = delete;

  int port() const { return port_; }
  // What came; to be read when the client is gone.
  int connections() const { return connections_; }
  int answered() const { return answered_; }
  const std::string& bodies() const { return bodies_; }

 private:
  static int choose_h2(SSL*,
                       const unsigned char** out,
                       unsigned char* length,
                       const unsigned char* offered,
                       unsigned int size,
                       void*) {
    for (unsigned int at = 0; at < size; at += 1 + offered[at]) {
      if (std::string_view(reinterpret_cast<const char*>(offered + at + 1), offered[at]) == "h2") {
        *out = offered + at + 1;
        *length = 2;
        return SSL_TLSEXT_ERR_OK;
      }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  void accept_all() {
    while (true) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) {
        return;
      }
      SSL* connection = SSL_new(context_);
      SSL_set_fd(connection, fd);
      if (SSL_accept(connection) == 1) {
        ++connections_;
        serve(connection);
      }
      SSL_free(connection);
      ::close(fd);
    }
  }

  static bool take(SSL* from, std::string& out, std::size_t size) {
    out.resize(size);
    for (std::size_t at = 0; at < size;) {
      const int got = SSL_read(from, out.data() + at, static_cast<int>(size - at));
      if (got <= 0) {
        return false;
      }
      at += static_cast<std::size_t>(got);
    }
    return true;
  }

  static void send(
      SSL* to, Frame type, char flags, std::string_view stream, std::string_view payload) {
    std::string frame;
    for (const int shift : {16, 8, 0}) {
      frame += static_cast<char>((payload.size() >> shift) & 0xff);
    }
    frame += static_cast<char>(type);
    frame += flags;
    frame.append(stream).append(payload);
    SSL_write(to, frame.data(), static_cast<int>(frame.size()));
  }

  void serve(SSL* connection) {
    std::string preface, head, payload;
    if (!take(connection, preface, kPreface.size()) || preface != kPreface) {
      return;
    }
    const std::string no_stream(4, '\0');
    send(connection, Frame::settings, 0, no_stream, "");
    while (take(connection, head, 9)) {
      const auto byte = [&head](std::size_t i) {
        return static_cast<unsigned char>(head[i]);
      };
      const std::size_t size = byte(0) * 65536UL + byte(1) * 256UL + byte(2);
      const bool flag = (byte(4) & 1) != 0;  // the end of a stream, or an acknowledgement
      const auto type = static_cast<Frame>(byte(3));
      if (!take(connection, payload, size) || type == Frame::goaway) {
        return;
      }
      if ((type == Frame::settings || type == Frame::ping) && !flag) {
        send(connection, type, 1, no_stream, type == Frame::ping ? payload : "");
      }
      if (type == Frame::data) {
        bodies_ += payload;
      }
      if ((type == Frame::data || type == Frame::headers) && flag) {
        // ":status: 200" and "content-type" stand in HPACK's static table.
        const std::string json = "application/json";
        const std::string block =
            std::string("\x88\x0f\x10", 3) + static_cast<char>(json.size()) + json;
        send(connection, Frame::headers, 4, std::string_view(head).substr(5), block);
        send(connection, Frame::data, 1, std::string_view(head).substr(5), answer_);
        ++answered_;
      }
    }
  }

  std::string answer_;
  SSL_CTX* context_;
  int listener_ = -1, port_ = 0;
  std::atomic<int> connections_{0}, answered_{0};
  std::string bodies_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a server that speaks HTTP/2 is spoken to in HTTP/2, on one connection", "[slow]") {
  const Certificate made("IP:127.0.0.1");
  const CertificateFile trusted(made.certificate);
  Http2Server server(
      made,
      R"({"id": "1", "model": "m", "choices": [{"message": {"content": "in frames"}, "finish_reason": "stop"}],)"
      R"( "usage": {"prompt_tokens": 3, "completion_tokens": 2}})");
  {
    HttpProviderOptions options;
    options.base_url = "https://127.0.0.1:" + std::to_string(server.port());
    options.ca_file = trusted.path();
    auto provider = http_provider(chat_completions(), options, process_environment);
    REQUIRE(provider.ok());
    CHECK(reply_of((*provider)->send(small_call())).text == "in frames");
    CHECK(reply_of((*provider)->send(small_call())).text == "in frames");
  }
  CHECK(server.answered() == 2);
  CHECK(server.connections() == 1);
  CHECK(contains(server.bodies(), "\"messages\""));
}

}  // namespace coppice::llm
