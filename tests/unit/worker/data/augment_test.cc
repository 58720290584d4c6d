#include "worker/data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "common/base/random.h"

namespace terse {
namespace {

constexpr int kSide = 32;

// Pixel (y, x) of channel c is 1 + its number, so that none is zero.
std::vector<float> Numbered() {
  std::vector<float> values(3 * kSide * kSide);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 1 + float(i);
  return values;
}

// Which shift and mirror turned Numbered() into `values`; fails if none did.
std::pair<int, bool> FindChange(const std::vector<float>& values) {
  for (int down = -4; down <= 4; ++down) {
    for (int right = -4; right <= 4; ++right) {
      for (const bool mirror : {false, true}) {
        bool same = true;
        for (int i = 0; i < 3 * kSide * kSide && same; ++i) {
          const int channel = i / (kSide * kSide);
          const int y = i / kSide % kSide - down;
          const int x = (mirror ? kSide - 1 - i % kSide : i % kSide) - right;
          const bool inside = y >= 0 && y < kSide && x >= 0 && x < kSide;
          const int number = (channel * kSide + y) * kSide + x;
          same = values[static_cast<size_t>(i)] ==
                 (inside ? 1 + float(number) : 0.f);
        }
        if (same) return {(down + 4) * 9 + right + 4, mirror};
      }
    }
  }
  ADD_FAILURE() << "no shift and mirror gives this picture";
  return {0, false};
}

TEST(ShiftAndMirror, DrawsAllShiftsAndBothSidesEvenly) {
  std::map<int, int> shifts;
  int mirrored = 0;
  constexpr int kSamples = 1500;
  for (uint64_t sample = 0; sample < kSamples; ++sample) {
    std::vector<float> values = Numbered();
    ShiftAndMirror({3, kSide, kSide}, 17, sample, values);
    const auto [shift, mirror] = FindChange(values);
    ++shifts[shift];
    mirrored += mirror;
  }
  EXPECT_EQ(shifts.size(), 81u);
  for (const auto& [shift, count] : shifts) EXPECT_LT(count, 50) << shift;
  EXPECT_NEAR(mirrored, kSamples / 2, 100);
}

TEST(ShiftAndMirror, IsAFunctionOfKeyAndSample) {
  const auto changed = [](uint64_t key, uint64_t sample) {
    std::vector<float> values = Numbered();
    ShiftAndMirror({3, kSide, kSide}, key, sample, values);
    return values;
  };
  EXPECT_EQ(changed(1, 2), changed(1, 2));
  EXPECT_NE(changed(1, 2), changed(1, 3));
  EXPECT_NE(changed(1, 2), changed(2, 2));
}

TEST(ShiftAndMirror, TakesPicturesSmallerThanTheShift) {
  std::vector<float> values = {5};
  for (uint64_t sample = 0; sample < 100; ++sample) {
    ShiftAndMirror({1, 1, 1}, 3, sample, values);
    EXPECT_TRUE(values[0] == 5 || values[0] == 0);
    values[0] = 5;
  }
}

}  // namespace
}  // namespace terse
