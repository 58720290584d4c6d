#include "common/quantize/term.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/kernels/pack_bits.h"
#include "common/kernels/terms.h"
#include "common/kernels/weight_codes.h"
#include "common/quantize/scaled.h"
#include "common/quantize/stats.h"
#include "common/quantize/straight_through.h"
#include "common/quantize/wire.h"

namespace terse {
namespace {

class Term final : public StraightThrough {
 public:
  Term(int bits, uint32_t group, uint32_t terms, size_t row_elements)
      : bits_(bits),
        top_((1 << (bits - 1)) - 1),
        group_(group),
        terms_(terms),
        row_(row_elements),
        uniform_(MakeUniform(bits, /*max=*/0)) {}

  std::string Describe() const override {
    return absl::StrCat("term:bits=", bits_, ",group=", group_,
                        ",terms=", terms_);
  }
  double BitsPerWeight() const override { return bits_; }
  bool NeedsWeightStats() const override { return true; }
  TensorStats WeightStats(std::span<const float> shadow) const override {
    return uniform_->WeightStats(shadow);
  }
  size_t EncodedBytes(size_t count) const override {
    return uniform_->EncodedBytes(count);
  }

  void Encode(std::span<const float> shadow, const QuantizeArgs& args,
              std::span<std::byte> target) const override {
    TERSE_CHECK(target.size() == EncodedBytes(shadow.size()));
    const float scale = static_cast<float>(args.weight_stats.max_abs) /
                        static_cast<float>(top_);
    std::vector<uint8_t> codes(shadow.size());
    UniformCodes(shadow.data(), shadow.size(), scale, top_, codes.data());
    std::vector<int16_t> levels(shadow.size());
    for (size_t i = 0; i < levels.size(); ++i) {
      levels[i] = static_cast<int16_t>(codes[i] - top_);
    }
    for (size_t row = 0; row < levels.size(); row += row_) {
      KeepTerms(
          terms_, group_,
          std::span(levels).subspan(row, std::min(row_, levels.size() - row)));
    }
    for (size_t i = 0; i < levels.size(); ++i) {
      codes[i] = static_cast<uint8_t>(levels[i] + top_);
    }
    WriteScale(scale, target.data());
    PackBits(codes.data(), codes.size(), bits_,
             Bytes(target.data() + kScaleBytes));
  }

  absl::Status Validate(std::span<const std::byte> source,
                        size_t count) const override {
    return uniform_->Validate(source, count);
  }

  void Decode(std::span<const std::byte> source,
              std::span<float> weights) const override {
    uniform_->Decode(source, weights);
  }

 private:
  const int bits_;
  const int top_;
  const uint32_t group_;
  const uint32_t terms_;
  const size_t row_;
  const std::unique_ptr<WeightQuantizer> uniform_;  // Has the same format.
};

}  // namespace

std::unique_ptr<WeightQuantizer> MakeTerm(int bits, uint32_t group,
                                          uint32_t terms, size_t row_elements) {
  TERSE_CHECK(2 <= bits && bits <= 8);
  TERSE_CHECK(group > 0 && row_elements > 0);
  return std::make_unique<Term>(bits, group, terms, row_elements);
}

}  // namespace terse
