#include "common/base/sha256.h"

#include <gtest/gtest.h>

#include <utility>

namespace terse {
namespace {

// The examples of FIPS 180-4's test vectors.
TEST(Sha256Test, KnownValues) {
  EXPECT_EQ(Hex(Sha256Of("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hex(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(
      Hex(Sha256Of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256Test, MillionLettersInPieces) {
  Sha256 hash;
  for (int i = 0; i < 1000; ++i) hash.Update(std::string(1000, 'a'));
  EXPECT_EQ(Hex(hash.Finish()),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, StartsAnewAfterFinish) {
  Sha256 hash;
  hash.Update("something");
  hash.Finish();
  hash.Update("abc");
  Sha256 moved = std::move(hash);
  EXPECT_EQ(moved.Finish(), Sha256Of("abc"));
  EXPECT_EQ(moved.Finish(), Sha256Of(""));
}

}  // namespace
}  // namespace terse
