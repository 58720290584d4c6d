#include "common/kernels/sign_bits.h"

#include <cstring>

#include "common/kernels/random_segment.h"
#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/sign_bits.cc"
#include "hwy/foreach_target.h"
// Includes that are compiled once per target.
#include "common/kernels/random-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Uints = hn::RebindToUnsigned<Floats>;

// Writes the bits of test(i) for the whole groups of 8 elements that vectors
// cover, and returns how many elements those are.
template <class Test>
HWY_INLINE size_t PackMasks(size_t count, const Test& test, uint8_t* bits) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if (lanes >= 8) {
    for (; i + lanes <= count; i += lanes) {
      hn::StoreMaskBits(d, test(i), bits + i / 8);
    }
    return i;
  }
  for (; i + 8 <= count; i += 8) {
    uint32_t byte = 0;
    for (size_t lane = 0; lane < 8; lane += lanes) {
      uint8_t part;
      hn::StoreMaskBits(d, test(i + lane), &part);
      byte |= uint32_t{part} << lane;
    }
    bits[i / 8] = static_cast<uint8_t>(byte);
  }
  return i;
}

size_t PackSigns(const float* HWY_RESTRICT values, size_t count,
                 uint8_t* HWY_RESTRICT bits) {
  const Floats d;
  const auto zero = hn::Zero(d);
  const auto test = [&](size_t i) HWY_ATTR {
    return hn::Ge(hn::LoadU(d, values + i), zero);
  };
  return PackMasks(count, test, bits);
}

// Requires: InOneSegment(first_index, count).
size_t PackStochasticSigns(const float* HWY_RESTRICT values, size_t count,
                           uint64_t key, uint64_t first_index,
                           uint8_t* HWY_RESTRICT bits) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto one = hn::Set(d, 1.0f);
  const auto half = hn::Set(d, 0.5f);
  const auto grid = hn::Set(d, 0x1p-24f);
  const RandomRun<Uints> random(Uints(), key, first_index);
  const auto test = [&](size_t i) HWY_ATTR {
    const auto draw = hn::ShiftRight<8>(random.Draw(i));
    const auto unit = hn::Mul(hn::ConvertTo(d, hn::BitCast(di, draw)), grid);
    return hn::Lt(unit, hn::Mul(hn::Add(hn::LoadU(d, values + i), one), half));
  };
  return PackMasks(count, test, bits);
}

size_t UnpackSigns(const uint8_t* HWY_RESTRICT bits, size_t count,
                   float magnitude, float* HWY_RESTRICT target) {
  const Floats d;
  const Uints du;
  const size_t lanes = hn::Lanes(d);
  const auto up = hn::Set(d, magnitude);
  const auto down = hn::Set(d, -magnitude);
  HWY_ALIGN uint32_t powers[hn::MaxLanes(du)];
  for (size_t lane = 0; lane < lanes; ++lane) powers[lane] = 1u << lane;
  const auto lane_bits = hn::Load(du, powers);
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    uint32_t word;
    std::memcpy(&word, bits + i / 8, sizeof(word));
    for (size_t lane = 0; lane < 32; lane += lanes) {
      const auto mask = hn::TestBit(hn::Set(du, word >> lane), lane_bits);
      hn::StoreU(hn::IfThenElse(hn::RebindMask(d, mask), up, down), d,
                 target + i + lane);
    }
  }
  return i;
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(PackSigns);
HWY_EXPORT(PackStochasticSigns);
HWY_EXPORT(UnpackSigns);

void PackSigns(const float* values, size_t count, uint8_t* bits) {
  const size_t done = ScalarKernelsForced() ? 0
                                            : HWY_DYNAMIC_DISPATCH(PackSigns)(
                                                  values, count, bits);
  reference::PackSigns(values + done, count - done, bits + done / 8);
}

void PackStochasticSigns(const float* values, size_t count, uint64_t key,
                         uint64_t first_index, uint8_t* bits) {
  const size_t done = ScalarKernelsForced() || !InOneSegment(first_index, count)
                          ? 0
                          : HWY_DYNAMIC_DISPATCH(PackStochasticSigns)(
                                values, count, key, first_index, bits);
  reference::PackStochasticSigns(values + done, count - done, key,
                                 first_index + done, bits + done / 8);
}

void UnpackSigns(const uint8_t* bits, size_t count, float magnitude,
                 float* target) {
  const size_t done =
      ScalarKernelsForced()
          ? 0
          : HWY_DYNAMIC_DISPATCH(UnpackSigns)(bits, count, magnitude, target);
  reference::UnpackSigns(bits + done / 8, count - done, magnitude,
                         target + done);
}

}  // namespace terse
#endif  // HWY_ONCE
