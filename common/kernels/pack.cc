#include "common/kernels/pack.h"

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/pack.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/pack-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {

// The whole groups.
void PackBytes(const uint8_t* codes, size_t groups, uint32_t bits,
               uint8_t* packed) {
  for (size_t g = 0; g < groups; ++g) {
    PackCodes(codes + g * kPackGroup, bits,
              packed + g * PackedCodeBytes(kPackGroup, bits));
  }
}
void PackWords(const uint16_t* codes, size_t groups, uint32_t bits,
               uint8_t* packed) {
  for (size_t g = 0; g < groups; ++g) {
    PackCodes(codes + g * kPackGroup, bits,
              packed + g * PackedCodeBytes(kPackGroup, bits));
  }
}
void UnpackBytes(const uint8_t* packed, size_t groups, uint32_t bits,
                 uint8_t* codes) {
  for (size_t g = 0; g < groups; ++g) {
    UnpackCodes(packed + g * PackedCodeBytes(kPackGroup, bits), bits,
                codes + g * kPackGroup);
  }
}
void UnpackWords(const uint8_t* packed, size_t groups, uint32_t bits,
                 uint16_t* codes) {
  for (size_t g = 0; g < groups; ++g) {
    UnpackCodes(packed + g * PackedCodeBytes(kPackGroup, bits), bits,
                codes + g * kPackGroup);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(PackBytes);
HWY_EXPORT(PackWords);
HWY_EXPORT(UnpackBytes);
HWY_EXPORT(UnpackWords);

namespace {

template <typename Code>
void PackBlock(const Code* codes, size_t count, uint32_t bits,
               uint8_t* packed) {
  const size_t groups = count / kPackGroup;
  if (ScalarKernelsForced()) {
    for (size_t g = 0; g < groups; ++g) {
      reference::PackGroup(codes + g * kPackGroup, bits,
                           packed + g * PackedCodeBytes(kPackGroup, bits));
    }
  } else if constexpr (sizeof(Code) == 1) {
    HWY_DYNAMIC_DISPATCH(PackBytes)(codes, groups, bits, packed);
  } else {
    HWY_DYNAMIC_DISPATCH(PackWords)(codes, groups, bits, packed);
  }
  reference::PackRest(codes + groups * kPackGroup, count % kPackGroup, bits,
                      packed + PackedCodeBytes(groups * kPackGroup, bits));
}

template <typename Code>
void UnpackBlock(const uint8_t* packed, size_t count, uint32_t bits,
                 Code* codes) {
  const size_t groups = count / kPackGroup;
  if (ScalarKernelsForced()) {
    for (size_t g = 0; g < groups; ++g) {
      reference::UnpackGroup(packed + g * PackedCodeBytes(kPackGroup, bits),
                             bits, codes + g * kPackGroup);
    }
  } else if constexpr (sizeof(Code) == 1) {
    HWY_DYNAMIC_DISPATCH(UnpackBytes)(packed, groups, bits, codes);
  } else {
    HWY_DYNAMIC_DISPATCH(UnpackWords)(packed, groups, bits, codes);
  }
  reference::UnpackRest(packed + PackedCodeBytes(groups * kPackGroup, bits),
                        count % kPackGroup, bits, codes + groups * kPackGroup);
}

}  // namespace

void PackAll(const uint8_t* codes, size_t count, uint32_t bits,
             uint8_t* packed) {
  PackBlock(codes, count, bits, packed);
}
void PackAll(const uint16_t* codes, size_t count, uint32_t bits,
             uint8_t* packed) {
  PackBlock(codes, count, bits, packed);
}
void UnpackAll(const uint8_t* packed, size_t count, uint32_t bits,
               uint8_t* codes) {
  UnpackBlock(packed, count, bits, codes);
}
void UnpackAll(const uint8_t* packed, size_t count, uint32_t bits,
               uint16_t* codes) {
  UnpackBlock(packed, count, bits, codes);
}

}  // namespace terse
#endif  // HWY_ONCE
