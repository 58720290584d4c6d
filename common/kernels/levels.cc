#include "common/kernels/levels.h"

#include <algorithm>
#include <cstring>

#include "common/kernels/random_segment.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/levels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/moments-inl.h"
#include "common/kernels/pack-inl.h"
#include "common/kernels/random-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Quantizes runs of elements that share a scale.
template <typename Code, bool kStochastic, bool kLoss>
class LevelQuantizer {
 public:
  LevelQuantizer(uint32_t top, uint64_t key, uint64_t first_index)
      : offsets_(top),
        key_(key),
        first_index_(first_index),
        run_(kU, key, first_index) {}

  // Elements i .. i + count - 1 of the block.
  HWY_INLINE void Quantize(const LevelScale& scale, const float* values,
                           size_t i, size_t count, float* loss,
                           Code* codes) const {
    const size_t lanes = hn::Lanes(kF);
    const size_t end = i + count;
    for (; i + lanes <= end; i += lanes, codes += lanes) {
      const auto x = hn::LoadU(kF, values + i);
      const auto y = hn::Add(hn::Mul(x, hn::Set(kF, scale.inverse)),
                             hn::Set(kF, scale.shift));
      const auto code = Clamp(Round(y, i));
      if constexpr (kLoss) {
        const auto sent = hn::Mul(hn::Sub(code, hn::Set(kF, offsets_.middle)),
                                  hn::Set(kF, scale.step));
        hn::StoreU(hn::Sub(x, sent), kF, loss + i);
      }
      hn::StoreU(hn::DemoteTo(kCode, hn::ConvertTo(kI, code)), kCode, codes);
    }
    for (; i < end; ++i) {
      *codes++ = static_cast<Code>(
          EncodeLevel(offsets_, scale, kStochastic, values[i], key_,
                      first_index_ + i, kLoss ? loss + i : nullptr));
    }
  }

 private:
  static constexpr hn::ScalableTag<float> kF{};
  static constexpr hn::RebindToUnsigned<hn::ScalableTag<float>> kU{};
  static constexpr hn::RebindToSigned<hn::ScalableTag<float>> kI{};
  static constexpr hn::Rebind<Code, hn::ScalableTag<float>> kCode{};
  using VF = hn::Vec<hn::ScalableTag<float>>;

  HWY_INLINE VF Round(VF y, size_t i) const {
    if constexpr (!kStochastic) return hn::Round(y);
    const auto floor = hn::Floor(y);
    const auto bits = hn::BitCast(kI, hn::ShiftRight<8>(run_.Draw(i)));
    const auto u = hn::Mul(hn::ConvertTo(kF, bits), hn::Set(kF, 0x1p-24f));
    const auto up = hn::Lt(u, hn::Sub(y, floor));
    return hn::Add(floor, hn::IfThenElseZero(up, hn::Set(kF, 1.0f)));
  }

  HWY_INLINE VF Clamp(VF level) const {
    const auto code = hn::Add(level, hn::Set(kF, offsets_.zero_code));
    return hn::Min(hn::Max(code, hn::Zero(kF)), hn::Set(kF, offsets_.top));
  }

  LevelOffsets offsets_;
  uint64_t key_;
  uint64_t first_index_;
  RandomRun<hn::RebindToUnsigned<hn::ScalableTag<float>>> run_;
};

HWY_INLINE BlockMoments MeasureBucket(const LevelGrid& grid,
                                      const float* values, size_t count,
                                      float* residual) {
  if (grid.norm == LevelNorm::kL2) return MomentsOf(values, count, residual);
  BlockMoments moments;
  moments.max_abs_bits = MaxAbsOf(values, count, residual);
  return moments;
}

// A bucket is measured when quantizing reaches it, so that small ones stay in
// the first-level cache between the two.
template <typename Code, bool kStochastic, bool kLoss>
bool EncodeLevelsRun(const LevelGrid& grid, const float* values, size_t count,
                     uint64_t key, uint64_t first_index, float* residual,
                     uint8_t* norms, uint8_t* packed) {
  const LevelQuantizer<Code, kStochastic, kLoss> quantizer(grid.top, key,
                                                           first_index);
  const float* const x = kLoss ? residual : values;
  alignas(64) Code codes[kPackGroup];
  LevelScale scale = {};
  bool finite = true;
  size_t bucket_end = 0;
  for (size_t start = 0; start < count; start += kPackGroup) {
    const size_t group_end = std::min(count, start + kPackGroup);
    for (size_t i = start; i < group_end;) {
      if (i == bucket_end) {
        const size_t size = std::min(grid.bucket, count - i);
        const BlockMoments moments = MeasureBucket(
            grid, values + i, size, kLoss ? residual + i : nullptr);
        finite = finite && moments.finite();
        scale = MakeLevelScale(grid, moments.max_abs(), moments.sum_squares);
        std::memcpy(norms, &scale.norm, sizeof(float));
        norms += sizeof(float);
        bucket_end = i + size;
      }
      const size_t size = std::min(bucket_end, group_end) - i;
      quantizer.Quantize(scale, x, i, size, residual, codes + (i - start));
      i += size;
    }
    if (group_end - start == kPackGroup) {
      PackCodes(codes, grid.code_bits, packed);
      packed += PackedCodeBytes(kPackGroup, grid.code_bits);
    } else {
      reference::PackRest(codes, group_end - start, grid.code_bits, packed);
    }
  }
  return finite;
}

template <typename Code>
bool EncodeLevelsOf(const LevelGrid& grid, const float* values, size_t count,
                    uint64_t key, uint64_t first_index, float* residual,
                    uint8_t* norms, uint8_t* packed) {
  const auto encode = [&]<bool kStochastic, bool kLoss>() {
    return EncodeLevelsRun<Code, kStochastic, kLoss>(
        grid, values, count, key, first_index, residual, norms, packed);
  };
  if (grid.stochastic) {
    return residual != nullptr ? encode.template operator()<true, true>()
                               : encode.template operator()<true, false>();
  }
  return residual != nullptr ? encode.template operator()<false, true>()
                             : encode.template operator()<false, false>();
}

template <typename Code>
HWY_INLINE void Unpack(const uint8_t* packed, size_t count, uint32_t bits,
                       Code* codes) {
  if (count == kPackGroup) {
    UnpackCodes(packed, bits, codes);
  } else {
    reference::UnpackRest(packed, count, bits, codes);
  }
}

// target[i] += (code - middle) * step for a run of one bucket.
template <typename Code>
HWY_INLINE void AddLevels(const Code* codes, size_t count, float middle,
                          float step, float* target) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<Code, decltype(d)> d_code;
  const size_t lanes = hn::Lanes(d);
  const auto middles = hn::Set(d, middle);
  const auto steps = hn::Set(d, step);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto code =
        hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d_code, codes + i)));
    const auto value = hn::Mul(hn::Sub(code, middles), steps);
    hn::StoreU(hn::Add(hn::LoadU(d, target + i), value), d, target + i);
  }
  for (; i < count; ++i) {
    target[i] += (static_cast<float>(codes[i]) - middle) * step;
  }
}

template <typename Code>
void DecodeAddLevelsRun(const LevelGrid& grid, const uint8_t* norms,
                        const uint8_t* packed, size_t count, float weight,
                        float* target) {
  const float middle = LevelOffsets(grid.top).middle;
  alignas(64) Code codes[kPackGroup];
  float step = 0;
  size_t bucket_end = 0;
  for (size_t start = 0; start < count; start += kPackGroup) {
    const size_t group_end = std::min(count, start + kPackGroup);
    Unpack(packed, group_end - start, grid.code_bits, codes);
    packed += PackedCodeBytes(kPackGroup, grid.code_bits);
    for (size_t i = start; i < group_end;) {
      if (i == bucket_end) {
        float norm;
        std::memcpy(&norm, norms, sizeof(float));
        norms += sizeof(float);
        step = LevelStep(grid, norm) * weight;
        bucket_end = i + std::min(grid.bucket, count - i);
      }
      const size_t size = std::min(bucket_end, group_end) - i;
      AddLevels(codes + (i - start), size, middle, step, target + i);
      i += size;
    }
  }
}

template <typename Code>
uint32_t MaxCodeRun(const uint8_t* packed, size_t count, uint32_t bits) {
  const hn::ScalableTag<Code> d;
  const size_t lanes = hn::Lanes(d);
  alignas(64) Code codes[kPackGroup] = {};
  auto maxima = hn::Zero(d);
  for (size_t start = 0; start < count; start += kPackGroup) {
    // A short last group leaves codes of the one before; they do no harm.
    Unpack(packed, std::min(kPackGroup, count - start), bits, codes);
    packed += PackedCodeBytes(kPackGroup, bits);
    for (size_t i = 0; i < kPackGroup; i += lanes) {
      maxima = hn::Max(maxima, hn::Load(d, codes + i));
    }
  }
  alignas(64) Code all[hn::MaxLanes(d)];
  hn::Store(maxima, d, all);
  return *std::max_element(all, all + lanes);
}

bool EncodeLevelsKernel(const LevelGrid& grid, const float* values,
                        size_t count, uint64_t key, uint64_t first_index,
                        float* residual, uint8_t* norms, uint8_t* packed) {
  return grid.code_bits <= 8
             ? EncodeLevelsOf<uint8_t>(grid, values, count, key, first_index,
                                       residual, norms, packed)
             : EncodeLevelsOf<uint16_t>(grid, values, count, key, first_index,
                                        residual, norms, packed);
}

void DecodeAddLevelsKernel(const LevelGrid& grid, const uint8_t* norms,
                           const uint8_t* packed, size_t count, float weight,
                           float* target) {
  if (grid.code_bits <= 8) {
    DecodeAddLevelsRun<uint8_t>(grid, norms, packed, count, weight, target);
  } else {
    DecodeAddLevelsRun<uint16_t>(grid, norms, packed, count, weight, target);
  }
}

uint32_t MaxCodeKernel(const uint8_t* packed, size_t count, uint32_t bits) {
  return bits <= 8 ? MaxCodeRun<uint8_t>(packed, count, bits)
                   : MaxCodeRun<uint16_t>(packed, count, bits);
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(EncodeLevelsKernel);
HWY_EXPORT(DecodeAddLevelsKernel);
HWY_EXPORT(MaxCodeKernel);

bool EncodeLevels(const LevelGrid& grid, const float* values, size_t count,
                  uint64_t key, uint64_t first_index, float* residual,
                  uint8_t* norms, uint8_t* packed) {
  if (ScalarKernelsForced() || !InOneSegment(first_index, count)) {
    return reference::EncodeLevels(grid, values, count, key, first_index,
                                   residual, norms, packed);
  }
  return HWY_DYNAMIC_DISPATCH(EncodeLevelsKernel)(
      grid, values, count, key, first_index, residual, norms, packed);
}

void DecodeAddLevels(const LevelGrid& grid, const uint8_t* norms,
                     const uint8_t* packed, size_t count, float weight,
                     float* target) {
  if (ScalarKernelsForced()) {
    return reference::DecodeAddLevels(grid, norms, packed, count, weight,
                                      target);
  }
  HWY_DYNAMIC_DISPATCH(DecodeAddLevelsKernel)
  (grid, norms, packed, count, weight, target);
}

uint32_t MaxCode(const uint8_t* packed, size_t count, uint32_t code_bits) {
  if (ScalarKernelsForced()) {
    return reference::MaxCode(packed, count, code_bits);
  }
  return HWY_DYNAMIC_DISPATCH(MaxCodeKernel)(packed, count, code_bits);
}

}  // namespace terse
#endif  // HWY_ONCE
