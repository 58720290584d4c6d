#include "common/codec/term_codec.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/codec/payload.h"
#include "common/kernels/pack.h"
#include "common/kernels/terms.h"

namespace terse {

std::string TermCodec::Describe() const {
  return absl::StrCat("term:bits=", uniform_->grid().code_bits,
                      ",group=", group_, ",terms=", terms_);
}

template <typename Code>
void TermCodec::CutCodes(size_t count, float step, float* residual,
                         uint8_t* packed) const {
  const LevelGrid& grid = uniform_->grid();
  const int zero = static_cast<int>(grid.top / 2);
  thread_local std::vector<Code> codes;
  codes.resize(count);
  UnpackAll(packed, count, grid.code_bits, codes.data());
  thread_local std::vector<int16_t> levels;
  levels.resize(count);
  for (size_t i = 0; i < count; ++i) {
    levels[i] = static_cast<int16_t>(static_cast<int>(codes[i]) - zero);
  }
  KeepTerms(terms_, group_, levels);
  for (size_t i = 0; i < count; ++i) {
    const int dropped = static_cast<int>(codes[i]) - zero - levels[i];
    codes[i] = static_cast<Code>(levels[i] + zero);
    if (residual != nullptr) residual[i] += static_cast<float>(dropped) * step;
  }
  PackAll(codes.data(), count, grid.code_bits, packed);
}

absl::StatusOr<size_t> TermCodec::Encode(std::span<const float> values,
                                         const EncodeArgs& args,
                                         std::span<std::byte> target) const {
  TERSE_ASSIGN_OR_RETURN(const size_t bytes,
                         uniform_->Encode(values, args, target));
  if (values.empty()) return bytes;
  const LevelGrid& grid = uniform_->grid();
  const float step = LevelStep(grid, ReadFloat(BytesOf(target)));
  float* const residual = ResidualOf(args.residual);
  uint8_t* const packed = BytesOf(target) + sizeof(float);
  if (grid.code_bits <= 8) {
    CutCodes<uint8_t>(values.size(), step, residual, packed);
  } else {
    CutCodes<uint16_t>(values.size(), step, residual, packed);
  }
  return bytes;
}

}  // namespace terse
