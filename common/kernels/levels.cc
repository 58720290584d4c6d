#include "common/kernels/levels.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "common/kernels/prefetch.h"
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

// Codes of a vector of elements, as EncodeLevel defines them.
template <LevelRounding kRounding, class D, class Run>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> CodesOf(D d, const Run& run,
                                                    const LevelGrid& grid,
                                                    const LevelScale& scale,
                                                    hn::Vec<D> x, size_t i) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  if constexpr (kRounding == LevelRounding::kSign) {
    return hn::Xor(hn::ShiftRight<31>(hn::BitCast(du, x)), hn::Set(du, 1u));
  }
  const auto y =
      hn::Add(hn::Mul(x, hn::Set(d, scale.factor)), hn::Set(d, scale.shift));
  if constexpr (kRounding == LevelRounding::kFixedPoint) {
    const int fraction = FractionBits(grid);
    const auto position =
        hn::Sub(hn::BitCast(du, y), hn::Set(du, kRoundingBits));
    const auto dither = hn::ShiftRightSame(run.Draw(i), 32 - fraction);
    return hn::ShiftRightSame(hn::Add(position, dither), fraction);
  } else {
    auto level = y;
    if constexpr (kRounding == LevelRounding::kNearest) {
      level = hn::Round(y);
    } else {
      const auto floor = hn::Floor(y);
      const auto bits = hn::BitCast(di, hn::ShiftRight<8>(run.Draw(i)));
      const auto u = hn::Mul(hn::ConvertTo(d, bits), hn::Set(d, 0x1p-24f));
      const auto up = hn::Lt(u, hn::Sub(y, floor));
      level = hn::Add(floor, hn::IfThenElseZero(up, hn::Set(d, 1.0f)));
    }
    const auto zero = hn::Set(d, static_cast<float>(grid.top / 2));
    const auto top = hn::Set(d, static_cast<float>(grid.top));
    const auto code = hn::Min(hn::Max(hn::Add(level, zero), hn::Zero(d)), top);
    return hn::BitCast(du, hn::ConvertTo(di, code));
  }
}

// Quantizes elements i .. i + count - 1 of the block, which share a scale. All
// that vectors are made of is local: stores of bytes could alias members.
template <typename Code, LevelRounding kRounding, bool kLoss>
HWY_INLINE void QuantizeRun(const LevelGrid& grid, const LevelScale& scale,
                            uint64_t key, uint64_t first_index,
                            const float* values, size_t i, size_t count,
                            float* loss, Code* HWY_RESTRICT codes) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<Code, decltype(d)> d_code;
  const size_t lanes = hn::Lanes(d);
  const RandomRun<decltype(du)> run(du, key, first_index);
  const LevelGrid local_grid = grid;
  const LevelScale local_scale = scale;
  const auto middle = hn::Set(d, static_cast<float>(grid.top) / 2);
  const auto step = hn::Set(d, scale.step);
  const size_t end = i + count;
  for (; !local_scale.clamp && i + lanes <= end; i += lanes, codes += lanes) {
    const auto x = hn::LoadU(d, values + i);
    const auto code = CodesOf<kRounding>(d, run, local_grid, local_scale, x, i);
    if constexpr (kLoss) {
      const auto level =
          hn::Sub(hn::ConvertTo(d, hn::BitCast(di, code)), middle);
      hn::StoreU(hn::Sub(x, hn::Mul(level, step)), d, loss + i);
    }
    hn::StoreU(hn::TruncateTo(d_code, code), d_code, codes);
  }
  for (; i < end; ++i) {
    *codes++ = static_cast<Code>(EncodeLevel(local_grid, local_scale, values[i],
                                             key, first_index + i,
                                             kLoss ? loss + i : nullptr));
  }
}

// A whole group of kFixedPoint or kSign codes whose width divides a byte and
// which share a scale, packed as they come: rows of a column join in a 32-bit
// lane.
template <int kBits, LevelRounding kRounding, bool kLoss>
HWY_INLINE void EncodeGroup(const LevelGrid& grid, const LevelScale& scale,
                            uint64_t key, uint64_t first_index,
                            const float* values, size_t start, float* loss,
                            uint8_t* packed) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  constexpr int kFraction = 22 - kBits;
  constexpr size_t kRows = 8 / kBits;  // Of one byte.
  constexpr size_t kColumns = kPackGroup / 8;
  const RandomRun<decltype(du)> run(du, key, first_index);
  const auto factor = hn::Set(d, scale.factor);
  const auto shift = hn::Set(d, scale.shift);
  const auto middle = hn::Set(d, static_cast<float>(grid.top) / 2);
  const auto step = hn::Set(d, scale.step);
  const auto mask = hn::Set(du, (1u << kBits) - 1);
  for (size_t word = 0; word < kBits; ++word) {
    for (size_t column = 0; column < kColumns; column += hn::Lanes(d)) {
      const size_t i = start + word * kRows * kColumns + column;
      const auto index = run.Position(i);
      auto byte = hn::Zero(du);
      const auto add = [&]<int kRow>(
                           std::integral_constant<int, kRow>) HWY_ATTR {
        const size_t e = i + kRow * kColumns;
        const auto x = hn::LoadU(d, values + e);
        if constexpr (!kLoss) PrefetchNextBlock(values + e);
        constexpr int kPlace = kRow * kBits;
        // Where the code is and the bit it starts at.
        auto position = hn::Not(hn::BitCast(du, x));
        constexpr int kFirst =
            kRounding == LevelRounding::kSign ? 31 : kFraction;
        if constexpr (kRounding == LevelRounding::kFixedPoint) {
          const auto y = hn::Add(hn::Mul(x, factor), shift);
          const auto dither = hn::ShiftRight<32 - kFraction>(
              run.Mix(hn::Add(index, run.Offset(kRow * kColumns))));
          // The bits of kRoundingBase lie above the code and are masked off.
          position = hn::Add(hn::BitCast(du, y), dither);
        }
        if constexpr (kLoss) {
          const auto code =
              hn::BitCast(di, hn::And(hn::ShiftRight<kFirst>(position), mask));
          const auto level = hn::Sub(hn::ConvertTo(d, code), middle);
          hn::StoreU(hn::Sub(x, hn::Mul(level, step)), d, loss + e);
        }
        const auto placed = hn::ShiftRight<kFirst - kPlace>(position);
        byte = hn::Or(byte, hn::And(placed, hn::ShiftLeft<kPlace>(mask)));
      };
      [&]<size_t... kRow>(std::index_sequence<kRow...>) HWY_ATTR {
        (add(std::integral_constant<int, static_cast<int>(kRow)>()), ...);
      }
      (std::make_index_sequence<kRows>());
      hn::StoreU(hn::DemoteTo(d8, hn::BitCast(di, byte)), d8,
                 packed + word * kColumns + column);
    }
  }
}

// EncodeGroup where it applies; returns whether it did.
template <LevelRounding kRounding, bool kLoss>
HWY_INLINE bool TryEncodeGroup(const LevelGrid& grid, const LevelScale& scale,
                               uint64_t key, uint64_t first_index,
                               const float* values, size_t start, float* loss,
                               uint8_t* packed) {
  constexpr bool kFixed = kRounding == LevelRounding::kFixedPoint;
  if (scale.clamp) return false;
  if (!kFixed && kRounding != LevelRounding::kSign) return false;
  const auto encode = [&]<int kBits>(std::integral_constant<int, kBits>) {
    if constexpr (kFixed || (kRounding == LevelRounding::kSign && kBits == 1)) {
      EncodeGroup<kBits, kRounding, kLoss>(grid, scale, key, first_index,
                                           values, start, loss, packed);
    }
    return true;
  };
  switch (grid.code_bits) {
    case 1:
      return encode(std::integral_constant<int, 1>());
    case 2:
      return encode(std::integral_constant<int, 2>());
    case 4:
      return encode(std::integral_constant<int, 4>());
    case 8:
      return encode(std::integral_constant<int, 8>());
    default:
      return false;
  }
}

HWY_INLINE BlockMoments MeasureBucket(const LevelGrid& grid,
                                      const float* values, size_t count,
                                      float* residual) {
  if (grid.norm == LevelNorm::kL2) return MomentsOf(values, count, residual);
  if (grid.norm == LevelNorm::kMeanMagnitude) {
    return AbsoluteSumOf(values, count, residual);
  }
  BlockMoments moments;
  moments.max_abs_bits = MaxAbsOf(values, count, residual);
  return moments;
}

// A bucket is measured when quantizing reaches it, so that small ones stay in
// the first-level cache between the two.
template <typename Code, LevelRounding kRounding, bool kLoss>
bool EncodeLevelsRun(const LevelGrid& grid, const float* values, size_t count,
                     uint64_t key, uint64_t first_index, float* residual,
                     uint8_t* norms, uint8_t* packed) {
  const float* const x = kLoss ? residual : values;
  alignas(64) Code codes[kPackGroup];
  LevelScale scale;
  bool finite = true;
  size_t bucket_end = 0;
  for (size_t start = 0; start < count; start += kPackGroup) {
    const size_t group_end = std::min(count, start + kPackGroup);
    bool packed_already = false;
    for (size_t i = start; i < group_end;) {
      if (i == bucket_end) {
        const size_t size = std::min(grid.bucket, count - i);
        const BlockMoments moments = MeasureBucket(
            grid, values + i, size, kLoss ? residual + i : nullptr);
        finite = finite && moments.finite();
        scale = MakeLevelScale(grid, moments, size);
        std::memcpy(norms, &scale.norm, sizeof(float));
        norms += sizeof(float);
        bucket_end = i + size;
      }
      const size_t size = std::min(bucket_end, group_end) - i;
      packed_already = size == kPackGroup && TryEncodeGroup<kRounding, kLoss>(
                                                 grid, scale, key, first_index,
                                                 x, i, residual, packed);
      if (packed_already) break;
      QuantizeRun<Code, kRounding, kLoss>(grid, scale, key, first_index, x, i,
                                          size, residual, codes + (i - start));
      i += size;
    }
    if (group_end - start < kPackGroup) {
      reference::PackRest(codes, group_end - start, grid.code_bits, packed);
      break;
    }
    if (!packed_already) PackCodes(codes, grid.code_bits, packed);
    packed += PackedCodeBytes(kPackGroup, grid.code_bits);
  }
  return finite;
}

template <typename Code>
bool EncodeLevelsOf(const LevelGrid& grid, const float* values, size_t count,
                    uint64_t key, uint64_t first_index, float* residual,
                    uint8_t* norms, uint8_t* packed) {
  const auto encode = [&]<LevelRounding kRounding>() {
    return residual != nullptr ? EncodeLevelsRun<Code, kRounding, true>(
                                     grid, values, count, key, first_index,
                                     residual, norms, packed)
                               : EncodeLevelsRun<Code, kRounding, false>(
                                     grid, values, count, key, first_index,
                                     nullptr, norms, packed);
  };
  if (RoundingOf(grid) == LevelRounding::kNearest) {
    return encode.template operator()<LevelRounding::kNearest>();
  }
  if constexpr (sizeof(Code) == 1) {
    if (RoundingOf(grid) == LevelRounding::kSign) {
      return encode.template operator()<LevelRounding::kSign>();
    }
  }
  // Fixed point goes with codes of one byte, floors with those of two.
  constexpr LevelRounding kStochastic =
      sizeof(Code) == 1 ? LevelRounding::kFixedPoint : LevelRounding::kFloor;
  return encode.template operator()<kStochastic>();
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
  const float middle = static_cast<float>(grid.top) / 2;
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
