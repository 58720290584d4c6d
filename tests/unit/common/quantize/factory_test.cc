#include "common/quantize/weight_quantizer.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

TEST(MakeWeightQuantizerTest, NoneIsNull) {
  const auto quantizer = MakeWeightQuantizer(WeightQuantization());
  ASSERT_TRUE(quantizer.ok());
  EXPECT_EQ(*quantizer, nullptr);
}

TEST(MakeWeightQuantizerTest, RefusesBitsOutOfRange) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::DOREFA);
  for (uint32_t bits : {0, 9, 32}) {
    options.set_bits(bits);
    EXPECT_EQ(MakeWeightQuantizer(options).status().code(),
              absl::StatusCode::kInvalidArgument)
        << bits;
  }
}

TEST(MakeWeightQuantizerTest, DorefaOfEveryWidth) {
  WeightQuantization options;
  options.set_kind(WeightQuantization::DOREFA);
  for (uint32_t bits = 1; bits <= 8; ++bits) {
    options.set_bits(bits);
    const auto quantizer = MakeWeightQuantizer(options);
    ASSERT_TRUE(quantizer.ok());
    EXPECT_EQ((*quantizer)->BitsPerWeight(), bits);
  }
}

}  // namespace
}  // namespace terse
