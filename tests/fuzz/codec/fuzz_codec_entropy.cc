// The entropy coder: arbitrary bytes decode safely, and come back from coding.
// Input: one byte of count, bytes.
#include <vector>

#include "common/base/status.h"
#include "common/codec/rans.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  if (size < 2) return 0;
  const std::vector<uint8_t> bytes(data + 1, data + size);
  std::vector<uint8_t> decoded(1 + data[0]);
  (void)DecodeRans(bytes, decoded).ok();

  std::vector<uint8_t> coded(2 * bytes.size() + 1024);
  coded.resize(EncodeRans(bytes, coded));
  TERSE_CHECK(!coded.empty());
  decoded.resize(bytes.size());
  TERSE_CHECK(DecodeRans(coded, decoded).ok());
  TERSE_CHECK(decoded == bytes);
  return 0;
}
