#include "common/kernels/float_format.h"

#include <bit>

#include "common/kernels/moments.h"
#include "common/kernels/target.h"

static_assert(std::endian::native == std::endian::little,
              "payloads are copied as they lie in memory");

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/float_format.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/bytes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <int kDrop, class DU>
HWY_INLINE hn::Vec<DU> RoundBits(DU du, hn::Vec<DU> bits) {
  const auto odd = hn::And(hn::ShiftRight<kDrop>(bits), hn::Set(du, 1u));
  const auto half = hn::Set(du, (1u << (kDrop - 1)) - 1);
  return hn::ShiftRight<kDrop>(hn::Add(bits, hn::Add(half, odd)));
}

// What follows does as float_format_ref.cc does, in 32-bit lanes.
template <FloatFormat kFormat, class D>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> ToFormatBits(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> du;
  if constexpr (kFormat == FloatFormat::kBinary32) return hn::BitCast(du, x);
  const auto sign =
      hn::And(hn::ShiftRight<16>(hn::BitCast(du, x)), hn::Set(du, 0x8000u));
  const auto magnitude = hn::Abs(x);
  if constexpr (kFormat == FloatFormat::kBfloat16) {
    const auto rounded = RoundBits<16>(du, hn::BitCast(du, magnitude));
    return hn::Or(sign, hn::Min(rounded, hn::Set(du, 0x7f7fu)));
  }
  const auto finite = hn::Min(magnitude, hn::Set(d, 65504.0f));
  const auto shifted = hn::BitCast(du, hn::Add(finite, hn::Set(d, 0.5f)));
  const auto subnormal = hn::Sub(shifted, hn::Set(du, 0x3f000000u));
  const auto normal = RoundBits<13>(
      du, hn::Sub(hn::BitCast(du, finite), hn::Set(du, 112u << 23)));
  const auto small = hn::RebindMask(du, hn::Lt(finite, hn::Set(d, 0x1p-14f)));
  return hn::Or(sign, hn::IfThenElse(small, subnormal, normal));
}

template <FloatFormat kFormat, class D>
HWY_INLINE hn::Vec<D> FromFormatBits(D d, hn::Vec<hn::RebindToUnsigned<D>> v) {
  const hn::RebindToUnsigned<D> du;
  if constexpr (kFormat == FloatFormat::kBinary32) return hn::BitCast(d, v);
  if constexpr (kFormat == FloatFormat::kBfloat16) {
    return hn::BitCast(d, hn::ShiftLeft<16>(v));
  }
  const auto sign = hn::And(v, hn::Set(du, 0x8000u));
  const auto magnitude =
      hn::Mul(hn::BitCast(d, hn::ShiftLeft<13>(hn::Xor(v, sign))),
              hn::Set(d, 0x1p112f));
  return hn::Or(magnitude, hn::BitCast(d, hn::ShiftLeft<16>(sign)));
}

template <FloatFormat kFormat, class DU>
HWY_INLINE hn::Vec<DU> LoadBits(DU du, const uint8_t* source) {
  if constexpr (kFormat == FloatFormat::kBinary32) {
    return LoadBytes(du, source);
  } else {
    const hn::Rebind<uint16_t, DU> d16;
    return hn::PromoteTo(du, LoadBytes(d16, source));
  }
}

template <FloatFormat kFormat, class DU>
HWY_INLINE void StoreBits(DU du, hn::Vec<DU> bits, uint8_t* target) {
  if constexpr (kFormat == FloatFormat::kBinary32) {
    StoreBytes(du, bits, target);
  } else {
    const hn::RebindToSigned<DU> di;
    const hn::Rebind<uint16_t, DU> d16;
    StoreBytes(d16, hn::DemoteTo(d16, hn::BitCast(di, bits)), target);
  }
}

template <FloatFormat kFormat, bool kResidual>
bool EncodeRun(const float* values, size_t count, float* residual,
               uint8_t* target) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t lanes = hn::Lanes(d);
  constexpr size_t kBytes = FloatFormatBytes(kFormat);
  auto max = hn::Zero(di);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto x = hn::LoadU(d, values + i);
    if constexpr (kResidual) x = hn::Add(hn::LoadU(d, residual + i), x);
    max = hn::Max(max, hn::BitCast(di, hn::Abs(x)));
    const auto bits = ToFormatBits<kFormat>(d, x);
    if constexpr (kResidual) {
      hn::StoreU(hn::Sub(x, FromFormatBits<kFormat>(d, bits)), d, residual + i);
    }
    StoreBits<kFormat>(du, bits, target + i * kBytes);
  }
  const uint32_t max_bits =
      static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(di, max)));
  return reference::EncodeFloats(kFormat, values + i, count - i,
                                 kResidual ? residual + i : nullptr,
                                 target + i * kBytes) &&
         max_bits < kInfinityBits;
}

template <FloatFormat kFormat>
void DecodeAddRun(const uint8_t* source, size_t count, float weight,
                  float* target) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const size_t lanes = hn::Lanes(d);
  constexpr size_t kBytes = FloatFormatBytes(kFormat);
  const auto weights = hn::Set(d, weight);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = LoadBits<kFormat>(du, source + i * kBytes);
    const auto x = hn::Mul(weights, FromFormatBits<kFormat>(d, bits));
    hn::StoreU(hn::Add(hn::LoadU(d, target + i), x), d, target + i);
  }
  reference::DecodeAddFloats(kFormat, source + i * kBytes, count - i, weight,
                             target + i);
}

template <FloatFormat kFormat>
bool AllFiniteRun(const uint8_t* source, size_t count) {
  const hn::ScalableTag<uint32_t> du;
  const size_t lanes = hn::Lanes(du);
  constexpr size_t kBytes = FloatFormatBytes(kFormat);
  constexpr uint32_t kExponent = kFormat == FloatFormat::kBinary32 ? 0x7f800000
                                 : kFormat == FloatFormat::kBinary16 ? 0x7c00
                                                                     : 0x7f80;
  const auto mask = hn::Set(du, kExponent);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto exponent =
        hn::And(LoadBits<kFormat>(du, source + i * kBytes), mask);
    if (!hn::AllFalse(du, hn::Eq(exponent, mask))) return false;
  }
  return reference::AllFloatsFinite(kFormat, source + i * kBytes, count - i);
}

bool EncodeFloatsKernel(FloatFormat format, const float* values, size_t count,
                        float* residual, uint8_t* target) {
  const auto encode = [&]<FloatFormat kFormat>() {
    return residual != nullptr
               ? EncodeRun<kFormat, true>(values, count, residual, target)
               : EncodeRun<kFormat, false>(values, count, nullptr, target);
  };
  switch (format) {
    case FloatFormat::kBinary32:
      return encode.template operator()<FloatFormat::kBinary32>();
    case FloatFormat::kBinary16:
      return encode.template operator()<FloatFormat::kBinary16>();
    default:
      return encode.template operator()<FloatFormat::kBfloat16>();
  }
}

void DecodeAddFloatsKernel(FloatFormat format, const uint8_t* source,
                           size_t count, float weight, float* target) {
  switch (format) {
    case FloatFormat::kBinary32:
      return DecodeAddRun<FloatFormat::kBinary32>(source, count, weight,
                                                  target);
    case FloatFormat::kBinary16:
      return DecodeAddRun<FloatFormat::kBinary16>(source, count, weight,
                                                  target);
    default:
      return DecodeAddRun<FloatFormat::kBfloat16>(source, count, weight,
                                                  target);
  }
}

bool AllFloatsFiniteKernel(FloatFormat format, const uint8_t* source,
                           size_t count) {
  switch (format) {
    case FloatFormat::kBinary32:
      return AllFiniteRun<FloatFormat::kBinary32>(source, count);
    case FloatFormat::kBinary16:
      return AllFiniteRun<FloatFormat::kBinary16>(source, count);
    default:
      return AllFiniteRun<FloatFormat::kBfloat16>(source, count);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(EncodeFloatsKernel);
HWY_EXPORT(DecodeAddFloatsKernel);
HWY_EXPORT(AllFloatsFiniteKernel);

bool EncodeFloats(FloatFormat format, const float* values, size_t count,
                  float* residual, uint8_t* target) {
  if (ScalarKernelsForced()) {
    return reference::EncodeFloats(format, values, count, residual, target);
  }
  return HWY_DYNAMIC_DISPATCH(EncodeFloatsKernel)(format, values, count,
                                                  residual, target);
}

void DecodeAddFloats(FloatFormat format, const uint8_t* source, size_t count,
                     float weight, float* target) {
  if (ScalarKernelsForced()) {
    return reference::DecodeAddFloats(format, source, count, weight, target);
  }
  HWY_DYNAMIC_DISPATCH(DecodeAddFloatsKernel)
  (format, source, count, weight, target);
}

bool AllFloatsFinite(FloatFormat format, const uint8_t* source, size_t count) {
  if (ScalarKernelsForced()) {
    return reference::AllFloatsFinite(format, source, count);
  }
  return HWY_DYNAMIC_DISPATCH(AllFloatsFiniteKernel)(format, source, count);
}

}  // namespace terse
#endif  // HWY_ONCE
