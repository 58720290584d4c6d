// Arbitrary bytes as the sum of a block's gradients: refused, or decoded to
// finite values, the same by reference and vectors. Input: context, workers,
// two bytes of count, message.
#include <array>
#include <cmath>
#include <cstring>
#include <memory>

#include "common/base/status.h"
#include "common/codec/gradient_sum.h"
#include "common/kernels/target.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

constexpr std::array kCodecs = {
    "kind: TERNGRAD scale: SHARED",
    "kind: TERNGRAD scale: SHARED coding: ENTROPY",
    "kind: QSGD levels: 1000 scale: SHARED",
    "kind: DOREFA scale: SHARED coding: ENTROPY",
    "kind: DOREFA bits: 16 scale: GIVEN scale_max: 1",
    "kind: SIGN scale: GIVEN scale_max: 1",
    "kind: MAJORITY",
    "kind: TERNGRAD",
    "kind: TOPK values { kind: QSGD }",
};

void Check(const Codec& codec, uint32_t workers, size_t count,
           std::span<const std::byte> message) {
  const SumContext context = {
      .codec = codec,
      .level_codec = dynamic_cast<const LevelCodec*>(&codec),
      .workers = workers,
      .count = count};
  // Whatever scale stands there was agreed on.
  float scale = 0;
  if (message.size() >= 16) std::memcpy(&scale, message.data() + 12, 4);
  if (!ValidateSum(context, scale, message).ok()) return;
  std::vector<float> decoded(count, 5.0f), reference(count, 7.0f);
  DecodeSum(context, message, decoded);
  TERSE_CHECK(ForceKernelTarget("scalar"));
  TERSE_CHECK(ValidateSum(context, scale, message).ok());
  DecodeSum(context, message, reference);
  TERSE_CHECK(ForceKernelTarget("auto"));
  TERSE_CHECK(count == 0 || std::memcmp(decoded.data(), reference.data(),
                                        count * sizeof(float)) == 0);
  TERSE_CHECK(SumFactor(message) >= 0 && SumFactor(message) <= 1);
  TERSE_CHECK(SumNextScale(message) >= 0);
}

}  // namespace
}  // namespace terse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  static const auto* const codecs = [] {
    auto* const list = new std::vector<std::unique_ptr<Codec>>;
    for (const char* options : kCodecs) {
      list->push_back(MakeCodecFromText(options));
    }
    return list;
  }();
  if (size < 4) return 0;
  const size_t count = (data[2] | data[3] << 8) % 1500;
  // A copy that ends with its allocation shows reads beyond the message.
  const std::vector<std::byte> message(
      reinterpret_cast<const std::byte*>(data + 4),
      reinterpret_cast<const std::byte*>(data + size));
  Check(*(*codecs)[data[0] % codecs->size()], 1 + data[1], count, message);
  return 0;
}
