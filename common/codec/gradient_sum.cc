#include "common/codec/gradient_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/index_coding.h"
#include "common/codec/levels_codec.h"
#include "common/codec/payload.h"
#include "common/codec/rans.h"
#include "common/codec/terngrad_codec.h"
#include "common/kernels/float_format.h"
#include "common/kernels/ternary.h"

namespace terse {
namespace {

enum Form : uint32_t {
  kFloats = 0,
  kLevels = 1,
  kSparse = 2,
  kPayloads = 3,
  kFactor = 4,
  kCodedLevels = 5,
  kVotes = 6,
};

// Form, factor, next scale; then the form's own field.
constexpr size_t kFactorOffset = 4;
constexpr size_t kNextScaleOffset = 8;
constexpr size_t kHeaderBytes = 12;
constexpr size_t kFieldBytes = 4;
// Of a payload among payloads: length and weight.
constexpr size_t kPartHeaderBytes = 8;

void WriteWord(uint32_t value, uint8_t* target) {
  std::memcpy(target, &value, sizeof(value));
}
uint32_t ReadWord(const uint8_t* source) {
  uint32_t value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

Buffer NewMessage(Form form, size_t bytes) {
  Buffer message = Buffer::Allocate(bytes);
  WriteWord(form, BytesOf(message.mutable_bytes()));
  FinishSum(1, 0, message);
  return message;
}

Buffer EncodeFloats(Form form, std::span<const float> values) {
  Buffer message = NewMessage(form, kHeaderBytes + values.size_bytes());
  if (!values.empty()) {
    std::memcpy(message.mutable_bytes().data() + kHeaderBytes, values.data(),
                values.size_bytes());
  }
  return message;
}

Buffer EncodeSparse(std::span<const float> mean, size_t kept) {
  std::vector<uint32_t> indices;
  indices.reserve(kept);
  for (size_t i = 0; i < mean.size(); ++i) {
    if (mean[i] != 0) indices.push_back(static_cast<uint32_t>(i));
  }
  const size_t head = kHeaderBytes + kFieldBytes;
  const size_t index_bytes_max = MaxIndexBytes(mean.size(), kept);
  Buffer message =
      NewMessage(kSparse, head + index_bytes_max + kept * sizeof(float));
  uint8_t* const bytes = BytesOf(message.mutable_bytes());
  WriteWord(static_cast<uint32_t>(kept), bytes + kHeaderBytes);
  size_t used = head + EncodeIndices(indices, mean.size(),
                                     {bytes + head, index_bytes_max});
  for (uint32_t index : indices) {
    WriteFloat(mean[index], bytes + used);
    used += sizeof(float);
  }
  message.Truncate(used);
  return message;
}

Buffer EncodePayloads(std::span<const Contribution> contributions,
                      size_t bytes) {
  Buffer message = NewMessage(kPayloads, bytes);
  uint8_t* target = BytesOf(message.mutable_bytes());
  WriteWord(static_cast<uint32_t>(contributions.size()), target + kHeaderBytes);
  target += kHeaderBytes + kFieldBytes;
  for (const Contribution& part : contributions) {
    WriteWord(static_cast<uint32_t>(part.payload.size()), target);
    WriteFloat(static_cast<float>(part.weight), target + sizeof(uint32_t));
    target += kPartHeaderBytes;
    std::copy_n(BytesOf(part.payload.bytes()), part.payload.size(), target);
    target += part.payload.size();
  }
  return message;
}

// Calls part(payload, weight) for each of the payloads.
// Errors: DataLoss (lengths), those of `part`.
template <typename Part>
absl::Status ForEachPayload(std::span<const std::byte> message,
                            const Part& part) {
  uint32_t parts = ReadWord(BytesOf(message) + kHeaderBytes);
  message = message.subspan(kHeaderBytes + kFieldBytes);
  for (; parts > 0; --parts) {
    if (message.size() < kPartHeaderBytes) break;
    const uint32_t bytes = ReadWord(BytesOf(message));
    const float weight = ReadFloat(BytesOf(message) + sizeof(bytes));
    message = message.subspan(kPartHeaderBytes);
    if (message.size() < bytes) break;
    TERSE_RETURN_IF_ERROR(part(message.first(bytes), weight));
    message = message.subspan(bytes);
  }
  if (parts == 0 && message.empty()) return absl::OkStatus();
  return absl::DataLossError("gradient sum: the payloads' lengths do not fit");
}

bool IsShare(float value) { return value >= 0 && value <= 1; }

absl::Status ValidatePayloads(const SumContext& context,
                              std::span<const std::byte> message) {
  const uint32_t parts = ReadWord(BytesOf(message) + kHeaderBytes);
  if (parts == 0 || parts > context.workers) {
    return absl::DataLossError(absl::StrCat(
        "gradient sum: ", parts, " payloads of ", context.workers, " workers"));
  }
  return ForEachPayload(message, [&](auto payload, float weight) {
    if (!IsShare(weight)) {
      return absl::InvalidArgumentError(
          absl::StrCat("gradient sum: a payload's weight is ", weight));
    }
    return context.codec.Validate(payload, context.count);
  });
}

absl::Status ValidateSparse(const SumContext& context,
                            std::span<const std::byte> message) {
  const uint32_t kept = ReadWord(BytesOf(message) + kHeaderBytes);
  if (kept > context.count) {
    return absl::DataLossError(absl::StrCat("gradient sum: ", kept, " of ",
                                            context.count, " elements"));
  }
  const std::span<const std::byte> body =
      message.subspan(kHeaderBytes + kFieldBytes);
  TERSE_ASSIGN_OR_RETURN(
      const size_t used,
      ValidateIndices({BytesOf(body), body.size()}, context.count, kept));
  TERSE_RETURN_IF_ERROR(
      CheckSize("gradient sum", body.size(), used + kept * sizeof(float)));
  if (!AllFloatsFinite(FloatFormat::kBinary32, BytesOf(body) + used, kept)) {
    return absl::InvalidArgumentError("gradient sum: a value is not finite");
  }
  return absl::OkStatus();
}

absl::Status ValidateFloats(size_t count, std::span<const std::byte> message) {
  TERSE_RETURN_IF_ERROR(CheckSize("gradient sum", message.size(),
                                  kHeaderBytes + count * sizeof(float)));
  if (!AllFloatsFinite(FloatFormat::kBinary32, BytesOf(message) + kHeaderBytes,
                       count)) {
    return absl::InvalidArgumentError("gradient sum: a value is not finite");
  }
  return absl::OkStatus();
}

// What sends the sign of a sum: a bit where all is odd and nothing can be 0,
// else a trit.
std::unique_ptr<Codec> VoteCodec(const SumContext& context) {
  const SumGrid grid(*context.level_codec, context.workers);
  if (grid.top % 2 != 0) return LevelsCodec::Sign();
  return std::make_unique<TernGradCodec>(/*clip_sigmas=*/0.0f);
}

// The codes of entropy-coded sums, a byte each, in a buffer of the calling
// thread.
absl::StatusOr<std::span<const uint8_t>> CodesOf(
    const SumGrid& grid, std::span<const std::byte> body, size_t count) {
  thread_local std::vector<uint8_t> codes;
  codes.resize(count);
  if (count == 0 || grid.bits > 8) {
    return absl::DataLossError("gradient sum: nothing to be entropy coded");
  }
  TERSE_RETURN_IF_ERROR(DecodeRans({BytesOf(body), body.size()}, codes));
  if (MaxByte(codes.data(), count) > grid.top) {
    return absl::DataLossError(
        absl::StrCat("level sum: a sum is beyond ", grid.top));
  }
  return std::span<const uint8_t>(codes);
}

absl::Status ValidateLevels(const SumContext& context, float agreed_scale,
                            std::span<const std::byte> message) {
  const uint32_t form = ReadWord(BytesOf(message));
  if (context.level_codec == nullptr ||
      context.level_codec->sum_options().votes != (form == kVotes)) {
    return absl::DataLossError(
        absl::StrCat("gradient sum: levels of ", context.codec.Describe()));
  }
  const float scale = ReadFloat(BytesOf(message) + kHeaderBytes);
  TERSE_RETURN_IF_ERROR(
      CheckScales("gradient sum", BytesOf(message) + kHeaderBytes, 1));
  if (scale != agreed_scale) {
    return absl::DataLossError(absl::StrCat("gradient sum: scale ", scale,
                                            ", agreed was ", agreed_scale));
  }
  const SumGrid grid(*context.level_codec, context.workers);
  const std::span<const std::byte> body =
      message.subspan(kHeaderBytes + kFieldBytes);
  switch (ReadWord(BytesOf(message))) {
    case kLevels:
      return grid.Validate(body, context.count);
    case kVotes:
      TERSE_RETURN_IF_ERROR(VoteCodec(context)->Validate(body, context.count));
      if (body.empty() || ReadFloat(BytesOf(body)) == 1 ||
          (grid.top % 2 == 0 && ReadFloat(BytesOf(body)) == 0)) {
        return absl::OkStatus();
      }
      return absl::DataLossError("gradient sum: votes of another size than 1");
    default:
      return CodesOf(grid, body, context.count).status();
  }
}

}  // namespace

float MeanStep(float scale, uint32_t workers) {
  return static_cast<float>(double{scale} / workers);
}

void AddContributions(const Codec& codec,
                      std::span<const Contribution> contributions,
                      std::span<float> mean) {
  std::fill(mean.begin(), mean.end(), 0.0f);
  for (const Contribution& part : contributions) {
    codec.DecodeAdd(part.payload.bytes(), static_cast<float>(part.weight),
                    mean);
  }
}

void MeanOfLevels(const SumContext& context, const LevelSums& sums, float scale,
                  std::span<float> mean) {
  sums.Scale(MeanStep(scale, context.workers), mean);
  if (!context.level_codec->sum_options().votes) return;
  for (float& value : mean) {
    value = static_cast<float>((value > 0 ? 1 : 0) - (value < 0 ? 1 : 0));
  }
}

Buffer EncodeLevelSum(const SumContext& context, const LevelSums& sums,
                      float scale) {
  const SumGrid grid(*context.level_codec, context.workers);
  const SumOptions& options = context.level_codec->sum_options();
  const size_t head = kHeaderBytes + kFieldBytes;
  const auto start = [&](Form form, size_t body_bytes) {
    Buffer message = NewMessage(form, head + body_bytes);
    WriteFloat(scale, BytesOf(message.mutable_bytes()) + kHeaderBytes);
    return message;
  };
  if (options.votes) {
    std::vector<float> votes(context.count);
    MeanOfLevels(context, sums, scale, votes);
    const auto codec = VoteCodec(context);
    Buffer message = start(kVotes, codec->MaxEncodedBytes(context.count));
    // Nothing is drawn: magnitudes are 0 or all that there is.
    TERSE_CHECK(
        codec->Encode(votes, {}, message.mutable_bytes().subspan(head)).ok());
    return message;
  }
  const size_t bytes = grid.Bytes(context.count);
  if (options.coding != EntropyCoding::kNever && grid.bits <= 8 && bytes > 1) {
    std::vector<uint8_t> codes(context.count);
    sums.Codes(codes);
    const size_t coded_max = CodedBytesMax(options.coding, bytes);
    Buffer message = start(kCodedLevels, coded_max);
    const size_t coded =
        EncodeRans(codes, {BytesOf(message.mutable_bytes()) + head, coded_max});
    if (coded > 0) {
      message.Truncate(head + coded);
      return message;
    }
  }
  Buffer message = start(kLevels, bytes);
  sums.Pack(message.mutable_bytes().subspan(head));
  return message;
}

Buffer EncodeMean(const SumContext& context,
                  std::span<const Contribution> contributions,
                  std::span<const float> mean) {
  const size_t float_bytes = kHeaderBytes + context.count * sizeof(float);
  size_t payload_bytes = kHeaderBytes + kFieldBytes;
  for (const Contribution& part : contributions) {
    payload_bytes += kPartHeaderBytes + part.payload.size();
  }
  const size_t kept = mean.size() - std::count(mean.begin(), mean.end(), 0.0f);
  // Longer than most sets of positions, so that the choice is known before
  // they are coded.
  const size_t sparse_bytes = kHeaderBytes + kFieldBytes +
                              MaxIndexBytes(mean.size(), kept) +
                              kept * sizeof(float);
  if (sparse_bytes < float_bytes && sparse_bytes < payload_bytes) {
    return EncodeSparse(mean, kept);
  }
  return payload_bytes < float_bytes
             ? EncodePayloads(contributions, payload_bytes)
             : EncodeFloats(kFloats, mean);
}

Buffer EncodeFactorSum(std::span<const float> right) {
  return EncodeFloats(kFactor, right);
}

std::vector<float> SumRightFactor(std::span<const std::byte> message) {
  std::vector<float> right((message.size() - kHeaderBytes) / sizeof(float));
  std::memcpy(right.data(), message.data() + kHeaderBytes,
              right.size() * sizeof(float));
  return right;
}

void FinishSum(float factor, float next_scale, Buffer& message) {
  uint8_t* const bytes = BytesOf(message.mutable_bytes());
  WriteFloat(factor, bytes + kFactorOffset);
  WriteFloat(next_scale, bytes + kNextScaleOffset);
}

float SumFactor(std::span<const std::byte> message) {
  return ReadFloat(BytesOf(message) + kFactorOffset);
}

float SumNextScale(std::span<const std::byte> message) {
  return ReadFloat(BytesOf(message) + kNextScaleOffset);
}

absl::Status ValidateSum(const SumContext& context, float agreed_scale,
                         std::span<const std::byte> message) {
  if (message.size() < kHeaderBytes) {
    return absl::DataLossError(
        absl::StrCat("gradient sum: ", message.size(), " bytes"));
  }
  if (!IsShare(SumFactor(message))) {
    return absl::InvalidArgumentError(
        absl::StrCat("gradient sum: factor ", SumFactor(message)));
  }
  TERSE_RETURN_IF_ERROR(
      CheckScales("gradient sum", BytesOf(message) + kNextScaleOffset, 1));
  if (context.level_codec == nullptr && SumNextScale(message) != 0) {
    return absl::InvalidArgumentError(
        "gradient sum: a next scale where scales are the workers' own");
  }
  const uint32_t form = ReadWord(BytesOf(message));
  if ((form == kFactor) != context.low_rank.any()) {
    return absl::DataLossError(absl::StrCat("gradient sum: form ", form,
                                            " of a tensor of rank ",
                                            context.low_rank.rank));
  }
  if (form == kFactor) {
    return ValidateFloats(context.low_rank.right_elements(), message);
  }
  if (form == kFloats) return ValidateFloats(context.count, message);
  if (form > kVotes || message.size() < kHeaderBytes + kFieldBytes) {
    return absl::DataLossError(absl::StrCat("gradient sum: form ", form, " in ",
                                            message.size(), " bytes"));
  }
  switch (form) {
    case kLevels:
    case kCodedLevels:
    case kVotes:
      return ValidateLevels(context, agreed_scale, message);
    case kSparse:
      return ValidateSparse(context, message);
    default:
      return ValidatePayloads(context, message);
  }
}

namespace {

void DecodeLevels(const SumContext& context, std::span<const std::byte> message,
                  std::span<float> mean) {
  const SumGrid grid(*context.level_codec, context.workers);
  const std::span<const std::byte> body =
      message.subspan(kHeaderBytes + kFieldBytes);
  const float step =
      MeanStep(ReadFloat(BytesOf(message) + kHeaderBytes), context.workers);
  switch (ReadWord(BytesOf(message))) {
    case kLevels:
      return grid.Decode(body, step, mean);
    case kVotes:
      std::fill(mean.begin(), mean.end(), 0.0f);
      return VoteCodec(context)->DecodeAdd(body, 1.0f, mean);
    default: {
      const std::span<const uint8_t> codes =
          CodesOf(grid, body, context.count).value();
      for (size_t i = 0; i < codes.size(); ++i) {
        mean[i] = (static_cast<float>(codes[i]) - grid.middle) * step;
      }
    }
  }
}

}  // namespace

void DecodeSum(const SumContext& context, std::span<const std::byte> message,
               std::span<float> mean) {
  const std::span<const std::byte> body =
      message.subspan(std::min(message.size(), kHeaderBytes + kFieldBytes));
  switch (ReadWord(BytesOf(message))) {
    case kFloats:
      if (mean.empty()) return;
      std::memcpy(mean.data(), message.data() + kHeaderBytes,
                  mean.size_bytes());
      return;
    case kFactor:
      MultiplyFactors(context.low_rank, context.basis, SumRightFactor(message),
                      mean);
      return;
    case kLevels:
    case kCodedLevels:
    case kVotes:
      return DecodeLevels(context, message, mean);
    case kSparse: {
      std::fill(mean.begin(), mean.end(), 0.0f);
      const uint32_t kept = ReadWord(BytesOf(message) + kHeaderBytes);
      const size_t value_bytes = kept * sizeof(float);
      const uint8_t* value = BytesOf(body.last(value_bytes));
      IndexReader indices({BytesOf(body), body.size() - value_bytes});
      for (uint32_t i = 0; i < kept; ++i, value += sizeof(float)) {
        mean[indices.Next()] = ReadFloat(value);
      }
      return;
    }
    default:
      std::fill(mean.begin(), mean.end(), 0.0f);
      ForEachPayload(message, [&](auto payload, float weight) {
        context.codec.DecodeAdd(payload, weight, mean);
        return absl::OkStatus();
      }).IgnoreError();  // It is valid.
  }
}

size_t TypicalSumBytes(const SumContext& context) {
  if (context.low_rank.any()) {
    return kHeaderBytes + context.low_rank.right_elements() * sizeof(float);
  }
  const size_t head = kHeaderBytes + kFieldBytes;
  if (context.level_codec != nullptr) {
    const SumOptions& options = context.level_codec->sum_options();
    if (options.votes) {
      return head + VoteCodec(context)->TypicalEncodedBytes(context.count);
    }
    const size_t bytes =
        SumGrid(*context.level_codec, context.workers).Bytes(context.count);
    // Sums lie close around 0: about three quarters of the bits.
    return head +
           (options.coding == EntropyCoding::kNever ? bytes : bytes / 4 * 3);
  }
  const size_t part =
      kPartHeaderBytes + context.codec.TypicalEncodedBytes(context.count);
  return std::min(kHeaderBytes + context.count * sizeof(float),
                  head + context.workers * part);
}

}  // namespace terse
