#include "common/codec/entropy_codec.h"

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"

namespace terse {

std::string EntropyCodec::Describe() const {
  const std::string fixed = fixed_->Describe();
  const char* const join = fixed.find(':') == std::string::npos ? ":" : ",";
  return absl::StrCat(fixed, join, "coding=", NameOf(coding_));
}

size_t EntropyCodec::MaxEncodedBytes(size_t count) const {
  return fixed_->MaxEncodedBytes(count);
}

size_t EntropyCodec::TypicalEncodedBytes(size_t count) const {
  const size_t plain = plain_bytes_(count);
  const size_t fixed = MaxEncodedBytes(count) - plain;
  const auto coded =
      static_cast<size_t>(static_cast<double>(fixed) * typical_ratio_);
  const bool taken = fixed > 0 && coded <= CodedBytesMax(coding_, fixed);
  return plain + (taken ? coded : fixed);
}

absl::StatusOr<size_t> EntropyCodec::Encode(std::span<const float> values,
                                            const EncodeArgs& args,
                                            std::span<std::byte> target) const {
  const size_t fixed_bytes = MaxEncodedBytes(values.size());
  TERSE_CHECK(target.size() >= fixed_bytes);
  TERSE_ASSIGN_OR_RETURN(const size_t written,
                         fixed_->Encode(values, args, target));
  TERSE_CHECK(written == fixed_bytes);
  const size_t plain = plain_bytes_(values.size());
  if (fixed_bytes <= plain + 1) return fixed_bytes;
  thread_local std::vector<uint8_t> coded;
  coded.resize(CodedBytesMax(coding_, fixed_bytes - plain));
  uint8_t* const rest = BytesOf(target) + plain;
  const size_t bytes = EncodeRans({rest, fixed_bytes - plain}, coded);
  if (bytes == 0) return fixed_bytes;
  std::memcpy(rest, coded.data(), bytes);
  return plain + bytes;
}

absl::StatusOr<std::span<const std::byte>> EntropyCodec::Expand(
    std::span<const std::byte> source, size_t count) const {
  const size_t fixed_bytes = MaxEncodedBytes(count);
  const size_t plain = plain_bytes_(count);
  if (source.size() >= fixed_bytes) return source;
  if (source.size() <= plain) {
    return absl::DataLossError(
        absl::StrCat(Describe(), " payload has ", source.size(), " bytes"));
  }
  thread_local std::vector<std::byte> expanded;
  expanded.resize(fixed_bytes);
  std::memcpy(expanded.data(), source.data(), plain);
  TERSE_RETURN_IF_ERROR(
      DecodeRans({BytesOf(source) + plain, source.size() - plain},
                 {BytesOf(std::span(expanded)) + plain, fixed_bytes - plain}));
  return std::span<const std::byte>(expanded);
}

absl::Status EntropyCodec::Validate(std::span<const std::byte> source,
                                    size_t count) const {
  TERSE_ASSIGN_OR_RETURN(const std::span<const std::byte> payload,
                         Expand(source, count));
  return fixed_->Validate(payload, count);
}

void EntropyCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                             std::span<float> target) const {
  const auto payload = Expand(source, target.size());
  TERSE_CHECK(payload.ok());
  fixed_->DecodeAdd(*payload, weight, target);
}

}  // namespace terse
