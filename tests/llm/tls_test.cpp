// TLS is verified always: a self-signed certificate is refused, and accepted only when it is given.
#include "llm/http_provider.h"
#include "tests/llm/certificate.h"
#include "tests/llm/fake_server.h"
#include "tests/support/text.h"

namespace coppice::llm {
namespace {

Outcome ask_secure(const Certificate& made, const std::string& ca_file, bool& reached) {
  FakeServer server(std::make_unique<httplib::SSLServer>(made.certificate, made.key),
                    [&](const httplib::Request&, httplib::Response& response) {
                      reached = true;
                      json_answer(response, chat_reply("secure"));
                    });
  HttpProviderOptions options;
  options.base_url = "https://127.0.0.1:" + std::to_string(server.port());
  options.ca_file = ca_file;
  auto provider = http_provider(chat_completions(), options, process_environment);
  REQUIRE(provider.ok());
  return (*provider)->send(small_call());
}

}  // namespace

TEST_CASE("a self-signed certificate is refused before anything is sent", "[slow]") {
  const Certificate made("IP:127.0.0.1");
  bool reached = false;
  const Outcome outcome = ask_secure(made, "", reached);
  const Failure& failure = failure_in(outcome);
  CHECK(failure.kind == FailureKind::tls);
  CHECK_FALSE(worth_retrying(failure.kind));
  CHECK(contains(failure.message, "certificate"));
  CHECK_FALSE(reached);
}

TEST_CASE("a certificate that the profile trusts is accepted, for its own host alone", "[slow]") {
  bool reached = false;
  const Certificate made("IP:127.0.0.1");
  CHECK(reply_of(ask_secure(made, CertificateFile(made.certificate).path(), reached)).text ==
        "secure");
  const Certificate other("DNS:elsewhere.example");
  reached = false;
  const CertificateFile file(other.certificate);
  CHECK(failure_in(ask_secure(other, file.path(), reached)).kind == FailureKind::tls);
  CHECK_FALSE(reached);
}

}  // namespace coppice::llm
