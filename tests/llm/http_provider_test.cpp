// Providers over HTTP against a real server on loopback: each good and bad day, and no key
// anywhere.
#include "llm/http_provider.h"

#include "tests/llm/fake_server.h"
#include "tests/support/text.h"

#include <cstdlib>

namespace coppice::llm {
namespace {

constexpr const char* kKey = "sk-test-0123456789abcdef";

std::optional<std::string> with_key(const std::string& name) {
  return name == "TEST_KEY" ? std::optional<std::string>(kKey) : std::nullopt;
}

std::unique_ptr<Provider> provider_at(const std::string& url,
                                      bool stream = false,
                                      std::unique_ptr<Dialect> dialect = chat_completions()) {
  HttpProviderOptions options;
  options.base_url = url;
  options.key_env = "TEST_KEY";
  options.dialect.stream = stream;
  auto provider = http_provider(std::move(dialect), options, with_key);
  REQUIRE(provider.ok());
  return std::move(provider).value();
}

Outcome ask(FakeServer::Answer answer, bool stream = false) {
  FakeServer server(std::move(answer));
  return provider_at(server.url(), stream)->send(small_call());
}

FakeServer::Answer body_answer(std::string body, std::string type = "application/json") {
  return [=](const httplib::Request&, httplib::Response& response) {
    response.set_content(body, type);
  };
}

}  // namespace

TEST_CASE("a chat completion comes back with text, tokens, model, id and latency", "[slow]") {
  FakeServer server([](const httplib::Request&, httplib::Response& response) {
    json_answer(response, chat_reply("hello"));
    response.set_header("x-request-id", "req-7");
  });
  const Outcome outcome = provider_at(server.url())->send(small_call());
  const Reply& reply = reply_of(outcome);
  CHECK(reply.text == "hello");
  CHECK(reply.usage.in == 11);
  CHECK(reply.usage.out == 5);
  CHECK(reply.usage.counted);
  CHECK(reply.model == "m-1");
  CHECK(reply.request_id == "req-7");
  CHECK(reply.latency.count() > 0);
  REQUIRE(server.seen().size() == 1);
  const SeenRequest seen = server.seen().front();
  CHECK(seen.path == "/v1/chat/completions");
  CHECK(seen.header("Authorization") == std::string("Bearer ") + kKey);
  CHECK_FALSE(contains(seen.body, kKey));
}

TEST_CASE("a streamed chat completion is put together from its pieces", "[slow]") {
  const Outcome outcome = ask(
      [](const httplib::Request&, httplib::Response& response) {
        response.set_chunked_content_provider(
            "text/event-stream", [](std::size_t, httplib::DataSink& sink) {
              const std::string body =
                  ": ping\r\n\r\n"
                  "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n"
                  "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\n"
                  "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                  "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":"
                  "2,\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\n"
                  "data: [DONE]\n\n";
              for (std::size_t i = 0; i < body.size(); i += 7) {
                sink.write(body.data() + i, std::min<std::size_t>(7, body.size() - i));
              }
              sink.done();
              return true;
            });
      },
      true);
  CHECK(reply_of(outcome).text == "hello");
  CHECK(reply_of(outcome).usage.cached == 8);
}

TEST_CASE("a server that ignores the wish for a stream is understood", "[slow]") {
  CHECK(reply_of(ask(body_answer(chat_reply("whole")), true)).text == "whole");
}

TEST_CASE("a stream that is cut is no reply", "[slow]") {
  const Failure failure =
      failure_in(ask(body_answer("data: {\"choices\":[{\"delta\":{\"content\":\"hal\"}}]}\n\n",
                                 "text/event-stream"),
                     true));
  CHECK(failure.kind == FailureKind::overloaded);
  CHECK(contains(failure.message, "ended before"));
}

TEST_CASE("too many requests carry the provider's wait in seconds and as a date", "[slow]") {
  const auto answer = [](std::string value) {
    return [=](const httplib::Request&, httplib::Response& response) {
      json_answer(response, R"({"error":{"message":"slow down","type":"rate_limit_error"}})", 429);
      response.set_header("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
      response.set_header("Retry-After", value);
    };
  };
  const Failure seconds = failure_in(ask(answer("17")));
  CHECK(seconds.kind == FailureKind::rate_limited);
  CHECK(seconds.retry_after == std::chrono::seconds(17));
  CHECK(contains(seconds.message, "slow down"));
  const Failure date = failure_in(ask(answer("Sun, 06 Nov 1994 08:50:07 GMT")));
  CHECK(date.retry_after == std::chrono::seconds(30));
}

TEST_CASE("a status says what kind of failure it is", "[slow]") {
  const std::pair<int, FailureKind> cases[] = {{400, FailureKind::bad_request},
                                               {401, FailureKind::auth},
                                               {403, FailureKind::auth},
                                               {404, FailureKind::bad_request},
                                               {408, FailureKind::timeout},
                                               {500, FailureKind::overloaded},
                                               {503, FailureKind::overloaded},
                                               {529, FailureKind::overloaded}};
  int status = 0;
  FakeServer server([&](const httplib::Request&, httplib::Response& response) {
    json_answer(response, R"({"error":{"message":"no"}})", status);
  });
  const auto provider = provider_at(server.url());
  for (const auto& [code, kind] : cases) {
    status = code;
    CAPTURE(code);
    CHECK(failure_in(provider->send(small_call())).kind == kind);
  }
}

TEST_CASE("an exhausted account is not worth retrying, though it comes as 429", "[slow]") {
  const Failure failure = failure_in(ask([](const httplib::Request&, httplib::Response& response) {
    json_answer(
        response,
        R"({"error":{"message":"quota","type":"insufficient_quota","code":"insufficient_quota"}})",
        429);
  }));
  CHECK(failure.kind == FailureKind::auth);
}

TEST_CASE("a body that does not come in time is a timeout", "[slow]") {
  FakeServer* running = nullptr;
  FakeServer server([&](const httplib::Request&, httplib::Response& response) {
    response.set_content_provider(
        1000, "application/json", [&](std::size_t, std::size_t, httplib::DataSink& sink) {
          sink.write("{", 1);
          for (int i = 0; i < 100 && !running->ending(); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
          return false;
        });
  });
  running = &server;
  Call call = small_call();
  call.deadline = std::chrono::milliseconds(150);
  const auto begin = std::chrono::steady_clock::now();
  const Failure failure = failure_in(provider_at(server.url())->send(call));
  CHECK(failure.kind == FailureKind::timeout);
  CHECK(seconds_since(begin) < 0.9);
}

TEST_CASE("a stream that goes silent is a timeout long before its deadline", "[slow]") {
  FakeServer* running = nullptr;
  FakeServer server([&](const httplib::Request&, httplib::Response& response) {
    response.set_chunked_content_provider(
        "text/event-stream", [&](std::size_t, httplib::DataSink& sink) {
          sink.write("data: {}\n\n", 10);
          for (int i = 0; i < 100 && !running->ending(); ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
          return false;
        });
  });
  running = &server;
  HttpProviderOptions options;
  options.base_url = server.url();
  options.dialect.stream = true;
  options.silence = std::chrono::milliseconds(100);
  auto provider = http_provider(chat_completions(), options, with_key);
  REQUIRE(provider.ok());
  const Failure failure = failure_in((*provider)->send(small_call()));
  CHECK(failure.kind == FailureKind::timeout);
  CHECK(contains(failure.message, "no byte for"));
}

TEST_CASE("a stop request ends a call that waits", "[slow]") {
  FakeServer* running = nullptr;
  std::stop_source stop;
  FakeServer server([&](const httplib::Request&, httplib::Response&) {
    stop.request_stop();
    for (int i = 0; i < 100 && !running->ending(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  running = &server;
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = provider_at(server.url())->send(small_call(), stop.get_token());
  CHECK(failure_in(outcome).kind == FailureKind::cancelled);
  CHECK(seconds_since(begin) < 0.45);
}

TEST_CASE("a body that is cut is the provider's trouble", "[slow]") {
  const Failure failure = failure_in(ask([](const httplib::Request&, httplib::Response& response) {
    response.set_content_provider(
        1000, "application/json", [](std::size_t, std::size_t, httplib::DataSink& sink) {
          sink.write("{\"choices\":", 11);
          return false;
        });
  }));
  CHECK(failure.kind == FailureKind::overloaded);
}

TEST_CASE("a wrong content type is named with the beginning of the body", "[slow]") {
  const Failure failure = failure_in(ask(body_answer("<html>login here</html>", "text/html")));
  CHECK(failure.kind == FailureKind::bad_reply);
  CHECK(contains(failure.message, "text/html"));
  CHECK(contains(failure.message, "login here"));
}

TEST_CASE("bodies that are no reply are bad replies, each with its reason", "[slow]") {
  const std::pair<std::string, std::string> cases[] = {
      {"{\"choices\": [", "reply"},
      {R"({"choices":[]})", "choices is empty"},
      {R"({"choices":[7]})", "not an object"},
      {R"({})", "no choices"},
      {R"([1])", "not an object"},
      {"{\"choices\":[{\"message\":{\"content\":\"\xff\xfe\"}}]}", "UTF-8"},
      {R"({"choices":[{"message":{"content":null},"finish_reason":"stop"}]})", "no text"}};
  for (const auto& [body, reason] : cases) {
    const Failure failure = failure_in(ask(body_answer(body)));
    CAPTURE(body, failure.message);
    CHECK(failure.kind == FailureKind::bad_reply);
    CHECK(contains(failure.message, reason));
  }
}

TEST_CASE("a refusal is one, whether as a message, a filter or an error", "[slow]") {
  for (
      const char* body :
      {R"({"choices":[{"message":{"content":null,"refusal":"I can't help"},"finish_reason":"stop"}]})",
       R"({"choices":[{"message":{"content":"par"},"finish_reason":"content_filter"}]})",
       R"({"error":{"message":"filtered","code":"content_filter"}})"}) {
    CAPTURE(body);
    CHECK(failure_in(ask(body_answer(body))).kind == FailureKind::refused);
  }
}

TEST_CASE("a reply of two megabytes arrives whole, one beyond the limit is refused", "[slow]") {
  std::string text(std::size_t{2} << 20, 'x');
  text.replace(1000, 2, "\xC3\xA9");
  CHECK(reply_of(ask(body_answer(chat_reply(text)))).text == text);
  FakeServer server(body_answer(chat_reply(text)));
  HttpProviderOptions options;
  options.base_url = server.url();
  options.max_bytes = 100000;
  auto provider = http_provider(chat_completions(), options, with_key);
  REQUIRE(provider.ok());
  const Failure failure = failure_in((*provider)->send(small_call()));
  CHECK(failure.kind == FailureKind::bad_reply);
  CHECK(contains(failure.message, "larger than 100000 bytes"));
}

TEST_CASE("a redirect is refused and nothing is sent to where it points", "[slow]") {
  FakeServer other(body_answer(chat_reply("stolen")));
  const std::string target = other.url() + "/chat/completions";
  const Failure failure = failure_in(ask([&](const httplib::Request&, httplib::Response& response) {
    response.set_redirect(target, 307);
  }));
  CHECK(failure.kind == FailureKind::bad_request);
  CHECK(contains(failure.message, "redirects"));
  CHECK(other.seen().empty());
}

TEST_CASE("nobody listening is the provider's trouble", "[slow]") {
  int port = 0;
  {
    FakeServer gone(body_answer(""));
    port = gone.port();
  }
  const Outcome outcome =
      provider_at("http://127.0.0.1:" + std::to_string(port))->send(small_call());
  CHECK(failure_in(outcome).kind == FailureKind::overloaded);
}

TEST_CASE("a server that repeats the key does not bring it into any text", "[slow]") {
  const std::string key(kKey);
  for (const std::string& body : {chat_reply("your key is " + key + "!"),
                                  std::string(R"({"error":{"message":"bad key )") + key + "\"}}",
                                  "{broken " + key}) {
    for (const int status : {200, 401}) {
      const Outcome outcome = ask([&](const httplib::Request&, httplib::Response& response) {
        json_answer(response, body, status);
        response.set_header("x-request-id", key);
      });
      const Reply* reply = std::get_if<Reply>(&outcome);
      const Failure* failure = std::get_if<Failure>(&outcome);
      const std::string all = reply ? reply->text + reply->request_id + reply->model
                                    : failure->message + failure->request_id;
      CAPTURE(all);
      CHECK_FALSE(contains(all, key));
      CHECK(contains(all, "[key]"));
    }
  }
}

TEST_CASE("a key that streaming splits over two pieces is hidden all the same", "[slow]") {
  const Outcome outcome =
      ask(body_answer("data: {\"choices\":[{\"delta\":{\"content\":\"sk-test-01234\"}}]}\n\n"
                      "data: {\"choices\":[{\"delta\":{\"content\":\"56789abcdef\"},"
                      "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
                      "text/event-stream"),
          true);
  CHECK(reply_of(outcome).text == "[key]");
}

TEST_CASE("addresses and keys that would leak are refused before anything is sent", "[slow]") {
  const auto refused = [](const std::string& url, const std::string& variable) {
    HttpProviderOptions options;
    options.base_url = url;
    options.key_env = variable;
    const auto provider = http_provider(chat_completions(), options, [](const std::string& name) {
      return name == "TORN" ? std::optional<std::string>("sk-torn\nX-Evil: 1") : with_key(name);
    });
    return provider.ok() ? std::string("accepted") : provider.error().message;
  };
  CHECK(contains(refused("http://llm.example/v1", "TEST_KEY"), "unencrypted"));
  CHECK(contains(refused("http://127.evil.example/v1", "TEST_KEY"), "unencrypted"));
  CHECK(refused("http://llm.example/v1", "") == "accepted");
  CHECK(refused("https://llm.example/v1", "TEST_KEY") == "accepted");
  CHECK(contains(refused("https://me:secretword@llm.example/v1", ""), "no user"));
  CHECK_FALSE(contains(refused("https://me:secretword@llm.example/v1", ""), "secretword"));
  CHECK(contains(refused("https://llm.example/v1?key=secretword", ""), "no user"));
  CHECK(contains(refused("ftp://llm.example", ""), "https://"));
  CHECK(contains(refused("https://", ""), "host"));
  CHECK(contains(refused("https://llm.example/v1", "NOT_SET"), "NOT_SET (the key) is not set"));
  const std::string torn = refused("https://llm.example/v1", "TORN");
  CHECK(contains(torn, "control character"));
  CHECK_FALSE(contains(torn, "sk-torn"));
}

TEST_CASE("a proxy gets the whole address, and loopback is asked without one", "[slow]") {
  FakeServer proxy(body_answer(chat_reply("through the proxy")));
  HttpProviderOptions options;
  options.base_url = "http://llm.example/v1";
  options.proxy = "http://127.0.0.1:" + std::to_string(proxy.port());
  auto provider = http_provider(chat_completions(), options, with_key);
  REQUIRE(provider.ok());
  CHECK(reply_of((*provider)->send(small_call())).text == "through the proxy");
  REQUIRE(proxy.seen().size() == 1);
  CHECK(proxy.seen()[0].path == "http://llm.example/v1/chat/completions");
  FakeServer direct(body_answer(chat_reply("direct")));
  options.base_url = direct.url();
  provider = http_provider(chat_completions(), options, with_key);
  REQUIRE(provider.ok());
  CHECK(reply_of((*provider)->send(small_call())).text == "direct");
}

TEST_CASE("eight calls at once through one provider each get their own answer", "[slow]") {
  FakeServer server([](const httplib::Request& request, httplib::Response& response) {
    const auto json = Json::parse(request.body, "request");
    json_answer(response,
                chat_reply(json->reader("request").at("model")->text().value() + " answers"));
  });
  const auto provider = provider_at(server.url());
  std::vector<std::thread> threads;
  std::vector<std::string> texts(8);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      Call call = small_call();
      call.model = "m" + std::to_string(i);
      const Outcome outcome = provider->send(call);
      texts[i] = std::holds_alternative<Reply>(outcome) ? std::get<Reply>(outcome).text : "failed";
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CHECK(texts[i] == "m" + std::to_string(i) + " answers");
  }
}

}  // namespace coppice::llm
