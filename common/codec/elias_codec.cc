#include "common/codec/elias_codec.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/pack.h"

namespace terse {
namespace {

constexpr size_t kCountBytes = sizeof(uint32_t);
constexpr int kValueBitsMax = 31;

// Bits one after the other, the first the lowest of a byte.
class BitWriter {
 public:
  explicit BitWriter(uint8_t* target) : target_(target) {}

  void Write(uint32_t bit) {
    byte_ |= bit << filled_;
    if (++filled_ < 8) return;
    *target_++ = static_cast<uint8_t>(byte_);
    byte_ = 0;
    filled_ = 0;
  }

  // Elias' omega code of `value`, not 0: groups of binary digits, each as long
  // as the one before says, and a zero.
  void WriteOmega(uint32_t value) {
    uint32_t groups[6];
    int count = 0;
    for (; value > 1;
         value = static_cast<uint32_t>(std::bit_width(value)) - 1) {
      groups[count++] = value;
    }
    while (count-- > 0) {
      for (int bit = std::bit_width(groups[count]); bit-- > 0;) {
        Write(groups[count] >> bit & 1);
      }
    }
    Write(0);
  }

  uint8_t* Finish() {
    if (filled_ > 0) *target_++ = static_cast<uint8_t>(byte_);
    return target_;
  }

 private:
  uint8_t* target_;
  uint32_t byte_ = 0;
  int filled_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::span<const uint8_t> source) : source_(source) {}

  // 0 beyond the end, which ok() tells.
  uint32_t Read() {
    const size_t byte = bit_ / 8;
    const uint32_t value =
        byte < source_.size() ? source_[byte] >> bit_ % 8 & 1 : 0;
    ++bit_;
    return value;
  }

  // 0: no code of a number of up to 31 bits.
  uint32_t ReadOmega() {
    uint32_t value = 1;
    while (Read() != 0) {
      if (value >= kValueBitsMax) return 0;
      uint32_t next = 1;
      for (uint32_t bits = value; bits > 0; --bits) next = next << 1 | Read();
      value = next;
    }
    return value;
  }

  bool ok() const { return bit_ <= 8 * source_.size(); }

  // Whether all was read but zeros that fill the last byte.
  bool AtEnd() {
    if (bit_ + 8 <= 8 * source_.size()) return false;
    while (bit_ < 8 * source_.size()) {
      if (Read() != 0) return false;
    }
    return ok();
  }

 private:
  std::span<const uint8_t> source_;
  size_t bit_ = 0;
};

absl::Status Malformed(const char* what) {
  return absl::DataLossError(absl::StrCat("qsgd payload: ", what));
}

}  // namespace

int OmegaBits(uint32_t value) {
  int bits = 1;
  for (; value > 1; value = static_cast<uint32_t>(std::bit_width(value)) - 1) {
    bits += std::bit_width(value);
  }
  return bits;
}

std::string EliasCodec::Describe() const {
  return absl::StrCat(fixed_->Describe(), ",coding=elias");
}

size_t EliasCodec::NormBytes(size_t count) const {
  return fixed_->grid().Buckets(count) * sizeof(float);
}

size_t EliasCodec::MaxEncodedBytes(size_t count) const {
  if (count == 0) return 0;
  // No element is longer than a level next to the one before: a distance of d
  // takes less than 2 d bits.
  const size_t bits = 2 + OmegaBits(fixed_->grid().top / 2);
  return NormBytes(count) + kCountBytes + (count * bits + 7) / 8;
}

size_t EliasCodec::TypicalEncodedBytes(size_t count) const {
  // Of Gaussian gradients: about the fixed width for a norm that most levels
  // are near, and a bit and a half a level for the L2 norm.
  if (fixed_->grid().norm != LevelNorm::kL2) {
    return std::min(fixed_->MaxEncodedBytes(count), MaxEncodedBytes(count));
  }
  return NormBytes(count) + kCountBytes * (count > 0 ? 1 : 0) + count * 3 / 16;
}

template <typename Code>
size_t EliasCodec::WriteLevels(const uint8_t* packed, size_t count,
                               uint8_t* target) const {
  const LevelGrid& grid = fixed_->grid();
  const Code zero = static_cast<Code>(grid.top / 2);
  thread_local std::vector<Code> codes;
  codes.resize(count);
  UnpackAll(packed, count, grid.code_bits, codes.data());
  const auto nonzero = static_cast<uint32_t>(
      count - std::count(codes.begin(), codes.end(), zero));
  std::memcpy(target, &nonzero, kCountBytes);
  BitWriter writer(target + kCountBytes);
  size_t next = 0;
  for (size_t i = 0; i < count; ++i) {
    if (codes[i] == zero) continue;
    writer.WriteOmega(static_cast<uint32_t>(i - next + 1));
    next = i + 1;
    const bool negative = codes[i] < zero;
    writer.Write(negative ? 1 : 0);
    writer.WriteOmega(negative ? zero - codes[i] : codes[i] - zero);
  }
  return static_cast<size_t>(writer.Finish() - target);
}

template <typename Code>
absl::Status EliasCodec::ReadLevels(std::span<const uint8_t> source,
                                    size_t count, uint8_t* packed) const {
  const LevelGrid& grid = fixed_->grid();
  const uint32_t zero = grid.top / 2;
  thread_local std::vector<Code> codes;
  codes.assign(count, static_cast<Code>(zero));
  uint32_t nonzero;
  std::memcpy(&nonzero, source.data(), kCountBytes);
  if (nonzero > count) return Malformed("more levels than elements");
  BitReader reader(source.subspan(kCountBytes));
  size_t next = 0;
  for (; nonzero > 0; --nonzero) {
    const uint32_t distance = reader.ReadOmega();
    const bool negative = reader.Read() != 0;
    const uint32_t level = reader.ReadOmega();
    if (!reader.ok()) return Malformed("it is cut short");
    if (distance == 0 || distance > count - next) {
      return Malformed("a level beyond the last element");
    }
    if (level == 0 || level > zero) return Malformed("a level too large");
    next += distance;
    codes[next - 1] = static_cast<Code>(negative ? zero - level : zero + level);
  }
  if (!reader.AtEnd()) return Malformed("more bits than levels");
  PackAll(codes.data(), count, grid.code_bits, packed);
  return absl::OkStatus();
}

absl::StatusOr<size_t> EliasCodec::Encode(std::span<const float> values,
                                          const EncodeArgs& args,
                                          std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  thread_local std::vector<std::byte> payload;
  payload.resize(fixed_->MaxEncodedBytes(count));
  TERSE_RETURN_IF_ERROR(fixed_->Encode(values, args, payload).status());
  const size_t norms = NormBytes(count);
  std::memcpy(target.data(), payload.data(), norms);
  const uint8_t* const packed = BytesOf(std::span(payload)) + norms;
  uint8_t* const levels = BytesOf(target) + norms;
  return norms + (fixed_->grid().code_bits <= 8
                      ? WriteLevels<uint8_t>(packed, count, levels)
                      : WriteLevels<uint16_t>(packed, count, levels));
}

absl::StatusOr<std::span<const std::byte>> EliasCodec::Expand(
    std::span<const std::byte> source, size_t count) const {
  if (count == 0) return source;
  const size_t norms = NormBytes(count);
  if (source.size() < norms + kCountBytes) return Malformed("it is cut short");
  thread_local std::vector<std::byte> payload;
  payload.resize(fixed_->MaxEncodedBytes(count));
  std::memcpy(payload.data(), source.data(), norms);
  const std::span<const uint8_t> levels(BytesOf(source) + norms,
                                        source.size() - norms);
  uint8_t* const packed = BytesOf(std::span(payload)) + norms;
  TERSE_RETURN_IF_ERROR(fixed_->grid().code_bits <= 8
                            ? ReadLevels<uint8_t>(levels, count, packed)
                            : ReadLevels<uint16_t>(levels, count, packed));
  return std::span<const std::byte>(payload);
}

absl::Status EliasCodec::Validate(std::span<const std::byte> source,
                                  size_t count) const {
  TERSE_ASSIGN_OR_RETURN(const std::span<const std::byte> payload,
                         Expand(source, count));
  return fixed_->Validate(payload, count);
}

void EliasCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                           std::span<float> target) const {
  const auto payload = Expand(source, target.size());
  TERSE_CHECK(payload.ok());
  fixed_->DecodeAdd(*payload, weight, target);
}

}  // namespace terse
