#include "common/codec/terngrad_codec.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/ternary.h"

namespace terse {
namespace {

constexpr size_t kScaleBytes = sizeof(float);

// Codes that the last byte of `count` trits can hold: 3 to the number of its
// trits.
uint32_t LastByteCodes(size_t count) {
  const size_t trits = (count % kTritGroup) % kTritsPerByte;
  uint32_t codes = 1;
  for (size_t i = 0; i < trits; ++i) codes *= 3;
  return trits == 0 ? kTritCodes : codes;
}

}  // namespace

float TernGradScale(const BlockMoments& moments, size_t count,
                    float clip_sigmas) {
  const float max_abs = moments.max_abs();
  if (!(clip_sigmas > 0) || count == 0) return max_abs;
  const double mean = moments.sum / static_cast<double>(count);
  const double mean_square = moments.sum_squares / static_cast<double>(count);
  const double variance = mean_square - mean * mean;
  if (variance <= 0x1p-16 * mean_square) return max_abs;
  return static_cast<float>(
      std::min(double{max_abs}, clip_sigmas * std::sqrt(variance)));
}

std::string TernGradCodec::Describe() const {
  return absl::StrCat("terngrad:clip_sigmas=", clip_sigmas_,
                      per_tensor_ ? ",per=tensor" : "");
}

size_t TernGradCodec::MaxEncodedBytes(size_t count) const {
  return count == 0 ? 0 : kScaleBytes + PackedTritBytes(count);
}

size_t TernGradCodec::TypicalEncodedBytes(size_t count) const {
  return MaxEncodedBytes(count);
}

absl::StatusOr<TensorScan> TernGradCodec::Scan(std::span<const float> values,
                                               const EncodeArgs& args) const {
  // Block by block, so that the sum beside a residual needs no second tensor.
  BlockMoments total;
  std::vector<float> sums(
      args.residual.empty() ? 0 : std::min(kBlockElementsMax, values.size()));
  for (size_t start = 0; start < values.size(); start += kBlockElementsMax) {
    const auto run = values.subspan(
        start, std::min(kBlockElementsMax, values.size() - start));
    if (!sums.empty()) {
      std::copy_n(args.residual.begin() + start, run.size(), sums.begin());
    }
    const BlockMoments moments = AddMoments(
        run.data(), run.size(), sums.empty() ? nullptr : sums.data());
    total.max_abs_bits = std::max(total.max_abs_bits, moments.max_abs_bits);
    total.sum += moments.sum;
    total.sum_squares += moments.sum_squares;
  }
  if (!total.finite()) return NonFiniteError(values);
  return TensorScan{.scale = TernGradScale(total, values.size(), clip_sigmas_)};
}

absl::StatusOr<size_t> TernGradCodec::Encode(
    std::span<const float> values, const EncodeArgs& args,
    std::span<std::byte> target) const {
  return EncodeTrits(values, args, std::nullopt, target);
}

absl::StatusOr<size_t> TernGradCodec::EncodeTrits(
    std::span<const float> values, const EncodeArgs& args,
    std::optional<float> agreed, std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  float* const residual = ResidualOf(args.residual);
  BlockMoments moments;
  float own;
  if (per_tensor_ && args.scan != nullptr) {
    moments.max_abs_bits = AddMaxAbs(values.data(), count, residual);
    own = args.scan->scale;
  } else {
    moments = AddMoments(values.data(), count, residual);
    own = TernGradScale(moments, count, clip_sigmas_);
  }
  if (!moments.finite()) return NonFiniteError(values);
  WriteFloat(own, BytesOf(target));
  EncodeTernary(residual != nullptr ? residual : values.data(), count,
                agreed.value_or(own), args.key, args.first_index, residual,
                BytesOf(target) + kScaleBytes);
  return MaxEncodedBytes(count);
}

absl::Status TernGradCodec::Validate(std::span<const std::byte> source,
                                     size_t count) const {
  TERSE_RETURN_IF_ERROR(
      CheckSize("terngrad", source.size(), MaxEncodedBytes(count)));
  if (count == 0) return absl::OkStatus();
  TERSE_RETURN_IF_ERROR(CheckScales("terngrad", BytesOf(source), 1));
  const uint8_t* const packed = BytesOf(source) + kScaleBytes;
  const size_t bytes = PackedTritBytes(count);
  const uint8_t max = MaxByte(packed, bytes);
  if (max >= kTritCodes) {
    return absl::DataLossError(
        absl::StrCat("terngrad payload: byte ", max, " is no five trits"));
  }
  if (packed[bytes - 1] >= LastByteCodes(count)) {
    return PaddingError("terngrad");
  }
  return absl::OkStatus();
}

void TernGradCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                              std::span<float> target) const {
  if (target.empty()) return;
  const float scale = ReadFloat(BytesOf(source));
  DecodeAddTernary(BytesOf(source) + kScaleBytes, target.size(), scale * weight,
                   target.data());
}

}  // namespace terse
