#include "common/codec/kept_values.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/index_coding.h"
#include "common/codec/payload.h"

namespace terse {
namespace {

std::span<const uint8_t> ByteSpan(std::span<const std::byte> source) {
  return {BytesOf(source), source.size()};
}

}  // namespace

std::string KeptValues::Describe(const std::string& options) const {
  const std::string values = codec_->Describe();
  if (values == "none") return options;
  const bool nested = values.find(':') != std::string::npos;
  return absl::StrCat(options, ",values=", nested ? "(" : "", values,
                      nested ? ")" : "");
}

size_t KeptValues::KeptOrAll(size_t kept, size_t count) const {
  return MaxBytes(kept, count) > 1 + codec_->MaxEncodedBytes(count) ? count
                                                                    : kept;
}

size_t KeptValues::MaxBytes(size_t kept, size_t count) const {
  return MaxIndexBytes(count, kept) + codec_->MaxEncodedBytes(kept);
}

size_t KeptValues::TypicalBytes(size_t kept, size_t count) const {
  return TypicalIndexBytes(count, kept) + codec_->TypicalEncodedBytes(kept);
}

absl::StatusOr<size_t> KeptValues::Write(const float* x,
                                         std::span<const uint32_t> indices,
                                         size_t count, const EncodeArgs& args,
                                         std::span<std::byte> target) const {
  if (indices.size() == count && count > 0) {
    return WriteAll({x, count}, args, target);
  }
  const size_t used =
      EncodeIndices(indices, count, {BytesOf(target), target.size()});
  thread_local std::vector<float> values, loss;
  values.resize(indices.size());
  loss.resize(args.residual.empty() ? 0 : indices.size());
  for (size_t i = 0; i < indices.size(); ++i) values[i] = x[indices[i]];
  TERSE_ASSIGN_OR_RETURN(const size_t value_bytes,
                         WriteValues(values, loss, args, target.subspan(used)));
  for (size_t i = 0; i < loss.size(); ++i) args.residual[indices[i]] = loss[i];
  return used + value_bytes;
}

absl::StatusOr<size_t> KeptValues::WriteAll(std::span<const float> x,
                                            const EncodeArgs& args,
                                            std::span<std::byte> target) const {
  target[0] = std::byte{kIndexAll};
  if (args.residual.empty()) {
    TERSE_ASSIGN_OR_RETURN(const size_t bytes,
                           WriteValues(x, {}, args, target.subspan(1)));
    return 1 + bytes;
  }
  thread_local std::vector<float> values;
  values.assign(x.begin(), x.end());
  TERSE_ASSIGN_OR_RETURN(
      const size_t bytes,
      WriteValues(values, args.residual, args, target.subspan(1)));
  return 1 + bytes;
}

absl::StatusOr<size_t> KeptValues::WriteValues(
    std::span<const float> values, std::span<float> loss,
    const EncodeArgs& args, std::span<std::byte> target) const {
  std::fill(loss.begin(), loss.end(), 0.0f);
  return codec_->Encode(
      values,
      {.key = args.key, .first_index = args.first_index, .residual = loss},
      target);
}

absl::Status KeptValues::Validate(std::span<const std::byte> source,
                                  size_t kept, size_t count) const {
  TERSE_ASSIGN_OR_RETURN(const size_t used,
                         ValidateIndices(ByteSpan(source), count, kept));
  return codec_->Validate(source.subspan(used), kept);
}

std::span<const float> KeptValues::DecodeValues(
    std::span<const std::byte> source, size_t kept, float weight) const {
  thread_local std::vector<float> values;
  values.assign(kept, 0.0f);
  codec_->DecodeAdd(source, weight, values);
  return values;
}

void KeptValues::DecodeAdd(std::span<const std::byte> source, size_t kept,
                           float weight, std::span<float> target) const {
  if (kept == 0) return;
  if (kept == target.size()) {
    return codec_->DecodeAdd(source.subspan(1), weight, target);
  }
  size_t used = 0;
  if (fixed_size_) {
    used = source.size() - codec_->MaxEncodedBytes(kept);
  } else {
    used = ValidateIndices(ByteSpan(source), target.size(), kept).value();
  }
  IndexReader indices(ByteSpan(source.first(used)));
  std::span<const float> values =
      DecodeValues(source.subspan(used), kept, weight);
  std::array<uint32_t, 256> run;
  while (!values.empty()) {
    const size_t size = std::min(run.size(), values.size());
    indices.Read(std::span(run).first(size));
    for (size_t i = 0; i < size; ++i) target[run[i]] += values[i];
    values = values.subspan(size);
  }
}

}  // namespace terse
