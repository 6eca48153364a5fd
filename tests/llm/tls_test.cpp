// TLS is verified always: a self-signed certificate is refused, and accepted only when it is given.
#include "llm/http_provider.h"
#include "tests/llm/fake_server.h"
#include "tests/support/text.h"

#include <unistd.h>

#include <cstdio>

namespace coppice::llm {
namespace {

struct Certificate {
  EVP_PKEY* key = EVP_RSA_gen(2048);
  X509* certificate = X509_new();

  explicit Certificate(const char* host) {
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_set_version(certificate, 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name,
                               "CN",
                               MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("coppice test"),
                               -1,
                               -1,
                               0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, host);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(certificate, key, EVP_sha256());
  }
  ~Certificate() {
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;
};

// The certificate as a file that a profile may name.
class CertificateFile {
 public:
  explicit CertificateFile(X509* certificate) {
    const int fd = ::mkstemp(path_);
    std::FILE* file = ::fdopen(fd, "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
  }
  ~CertificateFile() { std::remove(path_); }
  CertificateFile(const CertificateFile&) = delete;
  CertificateFile& operator=(const CertificateFile&) = delete;
  std::string path() const { return path_; }

 private:
  char path_[32] = "/tmp/coppice_ca_XXXXXX";
};

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
