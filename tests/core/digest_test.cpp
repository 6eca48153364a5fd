// Digests: the standard's test vectors, and the text form.
#include "core/digest.h"

#include "tests/support/catch.h"

using namespace coppice;

TEST_CASE("sha256 gives the digests of the standard's examples") {
  CHECK(sha256("").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256(std::string(1000000, 'a')).hex() ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a digest survives the way through its text") {
  const Digest digest = sha256("coppice");
  const Result<Digest> back = Digest::from_hex(digest.hex());
  REQUIRE(back.ok());
  CHECK(*back == digest);
}

TEST_CASE("text that is no digest is refused and quoted") {
  for (const char* text : {"", "abc", "zz"}) {
    const Result<Digest> digest = Digest::from_hex(text);
    REQUIRE(!digest.ok());
    CHECK(digest.error().message.find("\"" + std::string(text) + "\"") != std::string::npos);
  }
  std::string upper = sha256("x").hex();
  upper[0] = 'A';
  CHECK(!Digest::from_hex(upper).ok());
  CHECK(!Digest::from_hex(sha256("x").hex() + "0").ok());
}
