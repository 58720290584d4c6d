// Arbitrary floats through any codec: an error exactly for what is not finite,
// else a payload within its bound that Validate takes, the same bytes and
// residual from reference and vectors, and sent + residual near the value.
// Input: codec, key, floats.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/status.h"
#include "common/kernels/target.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

struct Encoded {
  std::vector<std::byte> payload;
  std::vector<float> residual;
};

Encoded EncodeOn(const char* target, const Codec& codec,
                 const std::vector<float>& values, uint64_t key) {
  TERSE_CHECK(ForceKernelTarget(target));
  Encoded encoded;
  encoded.residual.resize(values.size());
  encoded.payload.resize(codec.MaxEncodedBytes(values.size()));
  const auto bytes = codec.Encode(
      values, {.key = key, .residual = encoded.residual}, encoded.payload);
  const bool finite = std::all_of(values.begin(), values.end(),
                                  [](float x) { return std::isfinite(x); });
  TERSE_CHECK(bytes.ok() == finite);
  if (!finite) return {};
  encoded.payload.resize(*bytes);
  TERSE_CHECK(codec.Validate(encoded.payload, values.size()).ok());
  return encoded;
}

void Check(const CodecCase& one, const Codec& codec,
           const std::vector<float>& values, uint64_t key) {
  const Encoded encoded = EncodeOn("auto", codec, values, key);
  const Encoded reference = EncodeOn("scalar", codec, values, key);
  TERSE_CHECK(ForceKernelTarget("auto"));
  TERSE_CHECK(encoded.payload == reference.payload);
  const size_t bytes = encoded.residual.size() * sizeof(float);
  TERSE_CHECK(bytes == 0 || std::memcmp(encoded.residual.data(),
                                        reference.residual.data(), bytes) == 0);
  if (encoded.residual.empty()) return;
  const auto sent = Decode(codec, encoded.payload, values.size());
  double max = 0;
  for (float value : values) max = std::max(max, std::fabs(double{value}));
  const double tolerance = 0x1p-20 * one.amplifies * max + 1e-44;
  for (size_t i = 0; i < values.size(); ++i) {
    const double sum = double{sent[i]} + encoded.residual[i];
    // Beyond the largest float a residual is infinite; see the codecs' clamps.
    if (!std::isfinite(encoded.residual[i])) continue;
    TERSE_CHECK(std::fabs(sum - values[i]) <= tolerance);
  }
}

}  // namespace
}  // namespace terse

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace terse;
  static const auto* const codecs = [] {
    auto* const list = new std::vector<std::unique_ptr<Codec>>;
    for (const CodecCase& one : CodecCases()) {
      list->push_back(MakeCodecFromText(one.options));
    }
    return list;
  }();
  if (size < 2 || size > 20000) return 0;
  const size_t which = data[0] % codecs->size();
  std::vector<float> values((size - 2) / sizeof(float));
  if (!values.empty()) {
    std::memcpy(values.data(), data + 2, values.size() * sizeof(float));
  }
  Check(CodecCases()[which], *(*codecs)[which], values, data[1]);
  return 0;
}
