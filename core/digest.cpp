// SHA-256 by OpenSSL.
#include "core/digest.h"

#include <openssl/evp.h>

namespace coppice {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return -1;
}

}  // namespace

std::string Digest::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

Result<Digest> Digest::from_hex(std::string_view text) {
  Digest digest;
  bool good = text.size() == 2 * digest.bytes.size();
  for (std::size_t i = 0; good && i < digest.bytes.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    good = high >= 0 && low >= 0;
    digest.bytes[i] = static_cast<std::uint8_t>(good ? high * 16 + low : 0);
  }
  if (!good) {
    return Error{ErrorCode::config,
                 "expected a digest of 64 lower-case hexadecimal characters, found \"" +
                     std::string(text.substr(0, 80)) + "\""};
  }
  return digest;
}

Digest sha256(std::string_view bytes) {
  Digest digest;
  unsigned int length = 0;
  const int done =
      EVP_Digest(bytes.data(), bytes.size(), digest.bytes.data(), &length, EVP_sha256(), nullptr);
  COPPICE_CHECK(done == 1 && length == digest.bytes.size());
  return digest;
}

}  // namespace coppice
