// What the tests of kernels share: every instruction set must give the bits of
// the plain reference, at all sizes around the widths of vectors and groups and
// at any alignment.
#ifndef TERSE_TESTS_UNIT_COMMON_KERNELS_KERNEL_TEST_UTIL_H_
#define TERSE_TESTS_UNIT_COMMON_KERNELS_KERNEL_TEST_UTIL_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/kernels/target.h"
#include "gtest/gtest.h"

namespace terse {

// 0, 1, N-1, N, N+1 and 8N+2 for all vector widths N in floats (1 to 16) and in
// bytes (16 to 64), and the same around the groups of 320 and 512.
inline std::vector<size_t> KernelTestSizes() {
  std::vector<size_t> sizes = {0, 1, 2, 3, 5};
  for (size_t n : {4, 8, 16, 32, 64, 320, 512, 2048}) {
    for (size_t size : {n - 1, n, n + 1}) sizes.push_back(size);
  }
  for (size_t n : {1, 4, 8, 16, 32, 64, 320, 512}) sizes.push_back(8 * n + 2);
  return sizes;
}

inline float TestGaussian(uint64_t key, uint64_t index) {
  const double u1 = (RandomBits(key, 2 * index) + 0.5) * 0x1p-32;
  const double u2 = RandomBits(key, 2 * index + 1) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2 * std::log(u1)) *
                            std::cos(2 * 3.14159265358979 * u2));
}

// Gaussians with zeros of both signs, denormals and values of very different
// magnitude among them.
inline std::vector<float> TestValues(size_t count, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float x = TestGaussian(key, i);
    switch (RandomBits(key + 1, i) % 16) {
      case 0:
        values[i] = 0.0f;
        break;
      case 1:
        values[i] = -0.0f;
        break;
      case 2:
        values[i] = x * 1e-42f;
        break;
      case 3:
        values[i] = x * 1e-6f;
        break;
      case 4:
        values[i] = x * 8;
        break;
      default:
        values[i] = x;
    }
  }
  return values;
}

// A copy of `source` that starts `offset` elements behind an aligned address
// and ends with its allocation.
template <typename T>
class Misaligned {
 public:
  Misaligned(const std::vector<T>& source, size_t offset)
      : storage_(source.size() + offset), offset_(offset) {
    if (!source.empty()) {
      std::memcpy(storage_.data() + offset, source.data(),
                  source.size() * sizeof(T));
    }
  }
  Misaligned(size_t count, size_t offset)
      : Misaligned(std::vector<T>(count, T{}), offset) {}

  T* data() { return storage_.data() + offset_; }
  std::vector<T> Copy() const {
    return std::vector<T>(storage_.begin() + offset_, storage_.end());
  }

 private:
  std::vector<T> storage_;
  size_t offset_;
};

inline std::vector<uint32_t> BitsOf(const std::vector<float>& values) {
  std::vector<uint32_t> bits;
  for (float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

// Runs `body(size, offset)` on every instruction set for all sizes and three
// alignments.
inline void OnAllTargets(const std::function<void(size_t, size_t)>& body) {
  for (const std::string& target : KernelTargetNames()) {
    ASSERT_TRUE(ForceKernelTarget(target));
    ASSERT_EQ(KernelTargetName(), target);
    for (size_t size : KernelTestSizes()) {
      for (size_t offset : {0, 1, 3}) {
        SCOPED_TRACE(testing::Message()
                     << target << ", size " << size << ", offset " << offset);
        body(size, offset);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
  ASSERT_TRUE(ForceKernelTarget("auto"));
}

}  // namespace terse

#endif  // TERSE_TESTS_UNIT_COMMON_KERNELS_KERNEL_TEST_UTIL_H_
