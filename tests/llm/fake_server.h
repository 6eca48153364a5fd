// A real HTTP server on loopback that answers as providers do, and as they do on bad days.
#pragma once

#define CPPHTTPLIB_OPENSSL_SUPPORT
#include "llm/provider.h"
#include "tests/llm/outcomes.h"
#include "tests/support/catch.h"

#include <httplib.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace coppice::llm {

struct SeenRequest {
  std::string path;
  std::string body;
  httplib::Headers headers;

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// Runs until destroyed. `answer` is called on the server's threads.
class FakeServer {
 public:
  using Answer = std::function<void(const httplib::Request&, httplib::Response&)>;

  explicit FakeServer(Answer answer)
      : FakeServer(std::make_unique<httplib::Server>(), std::move(answer)) {}
  FakeServer(std::unique_ptr<httplib::Server> server, Answer answer)
      : server_(std::move(server)), answer_(std::move(answer)) {
    server_->Post(".*", [this](const httplib::Request& request, httplib::Response& response) {
      {
        const std::lock_guard lock(mutex_);
        seen_.push_back({request.path, request.body, request.headers});
      }
      answer_(request, response);
    });
    server_->set_keep_alive_timeout(1);
    port_ = server_->bind_to_any_port("127.0.0.1");
    REQUIRE(port_ > 0);
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) {
      std::this_thread::yield();
    }
  }
  ~FakeServer() {
    ending_ = true;
    server_->stop();
    thread_.join();
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  bool ending() const { return ending_; }
  std::vector<SeenRequest> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::unique_ptr<httplib::Server> server_;
  Answer answer_;
  mutable std::mutex mutex_;
  std::vector<SeenRequest> seen_;
  std::atomic<bool> ending_{false};
  int port_ = 0;
  std::thread thread_;
};

inline void json_answer(httplib::Response& response, const std::string& body, int status = 200) {
  response.status = status;
  response.set_content(body, "application/json");
}

inline std::string chat_reply(const std::string& text) {
  return Json::object()
      .set("id", "chatcmpl-1")
      .set("model", "m-1")
      .set("choices",
           Json::array().push(
               Json::object()
                   .set("index", 0)
                   .set("finish_reason", "stop")
                   .set("message", Json::object().set("role", "assistant").set("content", text))))
      .set("usage", Json::object().set("prompt_tokens", 11).set("completion_tokens", 5))
      .dump();
}

}  // namespace coppice::llm
