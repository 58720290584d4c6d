// What lies in the folders beside this file, of each form that a sum has:
//   good/CASE.sum            the message; .f32: the mean it decodes to
//   bad/CASE__WHY.CODE.sum   a message that ValidateSum must refuse with CODE
// Worker w's part is the encoding of tests/golden/codec/inputs/gaussian_700.f32
// with key w.
#ifndef TERSE_TESTS_GOLDEN_SUM_SUM_CASES_H_
#define TERSE_TESTS_GOLDEN_SUM_SUM_CASES_H_

#include <memory>
#include <vector>

#include "common/codec/gradient_sum.h"
#include "tests/conformance/codec/codec_cases.h"
#include "tests/golden/golden_files.h"

namespace terse {

inline constexpr float kGoldenScale = 0x1p-3f;  // That workers share.
inline constexpr float kGoldenFactor = 0.75f;
inline constexpr float kGoldenNextScale = 0x1p-4f;

struct SumCase {
  const char* name;
  const char* options;
  uint32_t workers;
};

inline constexpr SumCase kSumCases[] = {
    {"floats", "kind: FP16", 2},
    {"sparse", "kind: TOPK ratio: 0.01", 3},
    {"payloads", "kind: TERNGRAD", 2},
    {"ternary_levels", "kind: TERNGRAD scale: SHARED", 5},
    {"wide_levels", "kind: UNIFORM bits: 9 scale: SHARED", 200},
    {"coded_levels", "kind: DOREFA bits: 3 scale: SHARED coding: ENTROPY", 7},
    {"auto_levels", "kind: QSGD levels: 1 scale: SHARED coding: AUTO", 3},
    {"votes", "kind: MAJORITY", 4}};

class SumRound {
 public:
  SumRound(const SumCase& one, const std::vector<float>& values)
      : workers_(one.workers),
        count_(values.size()),
        codec_(MakeCodecFromText(one.options)),
        level_codec_(dynamic_cast<const LevelCodec*>(codec_.get())) {
    std::vector<Contribution> parts;
    for (uint32_t w = 0; w < workers_; ++w) {
      parts.push_back({Encoded(values, w), 1.0 / workers_});
    }
    mean_.resize(count_);
    if (level_codec_ == nullptr) {
      AddContributions(*codec_, parts, mean_);
      message_ = EncodeMean(Context(), parts, mean_);
    } else {
      LevelSums sums(*level_codec_, workers_, count_);
      for (const Contribution& part : parts) {
        sums.Add(*level_codec_, part.payload.bytes());
      }
      MeanOfLevels(Context(), sums, AgreedOrGiven(), mean_);
      message_ = EncodeLevelSum(Context(), sums, AgreedOrGiven());
    }
    FinishSum(kGoldenFactor, level_codec_ != nullptr ? kGoldenNextScale : 0,
              message_);
  }

  SumContext Context() const {
    return {.codec = *codec_,
            .level_codec = level_codec_,
            .workers = workers_,
            .count = count_};
  }
  // The scale of the levels; 0 where there are none.
  float AgreedOrGiven() const {
    if (level_codec_ == nullptr) return 0;
    return level_codec_->sum_options().given_scale.value_or(kGoldenScale);
  }
  const Buffer& message() const { return message_; }
  const std::vector<float>& mean() const { return mean_; }

 private:
  Buffer Encoded(const std::vector<float>& values, uint32_t worker) const {
    Buffer payload = Buffer::Allocate(codec_->MaxEncodedBytes(count_));
    const EncodeArgs args = {.key = worker};
    const auto bytes =
        level_codec_ != nullptr
            ? level_codec_->EncodeShared(values, args, AgreedOrGiven(),
                                         payload.mutable_bytes())
            : codec_->Encode(values, args, payload.mutable_bytes());
    TERSE_CHECK(bytes.ok());
    payload.Truncate(*bytes);
    return payload;
  }

  uint32_t workers_;
  size_t count_;
  std::unique_ptr<Codec> codec_;
  const LevelCodec* level_codec_;
  std::vector<float> mean_;
  Buffer message_;
};

}  // namespace terse

#endif  // TERSE_TESTS_GOLDEN_SUM_SUM_CASES_H_
