// Encodes whole groups of codes of up to 8 bits; see levels.h and pack.h.
// Included once per target.
#if defined(TERSE_COMMON_KERNELS_LEVEL_GROUP_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef TERSE_COMMON_KERNELS_LEVEL_GROUP_INL_H_
#undef TERSE_COMMON_KERNELS_LEVEL_GROUP_INL_H_
#else
#define TERSE_COMMON_KERNELS_LEVEL_GROUP_INL_H_
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "common/kernels/levels.h"
#include "common/kernels/pack-inl.h"
#include "common/kernels/prefetch.h"
#include "common/kernels/random-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A group is made of rows of this many consecutive elements, one to a column.
inline constexpr size_t kRowElements = kPackGroup / 8;
inline constexpr size_t kGroupRows = kPackGroup / kRowElements;

// A float beyond all codes whose last place is 1: adding it rounds half to
// even.
inline constexpr float kNearestBase = 0x1.8p23f;

// What the elements of a row are multiplied with and moved by. Losses are
// x - (place - base) * step, where the place is a sum with the last place 1.
struct RowScale {
  RowScale() = default;
  RowScale(const LevelGrid& grid, const LevelScale& scale)
      : factor(scale.factor), shift(scale.shift), step(scale.step) {
    const float middle = static_cast<float>(grid.top) / 2;
    switch (RoundingOf(grid)) {
      case LevelRounding::kFixedPoint: {
        const auto unit = static_cast<float>(1 << FractionBits(grid));
        base = kRoundingBase + middle * unit;
        step /= unit;
        break;
      }
      case LevelRounding::kSign:
        step /= 2;
        break;
      default:
        base = kNearestBase;
    }
  }
  float factor = 0;
  float shift = 0;
  float base = 0;
  float step = 0;
};

// How groups are encoded, and where: the rows of a group, its bytes' eighths,
// have scales of their own, none of which clamps.
struct LevelGroups {
  uint32_t bits = 0;
  uint32_t zero = 0;  // The code at the level 0.
  uint64_t key = 0;
  uint64_t first_index = 0;
  const float* values = nullptr;  // Of the block, as `loss`.
  float* loss = nullptr;
  // Row r of all has rows[r * row_stride].
  const RowScale* rows = nullptr;
  size_t row_stride = 0;
};

// Whether EncodeLevelGroups knows the grid.
constexpr bool HasFastGroups(const LevelGrid& grid) {
  if (grid.code_bits > 8 || HWY_TARGET == HWY_SCALAR) return false;
  return RoundingOf(grid) != LevelRounding::kNearest || grid.top % 2 == 0;
}

// Bit the code starts at in what PlaceCodes returns.
template <LevelRounding kRounding, int kFraction>
inline constexpr int kCodeBit =
    kRounding == LevelRounding::kFixedPoint ? kFraction
    : kRounding == LevelRounding::kSign     ? 31
                                            : 0;

// Codes of a vector of elements, kCodeBit up, as EncodeLevel defines them.
// Above the code's byte there may be other bits.
template <LevelRounding kRounding, int kFraction, bool kLoss, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> PlaceCodes(
    D d, const RowScale& row, uint32_t zero, const float* values,
    hn::Vec<hn::RebindToUnsigned<D>> dither, float* loss) {
  const hn::RebindToUnsigned<D> du;
  const auto x = hn::LoadU(d, values);
  const auto step = hn::Set(d, row.step);
  const auto base = hn::Set(d, row.base);
  if constexpr (kRounding == LevelRounding::kSign) {
    if constexpr (kLoss) {
      hn::StoreU(hn::Sub(x, hn::CopySignToAbs(step, x)), d, loss);
    }
    return hn::Not(hn::BitCast(du, x));
  }
  const auto y =
      hn::Add(hn::Mul(x, hn::Set(d, row.factor)), hn::Set(d, row.shift));
  if constexpr (kRounding == LevelRounding::kFixedPoint) {
    const auto place = hn::Add(hn::BitCast(du, y), dither);
    if constexpr (kLoss) {
      // Without its fraction the place is a float of as many steps above base.
      const auto whole = hn::And(place, hn::Set(du, ~((1u << kFraction) - 1)));
      const auto level = hn::Sub(hn::BitCast(d, whole), base);
      hn::StoreU(hn::Sub(x, hn::Mul(level, step)), d, loss);
    }
    return place;
  } else {
    const auto rounded = hn::Add(y, hn::Set(d, kNearestBase));
    if constexpr (kLoss) {
      const auto level = hn::Sub(rounded, base);
      hn::StoreU(hn::Sub(x, hn::Mul(level, step)), d, loss);
    }
    return hn::Add(hn::BitCast(du, rounded), hn::Set(du, zero));
  }
}

#if HWY_TARGET != HWY_SCALAR

// Codes in the lower and, of `high`, upper halves of lanes, at bit 0 of each.
template <int kBit, class DU>
HWY_INLINE hn::Vec<hn::Repartition<uint16_t, DU>> JoinHalves(DU du,
                                                             hn::Vec<DU> low,
                                                             hn::Vec<DU> high) {
  const hn::Repartition<uint16_t, DU> d16;
  low = hn::ShiftRight<kBit>(low);
  if constexpr (kBit < 16) high = hn::ShiftLeft<16 - kBit>(high);
  if constexpr (kBit == 31) {
    high = hn::ShiftRight<15>(hn::And(high, hn::Set(du, 0x80000000u)));
  }
  return hn::OddEven(hn::BitCast(d16, high), hn::BitCast(d16, low));
}

// The group whose first element is `start` and whose first row has `rows`.
// kBits: of codes that fill bytes, 1, 2, 4 or 8, which are packed as they come;
// 0: all others, which go to `packed` one to a byte.
template <int kBits, LevelRounding kRounding, int kFraction, bool kLoss,
          class DU>
HWY_INLINE void EncodeGroup(const LevelGroups& groups, const RandomRun<DU>& run,
                            const RowScale* rows, size_t start,
                            uint8_t* HWY_RESTRICT packed) {
  constexpr size_t kHalf = kRowElements / 2;
  constexpr size_t kParts = kBits == 0 ? 1 : 8 / kBits;
  const DU du;
  using D = hn::RebindToFloat<DU>;
  const D d;
  const hn::Repartition<uint16_t, D> d16;
  const hn::Rebind<uint8_t, D> d8;
  const auto next_row = run.Offset(kRowElements);
  for (size_t column = 0; column < kHalf; column += hn::Lanes(d)) {
    uint8_t* bytes = packed + column;
    auto position = run.Position(start + column);
    for (size_t r = 0; r < kGroupRows; r += kParts, bytes += kRowElements) {
      auto joined = hn::Zero(d16);
      const auto add =
          [&]<int kPart>(std::integral_constant<int, kPart>) HWY_ATTR {
            const RowScale& row = rows[(r + kPart) * groups.row_stride];
            const size_t e = start + (r + kPart) * kRowElements + column;
            const float* const x = groups.values + e;
            // Large buckets have left the first-level cache since they were
            // measured.
            if (groups.row_stride == 0) {
              for (const float* half : {x, x + kHalf}) {
                PrefetchAhead(half);
                if constexpr (!kLoss) PrefetchNextBlock(half);
              }
            }
            auto low_dither = hn::Zero(du);
            auto high_dither = hn::Zero(du);
            if constexpr (kRounding == LevelRounding::kFixedPoint) {
              const auto bits = run.Mix(position);
              position = hn::Add(position, next_row);
              low_dither = hn::And(bits, hn::Set(du, 0xffffu));
              low_dither = hn::ShiftRight<16 - kFraction>(low_dither);
              high_dither = hn::ShiftRight<32 - kFraction>(bits);
            }
            const auto low = PlaceCodes<kRounding, kFraction, kLoss>(
                d, row, groups.zero, x, low_dither,
                kLoss ? groups.loss + e : nullptr);
            const auto high = PlaceCodes<kRounding, kFraction, kLoss>(
                d, row, groups.zero, x + kHalf, high_dither,
                kLoss ? groups.loss + e + kHalf : nullptr);
            const auto codes =
                JoinHalves<kCodeBit<kRounding, kFraction>>(du, low, high);
            joined = hn::Add(joined, hn::ShiftLeft<kPart * kBits>(codes));
          };
      [&]<size_t... kPart>(std::index_sequence<kPart...>) HWY_ATTR {
        (add(std::integral_constant<int, static_cast<int>(kPart)>()), ...);
      }
      (std::make_index_sequence<kParts>());
      const auto all = hn::BitCast(du, joined);
      hn::StoreU(hn::TruncateTo(d8, all), d8, bytes);
      hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<16>(all)), d8,
                 bytes + kHalf);
    }
  }
}

// Encodes and packs the `count` groups from element `start` on.
// Requires: HasFastGroups.
template <LevelRounding kRounding, bool kLoss>
void EncodeLevelGroups(const LevelGroups& groups, size_t start, size_t count,
                       uint8_t* packed) {
  using DU = hn::CappedTag<uint32_t, kRowElements / 2>;
  const RandomRun<DU> run(DU(), groups.key, groups.first_index);
  const LevelGroups local = groups;  // Stores of bytes could alias.
  const auto encode = [&]<int kBits, int kFraction>() HWY_ATTR {
    alignas(64) uint8_t codes[kPackGroup];
    const RowScale* rows = local.rows;
    for (size_t g = 0; g < count; ++g) {
      EncodeGroup<kBits, kRounding, kFraction, kLoss>(
          local, run, rows, start + g * kPackGroup,
          kBits == 0 ? codes : packed);
      if constexpr (kBits == 0) PackCodes(codes, local.bits, packed);
      packed += PackedCodeBytes(kPackGroup, local.bits);
      rows += kGroupRows * local.row_stride;
    }
  };
  // Fractions are as FractionBits has them.
  switch (local.bits) {
    case 1:
      return encode.template operator()<1, 16>();
    case 2:
      return encode.template operator()<2, 16>();
    case 4:
      return encode.template operator()<4, 16>();
    case 8:
      return encode.template operator()<8, 14>();
    case 7:
      return encode.template operator()<0, 15>();
    default:
      return encode.template operator()<0, 16>();
  }
}

#else  // One lane, which has no halves: HasFastGroups is false.

template <LevelRounding kRounding, bool kLoss>
void EncodeLevelGroups(const LevelGroups&, size_t, size_t, uint8_t*) {}

#endif  // HWY_TARGET

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#endif  // TERSE_COMMON_KERNELS_LEVEL_GROUP_INL_H_
