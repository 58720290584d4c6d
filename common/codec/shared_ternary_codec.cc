#include "common/codec/shared_ternary_codec.h"

#include "common/codec/payload.h"
#include "common/kernels/level_sum.h"

namespace terse {
namespace {

constexpr size_t kScaleBytes = sizeof(float);

}  // namespace

std::string SharedTernaryCodec::Describe() const {
  return own_.Describe() + DescribeSums();
}

absl::StatusOr<size_t> SharedTernaryCodec::EncodeShared(
    std::span<const float> values, const EncodeArgs& args, float scale,
    std::span<std::byte> target) const {
  return own_.EncodeTrits(values, args, scale, target);
}

float SharedTernaryCodec::OwnScale(std::span<const std::byte> source) const {
  return source.empty() ? 0 : ReadFloat(BytesOf(source));
}

void SharedTernaryCodec::AddLevels(std::span<const std::byte> source,
                                   std::span<int8_t> sums) const {
  if (sums.empty()) return;
  AddTernary(BytesOf(source) + kScaleBytes, sums.size(), sums.data());
}
void SharedTernaryCodec::AddLevels(std::span<const std::byte> source,
                                   std::span<int16_t> sums) const {
  if (sums.empty()) return;
  AddTernary(BytesOf(source) + kScaleBytes, sums.size(), sums.data());
}
void SharedTernaryCodec::AddLevels(std::span<const std::byte> source,
                                   std::span<int32_t> sums) const {
  if (sums.empty()) return;
  AddTernary(BytesOf(source) + kScaleBytes, sums.size(), sums.data());
}

}  // namespace terse
