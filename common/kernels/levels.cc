#include "common/kernels/levels.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/kernels/prefetch.h"
#include "common/kernels/random_segment.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/levels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/level_group-inl.h"
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
    const auto dither = hn::ShiftRightSame(run.DrawHalf(i), 16 - fraction);
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
                                             key, first_index, i,
                                             kLoss ? loss + i : nullptr));
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
  if (grid.norm == LevelNorm::kGiven) return moments;
  moments.max_abs_bits = MaxAbsOf(values, count, residual);
  return moments;
}

// Encodes a block bucket after bucket. A bucket is measured when quantizing
// reaches it, so that small ones stay in the first-level cache between the two.
template <typename Code, LevelRounding kRounding, bool kLoss>
class BlockEncoder {
 public:
  BlockEncoder(const LevelGrid& grid, const float* values, size_t count,
               uint64_t key, uint64_t first_index, float* residual,
               uint8_t* norms)
      : grid_(grid),
        values_(values),
        count_(count),
        key_(key),
        first_index_(first_index),
        residual_(residual),
        norms_(norms) {
    groups_.bits = grid.code_bits;
    groups_.zero = grid.top / 2;
    groups_.key = key;
    groups_.first_index = first_index;
    groups_.values = x();
    groups_.loss = residual;
  }

  bool Encode(uint8_t* packed) {
    for (size_t start = 0; start < count_;) {
      const size_t groups = EncodeFastGroups(start, packed);
      if (groups == 0) EncodeOneGroup(start, packed);
      start += std::max<size_t>(groups, 1) * kPackGroup;
      packed += std::max<size_t>(groups, 1) *
                PackedCodeBytes(kPackGroup, grid_.code_bits);
    }
    return finite_;
  }

 private:
  // Groups of smaller buckets are measured so many at a time before they are
  // quantized, while they are in the first-level cache.
  static constexpr size_t kBatch = 8;
  static constexpr size_t kBatchElements = kBatch * kPackGroup;

  const float* x() const { return kLoss ? residual_ : values_; }

  // Measures the bucket that starts at element i, if one does.
  void EnterBucket(size_t i) {
    if (i != bucket_end_) return;
    const size_t size = std::min(grid_.bucket, count_ - i);
    const BlockMoments moments = MeasureBucket(grid_, values_ + i, size,
                                               kLoss ? residual_ + i : nullptr);
    finite_ = finite_ && moments.finite();
    scale_ = MakeLevelScale(grid_, moments, size);
    std::memcpy(norms_, &scale_.norm, sizeof(float));
    norms_ += sizeof(float);
    row_scale_ = RowScale(grid_, scale_);
    bucket_end_ = i + size;
  }

  // Encodes whole groups from element `start` on, and returns how many; 0 if
  // this is not one for the fast way.
  size_t EncodeFastGroups(size_t start, uint8_t* packed) {
    const size_t left = (count_ - start) / kPackGroup;
    if (sizeof(Code) != 1 || !HasFastGroups(grid_) || left == 0) return 0;
    if (grid_.bucket < kBatchElements && grid_.bucket % kRowElements == 0) {
      return EncodeBatch(start, std::min(left, kBatch), packed);
    }
    EnterBucket(start);
    const size_t groups = std::min(left, (bucket_end_ - start) / kPackGroup);
    if (groups == 0 || scale_.clamp) return 0;
    groups_.rows = &row_scale_;
    groups_.row_stride = 0;
    EncodeLevelGroups<kRounding, kLoss>(groups_, start, groups, packed);
    return groups;
  }

  // Groups whose rows each lie in one bucket.
  size_t EncodeBatch(size_t start, size_t groups, uint8_t* packed) {
    bool clamp = false;
    for (size_t r = 0; r < groups * kGroupRows; ++r) {
      EnterBucket(start + r * kRowElements);
      scales_[r] = scale_;
      row_scales_[r] = row_scale_;
      clamp = clamp || scale_.clamp;
    }
    if (!clamp) {
      groups_.rows = row_scales_.data();
      groups_.row_stride = 1;
      EncodeLevelGroups<kRounding, kLoss>(groups_, start, groups, packed);
      return groups;
    }
    for (size_t g = 0; g < groups; ++g) {
      for (size_t r = 0; r < kGroupRows; ++r) {
        Quantize(scales_[g * kGroupRows + r],
                 start + g * kPackGroup + r * kRowElements, kRowElements,
                 codes_ + r * kRowElements);
      }
      PackCodes(codes_, grid_.code_bits, packed);
      packed += PackedCodeBytes(kPackGroup, grid_.code_bits);
    }
    return groups;
  }

  // A whole group, or the block's rest.
  void EncodeOneGroup(size_t start, uint8_t* packed) {
    const size_t end = std::min(count_, start + kPackGroup);
    for (size_t i = start; i < end;) {
      EnterBucket(i);
      const size_t size = std::min(bucket_end_, end) - i;
      Quantize(scale_, i, size, codes_ + (i - start));
      i += size;
    }
    if (end - start == kPackGroup) {
      PackCodes(codes_, grid_.code_bits, packed);
    } else {
      reference::PackRest(codes_, end - start, grid_.code_bits, packed);
    }
  }

  void Quantize(const LevelScale& scale, size_t i, size_t count, Code* codes) {
    QuantizeRun<Code, kRounding, kLoss>(grid_, scale, key_, first_index_, x(),
                                        i, count, residual_, codes);
  }

  const LevelGrid grid_;
  const float* const values_;
  const size_t count_;
  const uint64_t key_;
  const uint64_t first_index_;
  float* const residual_;
  uint8_t* norms_;
  LevelGroups groups_;
  LevelScale scale_;
  RowScale row_scale_;
  std::array<LevelScale, kBatch * kGroupRows> scales_;
  std::array<RowScale, kBatch * kGroupRows> row_scales_;
  size_t bucket_end_ = 0;
  bool finite_ = true;
  alignas(64) Code codes_[kPackGroup];
};

template <typename Code>
bool EncodeLevelsOf(const LevelGrid& grid, const float* values, size_t count,
                    uint64_t key, uint64_t first_index, float* residual,
                    uint8_t* norms, uint8_t* packed) {
  const auto encode = [&]<LevelRounding kRounding>() {
    if (residual != nullptr) {
      return BlockEncoder<Code, kRounding, true>(grid, values, count, key,
                                                 first_index, residual, norms)
          .Encode(packed);
    }
    return BlockEncoder<Code, kRounding, false>(grid, values, count, key,
                                                first_index, nullptr, norms)
        .Encode(packed);
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
    PrefetchAhead(target + i);
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
