#include "tests/conformance/codec/codec_cases.h"

#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/factory.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr float kLevelsFlush = 0x1p-100f;

float Gaussian(uint64_t key, uint64_t index) {
  const double u1 = (RandomBits(key, 2 * index) + 0.5) * 0x1p-32;
  const double u2 = RandomBits(key, 2 * index + 1) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2 * std::log(u1)) *
                            std::cos(2 * 3.14159265358979 * u2));
}

float Laplace(uint64_t key, uint64_t index) {
  const double u = (RandomBits(key, index) + 0.5) * 0x1p-32 - 0.5;
  const double magnitude = -std::log(1 - 2 * std::fabs(u));
  return static_cast<float>(u < 0 ? -magnitude : magnitude);
}

float Special(size_t i) {
  using Limits = std::numeric_limits<float>;
  const float kSpecials[] = {0.0f,
                             -0.0f,
                             Limits::denorm_min(),
                             -Limits::denorm_min(),
                             Limits::min(),
                             -Limits::min(),
                             1.0f,
                             -1.0f,
                             0x1.fffffep-1f,
                             Limits::max(),
                             Limits::lowest(),
                             65504.0f,
                             65520.0f,
                             1e-30f};
  return kSpecials[i % std::size(kSpecials)];
}

}  // namespace

const std::vector<CodecCase>& CodecCases() {
  static const auto* const cases = new std::vector<CodecCase>{
      {"none", "kind: NONE"},
      {"fp16", "kind: FP16"},
      {"terngrad", "kind: TERNGRAD", true},
      {"terngrad_unclipped", "kind: TERNGRAD clip_sigmas: 0", true},
      {"qsgd", "kind: QSGD", true, kLevelsFlush},
      {"qsgd_1", "kind: QSGD levels: 1 bucket: 128", true, kLevelsFlush},
      {"qsgd_127_l2", "kind: QSGD levels: 127 bucket: 100 norm: L2", true,
       kLevelsFlush},
      {"qsgd_32767", "kind: QSGD levels: 32767 bucket: 4096", true,
       kLevelsFlush},
      {"dorefa", "kind: DOREFA", true, kLevelsFlush},
      {"dorefa_1", "kind: DOREFA bits: 1", true, kLevelsFlush},
      {"dorefa_6", "kind: DOREFA bits: 6", true, kLevelsFlush},
      {"dorefa_16", "kind: DOREFA bits: 16", true, kLevelsFlush},
      {"bf16", "kind: BF16"},
      {"uniform", "kind: UNIFORM", false, kLevelsFlush},
      {"uniform_8", "kind: UNIFORM bits: 8 stochastic: true", true,
       kLevelsFlush},
      {"uniform_12", "kind: UNIFORM bits: 12", false, kLevelsFlush},
      {"blockfloat_8", "kind: BLOCKFLOAT bits: 8", false, kLevelsFlush},
      {"blockfloat_16", "kind: BLOCKFLOAT bits: 16", false, kLevelsFlush},
      {"sign", "kind: SIGN", false, kLevelsFlush},
      {"natural", "kind: NATURAL", true},
      {"randomk", "kind: RANDOMK ratio: 0.1", true, 0, 16},
      {"randomk_plain", "kind: RANDOMK ratio: 0.1 rescale: false", true},
      {"threshold", "kind: THRESHOLD threshold: 0.02", false, 0, 1, true},
      {"threshold_low", "kind: THRESHOLD threshold: 0.0001", false, 0, 1, true},
      {"terngrad_entropy", "kind: TERNGRAD coding: ENTROPY", true, 0, 1, true},
      {"terngrad_auto", "kind: TERNGRAD coding: AUTO", true, 0, 1, true},
      {"qsgd_entropy", "kind: QSGD coding: ENTROPY", true, kLevelsFlush, 1,
       true},
      {"natural_entropy", "kind: NATURAL coding: ENTROPY", true, 0, 1, true},
      {"uniform_8_entropy", "kind: UNIFORM bits: 8 coding: ENTROPY", false,
       kLevelsFlush, 1, true},
      {"topk", "kind: TOPK"},
      {"topk_30", "kind: TOPK ratio: 0.3"},
      {"topk_all", "kind: TOPK ratio: 1"},
      {"rows", "kind: ROWS"},
      {"onebit", "kind: ONEBIT"},
      {"onebit_10", "kind: ONEBIT bucket: 10"},
      {"majority", "kind: MAJORITY", false, kLevelsFlush},
      {"term", "kind: TERM", false, kLevelsFlush},
      {"term_9", "kind: TERM bits: 9 group: 16 terms: 20", false, kLevelsFlush},
      {"term_6_entropy", "kind: TERM bits: 6 terms: 10 coding: ENTROPY", false,
       kLevelsFlush, 1, true},
      {"qsgd_elias", "kind: QSGD levels: 22 norm: L2 coding: ELIAS", true,
       kLevelsFlush, 1, true},
      {"qsgd_elias_300", "kind: QSGD levels: 300 coding: ELIAS", true,
       kLevelsFlush, 1, true},
      {"qsgd_shared", "kind: QSGD levels: 3 scale: SHARED", true, kLevelsFlush},
      {"sign_given", "kind: SIGN scale: GIVEN scale_max: 0.5", false,
       kLevelsFlush},
      {"topk_onebit", "kind: TOPK ratio: 0.2 values { kind: ONEBIT }"},
      {"topk_tensor", "kind: TOPK ratio: 0.05 per: TENSOR"},
      {"topk_warmup", "kind: TOPK warmup_ratios: [0.25, 0.0625]"},
      {"terngrad_tensor", "kind: TERNGRAD per: TENSOR", true},
      {"topk_terngrad", "kind: TOPK ratio: 0.1 values { kind: TERNGRAD }",
       true},
      {"topk_fp16", "kind: TOPK ratio: 0.1 values { kind: FP16 }"},
      {"topk_qsgd",
       "kind: TOPK ratio: 0.3 values { kind: QSGD bucket: 64 levels: 3 }", true,
       kLevelsFlush},
      {"topk_tensor_sign",
       "kind: TOPK ratio: 0.2 per: TENSOR values { kind: SIGN }", false,
       kLevelsFlush},
      {"topk_natural_entropy",
       "kind: TOPK ratio: 0.4 values { kind: NATURAL coding: ENTROPY }", true,
       0, 1, true},
      {"randomk_dorefa",
       "kind: RANDOMK ratio: 0.1 values { kind: DOREFA bits: 3 }", true,
       kLevelsFlush, 16},
      {"randomk_uniform",
       "kind: RANDOMK ratio: 0.25 rescale: false "
       "values { kind: UNIFORM bits: 5 }",
       true, kLevelsFlush},
      {"rows_terngrad", "kind: ROWS values { kind: TERNGRAD }", true},
      {"threshold_bf16",
       "kind: THRESHOLD threshold: 0.01 values { kind: BF16 }", false, 0, 1,
       true},
  };
  return *cases;
}

std::unique_ptr<Codec> MakeCodecFromText(const std::string& options) {
  GradientCodec message;
  TERSE_CHECK(google::protobuf::TextFormat::ParseFromString(options, &message));
  auto codec = MakeCodec(message, {.elements = kCaseRowElements});
  TERSE_CHECK(codec.ok());
  return *std::move(codec);
}

std::vector<std::byte> MustEncode(const Codec& codec,
                                  const std::vector<float>& values,
                                  const EncodeArgs& args) {
  std::vector<std::byte> payload(codec.MaxEncodedBytes(values.size()));
  const auto bytes = codec.Encode(values, args, payload);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  payload.resize(bytes.value_or(0));
  return payload;
}

std::vector<float> Decode(const Codec& codec,
                          const std::vector<std::byte>& payload, size_t count) {
  std::vector<float> target(count);
  codec.DecodeAdd(payload, 1.0f, target);
  return target;
}

std::vector<float> CodecInput(const std::string& kind, size_t count,
                              uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    if (kind == "gaussian") {
      values[i] = 0.01f * Gaussian(key, i);
    } else if (kind == "laplace") {
      values[i] = Laplace(key, i);
    } else if (kind == "constant") {
      values[i] = -0.37f;
    } else if (kind == "one_hot") {
      values[i] = i == count / 2 ? 3.0f : 0.0f;
    } else if (kind == "denormal") {
      values[i] = 1e-42f * Gaussian(key, i);
    } else if (kind == "mixed") {
      values[i] = Gaussian(key, i) *
                  std::pow(10.0f, static_cast<float>(i % 61) - 30.0f);
    } else if (kind == "specials") {
      values[i] = Special(i);
    } else {
      TERSE_CHECK(kind == "zeros");
    }
  }
  return values;
}

}  // namespace terse
