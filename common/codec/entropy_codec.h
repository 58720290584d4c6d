// Entropy codes what another codec writes, wherever that makes it smaller, or
// smaller enough to be worth the time.
#ifndef TERSE_COMMON_CODEC_ENTROPY_CODEC_H_
#define TERSE_COMMON_CODEC_ENTROPY_CODEC_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/codec/codec.h"
#include "common/codec/rans.h"

namespace terse {

class EntropyCodec final : public Codec {
 public:
  // `fixed` writes exactly MaxEncodedBytes(count), of which the first
  // `plain_bytes(count)` (scales) stay as they are. `typical_ratio` is what
  // coding leaves of the rest on typical gradients.
  EntropyCodec(std::unique_ptr<Codec> fixed, EntropyCoding coding,
               std::function<size_t(size_t)> plain_bytes, double typical_ratio)
      : fixed_(std::move(fixed)),
        coding_(coding),
        plain_bytes_(std::move(plain_bytes)),
        typical_ratio_(typical_ratio) {}

  std::string Describe() const override;
  size_t MaxEncodedBytes(size_t count) const override;
  size_t TypicalEncodedBytes(size_t count) const override;
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override;
  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override;
  void DecodeAdd(std::span<const std::byte> source, float weight,
                 std::span<float> target) const override;

 private:
  // The payload of `fixed_` that `source` stands for, in a buffer of the
  // calling thread.
  absl::StatusOr<std::span<const std::byte>> Expand(
      std::span<const std::byte> source, size_t count) const;

  std::unique_ptr<Codec> fixed_;
  EntropyCoding coding_;
  std::function<size_t(size_t)> plain_bytes_;
  double typical_ratio_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_ENTROPY_CODEC_H_
