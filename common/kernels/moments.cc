#include "common/kernels/moments.h"

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/moments.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "common/kernels/moments-inl.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {

uint32_t AddMaxAbsKernel(const float* values, size_t count, float* residual) {
  return MaxAbsOf(values, count, residual);
}

BlockMoments AddAbsoluteSumKernel(const float* values, size_t count,
                                  float* residual) {
  return AbsoluteSumOf(values, count, residual);
}

BlockMoments AddMomentsKernel(const float* values, size_t count,
                              float* residual) {
  return MomentsOf(values, count, residual);
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(AddMaxAbsKernel);
HWY_EXPORT(AddAbsoluteSumKernel);
HWY_EXPORT(AddMomentsKernel);

uint32_t AddMaxAbs(const float* values, size_t count, float* residual) {
  if (ScalarKernelsForced()) {
    return reference::AddMaxAbs(values, count, residual);
  }
  return HWY_DYNAMIC_DISPATCH(AddMaxAbsKernel)(values, count, residual);
}

BlockMoments AddAbsoluteSum(const float* values, size_t count,
                            float* residual) {
  if (ScalarKernelsForced()) {
    return reference::AddAbsoluteSum(values, count, residual);
  }
  return HWY_DYNAMIC_DISPATCH(AddAbsoluteSumKernel)(values, count, residual);
}

BlockMoments AddMoments(const float* values, size_t count, float* residual) {
  if (ScalarKernelsForced()) {
    return reference::AddMoments(values, count, residual);
  }
  return HWY_DYNAMIC_DISPATCH(AddMomentsKernel)(values, count, residual);
}

}  // namespace terse
#endif  // HWY_ONCE
