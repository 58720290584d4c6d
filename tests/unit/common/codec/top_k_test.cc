#include "common/codec/top_k.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gtest/gtest.h"
#include "tests/conformance/codec/codec_cases.h"

namespace terse {
namespace {

std::vector<uint32_t> BySorting(const std::vector<float>& values, size_t k) {
  std::vector<uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::fabs(values[a]) > std::fabs(values[b]);
  });
  order.resize(k);
  std::sort(order.begin(), order.end());
  return order;
}

std::vector<uint32_t> Select(const std::vector<float>& values, float* residual,
                             size_t k) {
  TopKScratch scratch;
  std::span<const uint32_t> indices;
  EXPECT_TRUE(SelectTopK(values, residual, k, scratch, &indices));
  return {indices.begin(), indices.end()};
}

TEST(TopKTest, SelectsWhatSortingSelects) {
  for (size_t count : {1, 7, 100, 4096, 5000, 100003}) {
    for (const char* input : {"gaussian", "laplace", "zeros", "constant",
                              "one_hot", "denormal", "mixed"}) {
      const auto values = CodecInput(input, count);
      for (double ratio : {0.0001, 0.01, 0.3, 0.98, 1.0}) {
        const size_t k = KeptCount(ratio, count);
        ASSERT_EQ(Select(values, nullptr, k), BySorting(values, k))
            << input << " " << count << " " << ratio;
      }
    }
  }
}

TEST(TopKTest, TiesGoToTheLowestIndex) {
  // A few distinct magnitudes, each often, of both signs.
  std::vector<float> values(50000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i * 2654435761u % 7) - 3.0f;
  }
  for (size_t k : {1, 100, 7000, 15000, 30000, 49999}) {
    ASSERT_EQ(Select(values, nullptr, k), BySorting(values, k)) << k;
  }
  EXPECT_EQ(Select(std::vector<float>(9, 1.0f), nullptr, 3),
            (std::vector<uint32_t>{0, 1, 2}));
}

TEST(TopKTest, FewNonZeroesAreFilledUpFromTheFront) {
  std::vector<float> values(20000);
  values[17] = 1;
  values[19999] = -2;
  EXPECT_EQ(Select(values, nullptr, 4),
            (std::vector<uint32_t>{0, 1, 17, 19999}));
}

TEST(TopKTest, MisleadingSamplesCostTimeNotExactness) {
  // All large values in one stretch that most strides of the sample miss.
  auto values = CodecInput("gaussian", 200000);
  for (size_t i = 0; i < 2000; ++i) values[777 + i] = 5.0f + i;
  for (size_t k : {1900, 2000, 2001, 5000}) {
    ASSERT_EQ(Select(values, nullptr, k), BySorting(values, k)) << k;
  }
}

TEST(TopKTest, SelectsFromTheSumAndLeavesItInTheResidual) {
  const auto values = CodecInput("gaussian", 30000, 3);
  auto residual = CodecInput("gaussian", 30000, 4);
  std::vector<float> sum(values.size());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = residual[i] + values[i];
  EXPECT_EQ(Select(values, residual.data(), 300), BySorting(sum, 300));
  EXPECT_EQ(residual, sum);
}

TEST(TopKTest, KeptCountIsTheCeilingOfTheDecimalRatio) {
  EXPECT_EQ(KeptCount(0.1f, 1000), 100u);
  EXPECT_EQ(KeptCount(0.01f, 262144), 2622u);
  EXPECT_EQ(KeptCount(0.001f, 1000), 1u);
  EXPECT_EQ(KeptCount(0.001f, 1001), 2u);
  EXPECT_EQ(KeptCount(1e-30f, 5), 1u);
  EXPECT_EQ(KeptCount(1.0f, 5), 5u);
  EXPECT_EQ(KeptCount(0.5f, 0), 0u);
}

}  // namespace
}  // namespace terse
