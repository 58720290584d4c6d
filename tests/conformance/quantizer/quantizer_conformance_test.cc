// What every weight quantizer must hold.
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/random.h"
#include "common/kernels/target.h"
#include "common/quantize/weight_quantizer.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr float kLearned[] = {0.75f, 1.25f};
constexpr size_t kRow = 27;  // Not a multiple of 8: rows end within bytes.

struct Variant {
  WeightQuantization options;
  std::string name;
};

// Of a kind and a balance with every number of bits that they take.
void AddVariants(WeightQuantization options, std::vector<Variant>& variants) {
  for (int bits = 1; bits <= 8; ++bits) {
    options.set_bits(bits);
    auto quantizer = MakeWeightQuantizer(options, kRow);
    // Kinds without bits are the same for all of them.
    if (!quantizer.ok() || *quantizer == nullptr) continue;
    const bool has_bits =
        (*quantizer)->Describe().find("bits=") != std::string::npos;
    if (!has_bits && bits > 1) continue;
    std::string name = WeightQuantization::Kind_Name(options.kind());
    if (options.balance() != WeightQuantization::MEAN) {
      name += "_" + WeightQuantization::Balance_Name(options.balance());
    }
    variants.push_back({options, name + "_" + std::to_string(bits)});
  }
}

std::vector<Variant> Variants() {
  std::vector<Variant> variants;
  for (int kind = WeightQuantization::Kind_MIN;
       kind <= WeightQuantization::Kind_MAX; ++kind) {
    WeightQuantization options;
    options.set_kind(static_cast<WeightQuantization::Kind>(kind));
    AddVariants(options, variants);
    if (kind != WeightQuantization::BALANCED) continue;
    for (auto balance :
         {WeightQuantization::MEDIAN, WeightQuantization::UNBALANCED}) {
      options.set_balance(balance);
      AddVariants(options, variants);
    }
  }
  return variants;
}

std::vector<float> Values(size_t count, uint64_t key) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float unit = 2 * RandomUnit(key, i) - 1;
    values[i] = i % 31 == 7   ? 0.0f
                : i % 37 == 9 ? -0.0f
                : i % 41 == 3 ? unit * 30
                : i % 43 == 5 ? unit * 1e-40f
                              : unit;
  }
  return values;
}

const size_t kCounts[] = {0,  1,  2,  7,   8,   9,   26,  27,   28,   31,  32,
                          33, 53, 54, 319, 320, 321, 640, 1023, 1025, 3333};

class QuantizerConformance : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    auto made = MakeWeightQuantizer(GetParam().options, kRow);
    ASSERT_TRUE(made.ok());
    quantizer_ = *std::move(made);
  }
  void TearDown() override { ASSERT_TRUE(ForceKernelTarget("auto")); }

  QuantizeArgs Args(const std::vector<float>& shadow) const {
    return {.weight_stats = quantizer_->WeightStats(shadow),
            .key = 99,
            .first_index = 1234567,
            .learned = std::span(kLearned).first(quantizer_->LearnedScales())};
  }
  std::vector<std::byte> Encode(const std::vector<float>& shadow) const {
    // Filled, so that a byte left unwritten shows.
    std::vector<std::byte> codes(quantizer_->EncodedBytes(shadow.size()),
                                 std::byte{0xa5});
    quantizer_->Encode(shadow, Args(shadow), codes);
    return codes;
  }
  std::vector<float> Decode(const std::vector<std::byte>& codes,
                            size_t count) const {
    std::vector<float> weights(count, std::nanf(""));
    quantizer_->Decode(codes, weights);
    return weights;
  }
  std::vector<float> Turn(const std::vector<float>& shadow,
                          std::vector<float> gradient) const {
    QuantizeArgs args = Args(shadow);
    args.gradient_stats = quantizer_->GradientStats(shadow, gradient, args);
    quantizer_->ChainRule(shadow, args, gradient);
    return gradient;
  }

  std::unique_ptr<WeightQuantizer> quantizer_;
};

TEST_P(QuantizerConformance, OwnCodesAreValidAndFinite) {
  for (size_t count : kCounts) {
    const std::vector<std::byte> codes = Encode(Values(count, 1));
    const absl::Status status = quantizer_->Validate(codes, count);
    ASSERT_TRUE(status.ok()) << status << " " << count;
    for (float weight : Decode(codes, count)) {
      ASSERT_TRUE(std::isfinite(weight)) << count;
    }
  }
}

TEST_P(QuantizerConformance, BytesAreAsFewAsPromised) {
  const size_t count = kRow * 400;
  const double bits = 8.0 * quantizer_->EncodedBytes(count) / count;
  EXPECT_GE(bits, quantizer_->BitsPerWeight());
  // At most a scale and the padding of a byte for every row on top.
  EXPECT_LE(bits, quantizer_->BitsPerWeight() + (32 + 8.0) / kRow + 0.1);
}

TEST_P(QuantizerConformance, RefusesOtherLengths) {
  for (size_t count : {1, 27, 100}) {
    std::vector<std::byte> codes = Encode(Values(count, 2));
    codes.push_back(std::byte{0});
    EXPECT_EQ(quantizer_->Validate(codes, count).code(),
              absl::StatusCode::kDataLoss);
    codes.resize(codes.size() - 2);
    EXPECT_EQ(quantizer_->Validate(codes, count).code(),
              absl::StatusCode::kDataLoss);
    EXPECT_EQ(quantizer_->Validate({}, count).code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST_P(QuantizerConformance, WhatItAcceptsDecodesToFiniteWeights) {
  size_t refused = 0;
  for (uint64_t draw = 0; draw < 400; ++draw) {
    const size_t count = 1 + draw % 70;
    std::vector<std::byte> codes(quantizer_->EncodedBytes(count));
    for (size_t i = 0; i < codes.size(); ++i) {
      codes[i] = static_cast<std::byte>(RandomBits(draw, i));
    }
    if (!quantizer_->Validate(codes, count).ok()) {
      ++refused;
      continue;
    }
    for (float weight : Decode(codes, count)) {
      ASSERT_TRUE(std::isfinite(weight));
    }
  }
  // Random padding is wrong more often than not, where there is any.
  if (std::fmod(quantizer_->BitsPerWeight(), 8) != 0) {
    EXPECT_GT(refused, 50);
  }
}

TEST_P(QuantizerConformance, TargetsGiveTheSameBits) {
  for (size_t count : kCounts) {
    const std::vector<float> shadow = Values(count, 3);
    const std::vector<float> gradient = Values(count, 4);
    ASSERT_TRUE(ForceKernelTarget("scalar"));
    const auto codes = Encode(shadow);
    const auto weights = Decode(codes, count);
    const auto turned = Turn(shadow, gradient);
    for (const std::string& target : KernelTargetNames()) {
      ASSERT_TRUE(ForceKernelTarget(target));
      EXPECT_EQ(Encode(shadow), codes) << target << " " << count;
      EXPECT_EQ(Decode(codes, count), weights) << target << " " << count;
      EXPECT_EQ(Turn(shadow, gradient), turned) << target << " " << count;
    }
  }
}

TEST_P(QuantizerConformance, CutsAtRowsChangeNoWeight) {
  if (GetParam().options.balance() == WeightQuantization::MEDIAN) {
    GTEST_SKIP() << "medians are those of a block";
  }
  const std::vector<float> shadow = Values(kRow * 40, 5);
  const QuantizeArgs args = Args(shadow);
  const std::vector<float> whole = Decode(Encode(shadow), shadow.size());
  for (size_t rows : {1, 7, 39}) {
    const size_t cut = rows * kRow;
    QuantizeArgs rest_args = args;
    rest_args.first_index += cut;
    const auto rest = std::span(shadow).subspan(cut);
    std::vector<std::byte> codes(quantizer_->EncodedBytes(rest.size()));
    quantizer_->Encode(rest, rest_args, codes);
    EXPECT_EQ(Decode(codes, rest.size()),
              std::vector<float>(whole.begin() + cut, whole.end()))
        << rows;
  }
}

TEST_P(QuantizerConformance, ChainRuleIsLinearInTheGradient) {
  const std::vector<float> shadow = Values(500, 6);
  const std::vector<float> a = Values(500, 7), b = Values(500, 8);
  std::vector<float> mixed(500);
  for (size_t i = 0; i < 500; ++i) mixed[i] = 2 * a[i] - 3 * b[i];
  const auto turned_a = Turn(shadow, a), turned_b = Turn(shadow, b);
  const auto turned = Turn(shadow, mixed);
  for (size_t i = 0; i < 500; ++i) {
    EXPECT_NEAR(turned[i], 2 * turned_a[i] - 3 * turned_b[i], 1e-3) << i;
  }
  const std::vector<float> zeros(500, 0.0f);
  for (float g : Turn(shadow, zeros)) EXPECT_EQ(g, 0);
}

TEST_P(QuantizerConformance, ZeroWeightsBreakNothing) {
  const std::vector<float> zeros(100, 0.0f), gradient = Values(100, 9);
  for (float weight : Decode(Encode(zeros), 100)) {
    EXPECT_TRUE(std::isfinite(weight));
  }
  for (float g : Turn(zeros, gradient)) EXPECT_TRUE(std::isfinite(g));
}

TEST_P(QuantizerConformance, ServesManyThreads) {
  const std::vector<float> shadow = Values(3000, 10);
  const auto expected = Encode(shadow);
  std::vector<std::thread> threads;
  std::vector<int> same(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) same[t] += Encode(shadow) == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, std::vector<int>(4, 20));
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerConformance,
                         ::testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace terse
