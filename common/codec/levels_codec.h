// Codecs whose values lie on a linear grid of levels with a norm per bucket:
// QSGD (Alistarh et al., arXiv 1610.02132), DoReFa-G (Zhou et al., 1606.06160),
// uniform k bits, block floating point (Koester et al., 1711.02213) and the
// scaled sign (Karimireddy et al., 1901.09847).
#ifndef TERSE_COMMON_CODEC_LEVELS_CODEC_H_
#define TERSE_COMMON_CODEC_LEVELS_CODEC_H_

#include <cstdint>
#include <memory>
#include <string>

#include "common/codec/codec.h"
#include "common/kernels/levels.h"

namespace terse {

class LevelsCodec final : public Codec {
 public:
  // Codes -levels..levels times norm / levels. A bucket of SIZE_MAX is the
  // block.
  static std::unique_ptr<LevelsCodec> Qsgd(uint32_t levels, size_t bucket,
                                           LevelNorm norm);

  // 2^bits levels from -max to max, one norm a block.
  static std::unique_ptr<LevelsCodec> Dorefa(uint32_t bits);

  // 2^(bits-1) - 1 levels above zero, up to the block's maximum.
  static std::unique_ptr<LevelsCodec> Uniform(uint32_t bits, bool stochastic);

  // Mantissas of `bits` bits that share a power of two.
  static std::unique_ptr<LevelsCodec> BlockFloat(uint32_t bits);

  // The sign times the block's mean magnitude.
  static std::unique_ptr<LevelsCodec> Sign();

  const LevelGrid& grid() const { return grid_; }

  std::string Describe() const override { return name_ + options_; }
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
  LevelsCodec(std::string name, std::string options, const LevelGrid& grid)
      : name_(std::move(name)), options_(std::move(options)), grid_(grid) {}

  std::string name_;
  std::string options_;
  LevelGrid grid_;
};

}  // namespace terse

#endif  // TERSE_COMMON_CODEC_LEVELS_CODEC_H_
