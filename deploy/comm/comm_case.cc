#include "deploy/comm/comm_case.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/codec/factory.h"

namespace terse {

std::vector<CommBlock> CommBlocks(const CommCase& test) {
  std::vector<CommBlock> blocks;
  for (uint32_t t = 0; t < test.tensors; ++t) {
    for (uint64_t first = 0; first < test.elements;
         first += kBlockElementsMax) {
      blocks.push_back({first, static_cast<uint32_t>(std::min<uint64_t>(
                                   kBlockElementsMax, test.elements - first))});
    }
  }
  return blocks;
}

void FillCommInput(uint32_t worker, uint64_t first, std::span<float> values) {
  const uint64_t key = DrawKey(Draw::kSimulate, {worker});
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        0.01f * (RandomUnit(key, static_cast<uint32_t>(first + i)) - 0.5f);
  }
}

absl::StatusOr<CommMath> CommMath::Make(const CommCase& test,
                                        uint32_t workers) {
  TERSE_ASSIGN_OR_RETURN(auto codec, MakeCodec(test.codec));
  return CommMath(test, workers, std::move(codec));
}

CommMath::CommMath(const CommCase& test, uint32_t workers,
                   std::unique_ptr<Codec> codec)
    : workers_(workers),
      plain_(test.codec.kind() == GradientCodec::NONE),
      pull_(test.pattern == CommPattern::kPull),
      codec_(std::move(codec)),
      blocks_(CommBlocks(test)) {}

absl::StatusOr<Buffer> CommMath::Encode(uint32_t worker, uint64_t step,
                                        uint32_t block,
                                        std::span<const float> values) const {
  Buffer payload = Buffer::Allocate(codec_->MaxEncodedBytes(values.size()));
  TERSE_ASSIGN_OR_RETURN(
      const size_t bytes,
      codec_->Encode(values,
                     {.key = DrawKey(Draw::kEncode, {1, step, worker, block}),
                      .first_index = blocks_[block].first_index},
                     payload.mutable_bytes()));
  payload.Truncate(bytes);
  return payload;
}

Buffer CommMath::EncodeDown(uint32_t block, std::span<const Contribution> parts,
                            std::span<const float> mean) const {
  if (plain_) return Buffer::CopyOf(std::as_bytes(mean));
  Buffer sum = EncodeMean(Context(block), parts, mean);
  FinishSum(1, 0, sum);
  return sum;
}

absl::Status CommMath::DecodeDown(uint32_t block, const Buffer& payload,
                                  std::span<float> target) const {
  if (pull_) {
    TERSE_RETURN_IF_ERROR(codec_->Validate(payload.bytes(), target.size()));
    std::fill(target.begin(), target.end(), 0.0f);
    codec_->DecodeAdd(payload.bytes(), 1, target);
    return absl::OkStatus();
  }
  if (plain_) {
    if (payload.size() != target.size_bytes()) {
      return absl::DataLossError("a block has another length");
    }
    std::memcpy(target.data(), payload.bytes().data(), payload.size());
    return absl::OkStatus();
  }
  TERSE_RETURN_IF_ERROR(ValidateSum(Context(block), 0, payload.bytes()));
  DecodeSum(Context(block), payload.bytes(), target);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> CommMath::Expected(uint64_t step,
                                                      uint32_t block) const {
  const CommBlock& spec = blocks_[block];
  std::vector<float> values(spec.count), result(spec.count);
  std::vector<Contribution> parts;
  for (uint32_t w = 0; w < (pull_ ? 1 : workers_); ++w) {
    const uint32_t source = pull_ ? kServerInput : w;
    FillCommInput(source, spec.first_index, values);
    TERSE_ASSIGN_OR_RETURN(Buffer payload,
                           Encode(source, pull_ ? 0 : step, block, values));
    parts.push_back({std::move(payload), pull_ ? 1.0 : 1.0 / workers_});
  }
  AddContributions(*codec_, parts, result);
  return result;
}

}  // namespace terse
