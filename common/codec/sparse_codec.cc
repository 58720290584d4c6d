#include "common/codec/sparse_codec.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/codec/top_k.h"
#include "common/kernels/moments.h"
#include "common/kernels/select.h"

namespace terse {
namespace {

constexpr size_t kCountBytes = sizeof(uint32_t);

uint32_t Magnitude(float x) { return std::bit_cast<uint32_t>(x) & 0x7fffffffu; }

// Of payloads that start with the number of elements they send.
size_t MaxCountedBytes(const KeptValues& values, size_t count) {
  // With all elements kept there are no positions to code; KeptOrAll sees to it
  // that fewer never take more.
  return count == 0 ? 0
                    : kCountBytes + 1 + values.codec().MaxEncodedBytes(count);
}

// `indices`: of the elements to send.
absl::StatusOr<size_t> WriteCounted(const KeptValues& values, const float* x,
                                    std::span<const uint32_t> indices,
                                    size_t count, const EncodeArgs& args,
                                    std::span<std::byte> target) {
  const bool all = values.KeptOrAll(indices.size(), count) == count;
  const auto field = static_cast<uint32_t>(all ? count : indices.size());
  std::memcpy(target.data(), &field, sizeof(field));
  const std::span<std::byte> body = target.subspan(kCountBytes);
  TERSE_ASSIGN_OR_RETURN(const size_t bytes,
                         all ? values.WriteAll({x, count}, args, body)
                             : values.Write(x, indices, count, args, body));
  return kCountBytes + bytes;
}

uint32_t ReadCount(std::span<const std::byte> source) {
  uint32_t kept;
  std::memcpy(&kept, source.data(), sizeof(kept));
  return kept;
}

absl::Status ValidateCounted(const KeptValues& values, const char* codec,
                             std::span<const std::byte> source, size_t count) {
  if (count == 0) return CheckSize(codec, source.size(), 0);
  if (source.size() < kCountBytes || ReadCount(source) > count) {
    return absl::DataLossError(absl::StrCat(
        codec, " payload of ", source.size(), " bytes is cut short or sends ",
        "more than its ", count, " elements"));
  }
  return values.Validate(source.subspan(kCountBytes), ReadCount(source), count);
}

void DecodeAddCounted(const KeptValues& values,
                      std::span<const std::byte> source, float weight,
                      std::span<float> target) {
  if (target.empty()) return;
  values.DecodeAdd(source.subspan(kCountBytes), ReadCount(source), weight,
                   target);
}

// Positions of the elements from a magnitude on; `ties` (not null) limits those
// of just this magnitude to the first so many and loses them. False: an element
// is not finite. With `residual` the values are added to it first.
bool SelectFrom(std::span<const float> values, float* residual,
                uint32_t least_bits, uint64_t* ties,
                std::vector<uint32_t>& indices, size_t* kept) {
  indices.resize(values.size() + kSelectSlack);
  const float* const x = residual != nullptr ? residual : values.data();
  if (ties == nullptr) {
    if (AddMaxAbs(values.data(), values.size(), residual) >= kInfinityBits) {
      return false;
    }
    *kept =
        SelectAtLeast(x, values.size(), nullptr, least_bits, indices.data());
    return true;
  }
  const size_t found = SelectAtLeast(values.data(), values.size(), residual,
                                     least_bits, indices.data());
  *kept = 0;
  for (size_t i = 0; i < found; ++i) {
    const uint32_t magnitude = Magnitude(x[indices[i]]);
    // Whatever is not finite is among the largest.
    if (magnitude >= kInfinityBits) return false;
    const bool tie = magnitude == least_bits;
    if (tie && *ties == 0) continue;
    if (tie) --*ties;
    indices[(*kept)++] = indices[i];
  }
  return true;
}

// Stretch s of `kept` of a block, and the position in it that `key` draws.
struct Stretch {
  Stretch(size_t s, size_t kept, size_t count, uint64_t key) {
    const uint64_t start = s * uint64_t{count} / kept;
    const uint64_t elements = (s + 1) * uint64_t{count} / kept - start;
    position = start + (RandomBits(key, s) * elements >> 32);
    size = static_cast<float>(elements);
  }
  size_t position;
  float size;
};

}  // namespace

size_t TopKCodec::Kept(size_t count) const {
  return values_.KeptOrAll(KeptCount(options_.ratio, count), count);
}

std::string TopKCodec::Describe() const {
  return values_.Describe(absl::StrCat("topk:ratio=", options_.ratio,
                                       options_.per_tensor ? ",per=tensor" : "",
                                       options_.any_ratio ? ",warm-up" : ""));
}

size_t TopKCodec::MaxEncodedBytes(size_t count) const {
  return counted() ? MaxCountedBytes(values_, count)
                   : values_.MaxBytes(Kept(count), count);
}

size_t TopKCodec::TypicalEncodedBytes(size_t count) const {
  return (counted() && count > 0 ? kCountBytes : 0) +
         values_.TypicalBytes(Kept(count), count);
}

absl::StatusOr<TensorScan> TopKCodec::Scan(std::span<const float> values,
                                           const EncodeArgs& args) const {
  TensorScan scan;
  if (values.empty()) return scan;
  std::vector<float> sums;
  std::span<const float> x = values;
  if (!args.residual.empty()) {
    sums.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      sums[i] = args.residual[i] + values[i];
    }
    x = sums;
  }
  TopKScratch scratch;
  std::span<const uint32_t> indices;
  if (!SelectTopK(x, nullptr, KeptCount(Ratio(args), x.size()), scratch,
                  &indices)) {
    return NonFiniteError(values);
  }
  scan.least_bits = kInfinityBits;
  for (uint32_t index : indices) {
    const uint32_t magnitude = Magnitude(x[index]);
    if (magnitude < scan.least_bits) scan.ties = 0;
    scan.least_bits = std::min(scan.least_bits, magnitude);
    scan.ties += magnitude == scan.least_bits ? 1 : 0;
  }
  return scan;
}

absl::StatusOr<size_t> TopKCodec::Encode(std::span<const float> values,
                                         const EncodeArgs& args,
                                         std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  float* const residual = ResidualOf(args.residual);
  const float* const x = residual != nullptr ? residual : values.data();
  if (options_.per_tensor && args.scan != nullptr) {
    thread_local std::vector<uint32_t> indices;
    size_t kept = 0;
    if (!SelectFrom(values, residual, args.scan->least_bits, &args.scan->ties,
                    indices, &kept)) {
      return NonFiniteError(values);
    }
    return WriteCounted(values_, x, std::span(indices).first(kept), count, args,
                        target);
  }
  thread_local TopKScratch scratch;
  std::span<const uint32_t> indices;
  const size_t kept = counted() ? KeptCount(Ratio(args), count) : Kept(count);
  if (!SelectTopK(values, residual, kept, scratch, &indices)) {
    return NonFiniteError(values);
  }
  if (counted()) {
    return WriteCounted(values_, x, indices, count, args, target);
  }
  return values_.Write(x, indices, count, args, target);
}

absl::Status TopKCodec::Validate(std::span<const std::byte> source,
                                 size_t count) const {
  return counted() ? ValidateCounted(values_, "topk", source, count)
                   : values_.Validate(source, Kept(count), count);
}

void TopKCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                          std::span<float> target) const {
  if (counted()) return DecodeAddCounted(values_, source, weight, target);
  values_.DecodeAdd(source, Kept(target.size()), weight, target);
}

std::string ThresholdCodec::Describe() const {
  return values_.Describe(absl::StrCat("threshold:threshold=", threshold_));
}

size_t ThresholdCodec::MaxEncodedBytes(size_t count) const {
  return MaxCountedBytes(values_, count);
}

size_t ThresholdCodec::TypicalEncodedBytes(size_t count) const {
  // How many reach the threshold is known to nobody; one in a hundred.
  if (count == 0) return 0;
  return kCountBytes + values_.TypicalBytes(KeptCount(0.01, count), count);
}

absl::StatusOr<size_t> ThresholdCodec::Encode(
    std::span<const float> values, const EncodeArgs& args,
    std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  thread_local std::vector<uint32_t> indices;
  float* const residual = ResidualOf(args.residual);
  size_t kept = 0;
  if (!SelectFrom(values, residual, std::bit_cast<uint32_t>(threshold_),
                  /*ties=*/nullptr, indices, &kept)) {
    return NonFiniteError(values);
  }
  return WriteCounted(values_, residual != nullptr ? residual : values.data(),
                      std::span(indices).first(kept), count, args, target);
}

absl::Status ThresholdCodec::Validate(std::span<const std::byte> source,
                                      size_t count) const {
  return ValidateCounted(values_, "threshold", source, count);
}

void ThresholdCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                               std::span<float> target) const {
  DecodeAddCounted(values_, source, weight, target);
}

std::string RandomKCodec::Describe() const {
  return values_.Describe(absl::StrCat(
      "randomk:ratio=", ratio_, ",rescale=", rescale_ ? "true" : "false"));
}

size_t RandomKCodec::MaxEncodedBytes(size_t count) const {
  if (count == 0) return 0;
  return sizeof(uint64_t) +
         values_.codec().MaxEncodedBytes(KeptCount(ratio_, count));
}

size_t RandomKCodec::TypicalEncodedBytes(size_t count) const {
  if (count == 0) return 0;
  return sizeof(uint64_t) +
         values_.codec().TypicalEncodedBytes(KeptCount(ratio_, count));
}

absl::StatusOr<size_t> RandomKCodec::Encode(std::span<const float> values,
                                            const EncodeArgs& args,
                                            std::span<std::byte> target) const {
  const size_t count = values.size();
  TERSE_CHECK(target.size() >= MaxEncodedBytes(count));
  if (count == 0) return size_t{0};
  float* const residual = ResidualOf(args.residual);
  if (AddMaxAbs(values.data(), count, residual) >= kInfinityBits) {
    return NonFiniteError(values);
  }
  const float* const x = residual != nullptr ? residual : values.data();
  const uint64_t key = MixKey({args.key, args.first_index});
  std::memcpy(target.data(), &key, sizeof(key));
  const size_t kept = KeptCount(ratio_, count);
  thread_local std::vector<float> sent, loss;
  sent.resize(kept);
  loss.resize(residual != nullptr ? kept : 0);
  for (size_t s = 0; s < kept; ++s) {
    const Stretch stretch(s, kept, count, key);
    const float value = x[stretch.position];
    sent[s] =
        rescale_ ? std::clamp(value * stretch.size, -FLT_MAX, FLT_MAX) : value;
  }
  TERSE_ASSIGN_OR_RETURN(
      const size_t bytes,
      values_.WriteValues(sent, loss, args, target.subspan(sizeof(key))));
  for (size_t s = 0; s < loss.size(); ++s) {
    const size_t position = Stretch(s, kept, count, key).position;
    residual[position] =
        rescale_ ? residual[position] - sent[s] + loss[s] : loss[s];
  }
  return sizeof(key) + bytes;
}

absl::Status RandomKCodec::Validate(std::span<const std::byte> source,
                                    size_t count) const {
  if (count == 0) return CheckSize("randomk", source.size(), 0);
  if (source.size() < sizeof(uint64_t)) {
    return CheckSize("randomk", source.size(), MaxEncodedBytes(count));
  }
  return values_.codec().Validate(source.subspan(sizeof(uint64_t)),
                                  KeptCount(ratio_, count));
}

void RandomKCodec::DecodeAdd(std::span<const std::byte> source, float weight,
                             std::span<float> target) const {
  if (target.empty()) return;
  uint64_t key;
  std::memcpy(&key, source.data(), sizeof(key));
  const size_t kept = KeptCount(ratio_, target.size());
  const std::span<const float> values =
      values_.DecodeValues(source.subspan(sizeof(key)), kept, weight);
  for (size_t s = 0; s < kept; ++s) {
    const Stretch stretch(s, kept, target.size(), key);
    target[stretch.position] += values[s];
  }
}

}  // namespace terse
