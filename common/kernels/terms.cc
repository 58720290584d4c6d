#include "common/kernels/terms.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "common/kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/kernels/terms.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace terse {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Groups that are looked at side by side, one in each lane.
constexpr size_t kGroups = 32;

// `magnitudes`: number k of group g is element k * kGroups + g.
void KeepLargest(uint32_t terms, size_t group, int16_t* magnitudes) {
  const hn::CappedTag<int16_t, kGroups> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto one = hn::Set(d, 1);
  const auto limit = hn::Set(d, static_cast<int16_t>(terms));
  for (size_t lane = 0; lane < kGroups; lane += hn::Lanes(d)) {
    int16_t* const column = magnitudes + lane;
    auto all = hn::Zero(d);
    auto present = hn::Zero(d);
    for (size_t k = 0; k < group; ++k) {
      const auto q = hn::LoadU(d, column + k * kGroups);
      all = hn::Or(all, q);
      present = hn::Add(
          present, hn::BitCast(d, hn::PopulationCount(hn::BitCast(du, q))));
    }
    // From the smallest term of the last number: what is dropped is less.
    for (int bit = 0; bit < 15; ++bit) {
      if (hn::AllFalse(d, hn::Gt(present, limit))) break;
      const auto term = hn::ShiftLeftSame(one, bit);
      if (hn::AllTrue(d, hn::Eq(hn::And(all, term), hn::Zero(d)))) continue;
      for (size_t k = group; k-- > 0;) {
        const auto q = hn::LoadU(d, column + k * kGroups);
        const auto drop = hn::And(hn::TestBit(q, term), hn::Gt(present, limit));
        hn::StoreU(hn::Sub(q, hn::IfThenElseZero(drop, term)), d,
                   column + k * kGroups);
        present = hn::Sub(present, hn::IfThenElseZero(drop, one));
      }
    }
  }
}

void KeepTermsKernel(uint32_t terms, size_t group, int16_t* levels,
                     size_t count) {
  thread_local std::vector<int16_t> magnitudes;
  for (size_t start = 0; start < count; start += kGroups * group) {
    const size_t size = std::min(kGroups * group, count - start);
    magnitudes.assign(kGroups * group, 0);
    int16_t* const q = levels + start;
    for (size_t first = 0, g = 0; first < size; first += group, ++g) {
      const size_t here = std::min(group, size - first);
      for (size_t k = 0; k < here; ++k) {
        magnitudes[k * kGroups + g] =
            static_cast<int16_t>(std::abs(q[first + k]));
      }
    }
    KeepLargest(terms, group, magnitudes.data());
    for (size_t first = 0, g = 0; first < size; first += group, ++g) {
      const size_t here = std::min(group, size - first);
      for (size_t k = 0; k < here; ++k) {
        // Without a branch, which no predictor could foresee.
        const int sign = q[first + k] >> 15;
        q[first + k] =
            static_cast<int16_t>((magnitudes[k * kGroups + g] ^ sign) - sign);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace terse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace terse {

HWY_EXPORT(KeepTermsKernel);

void KeepTerms(uint32_t terms, size_t group, std::span<int16_t> levels) {
  // So many a group cannot have.
  terms = std::min<uint32_t>(terms, 512 * 15);
  if (ScalarKernelsForced()) {
    return reference::KeepTerms(terms, group, levels);
  }
  HWY_DYNAMIC_DISPATCH(KeepTermsKernel)
  (terms, group, levels.data(), levels.size());
}

}  // namespace terse
#endif  // HWY_ONCE
