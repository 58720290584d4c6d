// Index sets: arbitrary bytes are refused or read as ascending positions within
// the block that code again to no more bytes. Input: two bytes of count, two of
// the number kept, bytes.
#include <vector>

#include "common/base/status.h"
#include "common/codec/index_coding.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  if (size < 4) return 0;
  const size_t count = data[0] | data[1] << 8;
  const size_t kept = data[2] | data[3] << 8;
  const std::vector<uint8_t> bytes(data + 4, data + size);
  const auto used = ValidateIndices(bytes, count, kept);
  if (!used.ok()) return 0;
  TERSE_CHECK(*used <= bytes.size());
  IndexReader reader(bytes);
  std::vector<uint32_t> indices(kept);
  int64_t last = -1;
  for (uint32_t& index : indices) {
    index = reader.Next();
    TERSE_CHECK(index > last && index < count);
    last = index;
  }
  std::vector<uint8_t> coded(MaxIndexBytes(count, kept));
  coded.resize(EncodeIndices(indices, count, coded));
  TERSE_CHECK(ValidateIndices(coded, count, kept).ok());
  return 0;
}
