#include "common/quantize/term.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/kernels/terms.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/quantize/testing.h"

namespace terse {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::vector<int> Kept(uint32_t terms, std::vector<int> group) {
  std::vector<int16_t> levels(group.begin(), group.end());
  KeepTerms(terms, std::max<size_t>(group.size(), 1), levels);
  return {levels.begin(), levels.end()};
}

std::unique_ptr<WeightQuantizer> Make(int bits, uint32_t group, uint32_t terms,
                                      size_t row) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::TERM);
  options.set_bits(bits);
  options.set_group(group);
  options.set_terms(terms);
  return MakeOrDie(options, row);
}

TEST(KeepTermsTest, GoldenGroup) {
  EXPECT_THAT(Kept(8, {21, 6, 17, 11}), ElementsAre(21, 6, 16, 10));
  EXPECT_THAT(Kept(8, {-21, 6, -17, 11}), ElementsAre(-21, 6, -16, 10));
}

TEST(KeepTermsTest, AllNoneAndTies) {
  EXPECT_THAT(Kept(10, {21, 6, 17, 11}), ElementsAre(21, 6, 17, 11));
  EXPECT_THAT(Kept(0, {21, -6, 17, 0}), Each(0));
  EXPECT_THAT(Kept(2, {1, 1, 1, 1}), ElementsAre(1, 1, 0, 0));
  EXPECT_THAT(Kept(1, {3, 4, -4}), ElementsAre(0, 4, 0));
  EXPECT_THAT(Kept(1, {}), ElementsAre());
}

// Sorts the terms themselves, in place of dropping them from below.
std::vector<int> KeptBySorting(uint32_t terms, const std::vector<int>& group) {
  struct TermOf {
    int value;
    size_t position;
  };
  std::vector<TermOf> all;
  for (size_t i = 0; i < group.size(); ++i) {
    for (int value = 64; value > 0; value /= 2) {
      if (std::abs(group[i]) & value) all.push_back({value, i});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.value != b.value ? a.value > b.value : a.position < b.position;
  });
  std::vector<int> kept(group.size());
  for (size_t t = 0; t < all.size() && t < terms; ++t) {
    const bool negative = group[all[t].position] < 0;
    kept[all[t].position] += negative ? -all[t].value : all[t].value;
  }
  return kept;
}

TEST(KeepTermsTest, IsTheSortedDefinition) {
  for (uint64_t draw = 0; draw < 500; ++draw) {
    std::vector<int> group(1 + draw % 9);
    for (size_t i = 0; i < group.size(); ++i) {
      group[i] = static_cast<int>(RandomBits(draw, i) % 255) - 127;
    }
    for (uint32_t terms : {1, 3, 8, 20}) {
      EXPECT_EQ(Kept(terms, group), KeptBySorting(terms, group)) << draw;
    }
  }
}

TEST(TermTest, GroupsEndWithTheRow) {
  // Rows of 3 in groups of 2: {5, 3}, {1}, {7, 7}, {127}; a step is 1.
  EXPECT_THAT(Quantized(*Make(8, 2, 3, 3), {5, 3, 1, 7, 7, 127}),
              ElementsAre(5, 2, 1, 6, 4, 112));
}

TEST(TermTest, EnoughTermsAreTheUniformCodes) {
  const std::vector<float> shadow = Uniform(500, 0.3f, 3);
  for (int bits = 2; bits <= 8; ++bits) {
    EXPECT_EQ(Encoded(*Make(bits, 5, 5 * 7, 50), shadow),
              Encoded(*MakeOrDie(WeightQuantization::UNIFORM, bits), shadow));
  }
}

TEST(TermTest, OneTermOfOneIsTheLeadingOne) {
  const std::vector<float> shadow = Uniform(500, 0.3f, 4);
  EXPECT_EQ(Quantized(*Make(6, 1, 1, 50), shadow),
            Quantized(*MakeOrDie(WeightQuantization::LOGARITHMIC, 6), shadow));
}

TEST(TermTest, IsStraightThroughAndNeedsRows) {
  EXPECT_THAT(Turned(*Make(4, 8, 16, 2), {1, -2}, {3, 4}), ElementsAre(3, 4));
  WeightQuantization options;
  options.set_kind(WeightQuantization::TERM);
  options.set_bits(4);
  EXPECT_EQ(MakeWeightQuantizer(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace terse
