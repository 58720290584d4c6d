// Arbitrary bytes as the payload of any codec: refused, or decoded to finite
// values within the block and to the same bits by reference and vectors.
// Input: codec, two bytes of count, payload.
#include <cmath>
#include <cstring>

#include "common/base/status.h"
#include "common/kernels/target.h"
#include "tests/conformance/codec/codec_cases.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  static const auto* const codecs = [] {
    auto* const list = new std::vector<std::unique_ptr<Codec>>;
    for (const CodecCase& one : CodecCases()) {
      list->push_back(MakeCodecFromText(one.options));
    }
    return list;
  }();
  if (size < 3) return 0;
  const Codec& codec = *(*codecs)[data[0] % codecs->size()];
  const size_t count = (data[1] | data[2] << 8) % 3000;
  // A copy that ends with its allocation shows reads beyond the payload.
  std::vector<std::byte> payload(size - 3);
  if (size > 3) std::memcpy(payload.data(), data + 3, size - 3);
  if (!codec.Validate(payload, count).ok()) return 0;
  std::vector<float> decoded(count), reference(count);
  codec.DecodeAdd(payload, 1.0f, decoded);
  TERSE_CHECK(ForceKernelTarget("scalar"));
  TERSE_CHECK(codec.Validate(payload, count).ok());
  codec.DecodeAdd(payload, 1.0f, reference);
  TERSE_CHECK(ForceKernelTarget("auto"));
  TERSE_CHECK(count == 0 || std::memcmp(decoded.data(), reference.data(),
                                        count * sizeof(float)) == 0);
  for (float value : decoded) TERSE_CHECK(std::isfinite(value));
  return 0;
}
