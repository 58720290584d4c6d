#include "common/codec/propagating_codec.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/moments.h"

namespace terse {
namespace {

// First byte of a payload.
constexpr std::byte kFinite{0};
constexpr std::byte kNotFinite{1};

bool AllFinite(std::span<const float> values) {
  return AddMaxAbs(values.data(), values.size(), nullptr) < kInfinityBits;
}

}  // namespace

std::string PropagatingCodec::Describe() const {
  const std::string finite = finite_->Describe();
  const char* const join = finite.find(':') == std::string::npos ? ":" : ",";
  return absl::StrCat(finite, join, "nan=propagate");
}

size_t PropagatingCodec::MaxEncodedBytes(size_t count) const {
  return count == 0 ? 0 : 1 + finite_->MaxEncodedBytes(count);
}

size_t PropagatingCodec::TypicalEncodedBytes(size_t count) const {
  return count == 0 ? 0 : 1 + finite_->TypicalEncodedBytes(count);
}

absl::StatusOr<TensorScan> PropagatingCodec::Scan(
    std::span<const float> values, const EncodeArgs& args) const {
  // The blocks that are finite have no say then; the job ends anyway.
  if (!AllFinite(values)) return TensorScan();
  return finite_->Scan(values, args);
}

absl::StatusOr<size_t> PropagatingCodec::Encode(
    std::span<const float> values, const EncodeArgs& args,
    std::span<std::byte> target) const {
  TERSE_CHECK(target.size() >= MaxEncodedBytes(values.size()));
  if (values.empty()) return size_t{0};
  if (!AllFinite(values)) {
    target[0] = kNotFinite;
    return size_t{1};
  }
  target[0] = kFinite;
  TERSE_ASSIGN_OR_RETURN(const size_t bytes,
                         finite_->Encode(values, args, target.subspan(1)));
  return 1 + bytes;
}

absl::Status PropagatingCodec::Validate(std::span<const std::byte> source,
                                        size_t count) const {
  if (count == 0) return CheckSize("propagating", source.size(), 0);
  if (source.empty() || source[0] > kNotFinite) {
    return absl::DataLossError(
        absl::StrCat(Describe(), " payload: neither finite nor not"));
  }
  if (source[0] == kNotFinite) {
    return CheckSize("propagating", source.size(), 1);
  }
  return finite_->Validate(source.subspan(1), count);
}

void PropagatingCodec::DecodeAdd(std::span<const std::byte> source,
                                 float weight, std::span<float> target) const {
  if (target.empty()) return;
  if (source[0] == kNotFinite) {
    std::fill(target.begin(), target.end(),
              std::numeric_limits<float>::quiet_NaN());
    return;
  }
  finite_->DecodeAdd(source.subspan(1), weight, target);
}

}  // namespace terse
