#include "worker/feedback.h"

#include <cmath>
#include <limits>
#include <vector>

#include "common/base/random.h"
#include "common/codec/factory.h"
#include "common/config/job.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

constexpr size_t kCount = 1000;
constexpr size_t kBlock = 400;  // The tensor is three blocks.

std::unique_ptr<Codec> Make(const std::string& text) {
  return *MakeCodec(*ParseCodec(text));
}

// Integers, whose sums are exact in floats.
std::vector<float> Gradient(uint64_t step) {
  std::vector<float> gradient(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    gradient[i] =
        static_cast<float>(int(RandomBits(MixKey({3, step}), i) % 201) - 100);
  }
  return gradient;
}

// A step of the tensor, block by block; adds what was sent to `sent`.
absl::Status Send(Feedback& feedback, const Codec& codec, uint64_t step,
                  const std::vector<float>& gradient,
                  std::vector<float>& sent) {
  feedback.BeginStep(gradient);
  for (size_t first = 0; first < kCount; first += kBlock) {
    const size_t count = std::min(kBlock, kCount - first);
    std::vector<std::byte> payload(codec.MaxEncodedBytes(count));
    const auto bytes = feedback.Encode(
        feedback.Prepare(std::span(gradient).subspan(first, count), first),
        {.key = MixKey({step}), .first_index = first},
        [&](std::span<const float> values, const EncodeArgs& args) {
          return codec.Encode(values, args, payload);
        });
    if (!bytes.ok()) return bytes.status();
    codec.DecodeAdd(std::span<const std::byte>(payload).first(*bytes), 1,
                    std::span(sent).subspan(first, count));
  }
  return absl::OkStatus();
}

TEST(Feedback, SentPlusResidualIsTheSumOfGradients) {
  for (const char* name : {"topk:ratio=0.05", "none"}) {
    const auto codec = Make(name);
    Feedback feedback({.error_feedback = true}, kCount);
    std::vector<float> sent(kCount), gradients(kCount);
    for (uint64_t step = 0; step < 30; ++step) {
      const std::vector<float> gradient = Gradient(step);
      for (size_t i = 0; i < kCount; ++i) gradients[i] += gradient[i];
      ASSERT_TRUE(Send(feedback, *codec, step, gradient, sent).ok());
      for (size_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(sent[i] + feedback.residual()[i], gradients[i]) << name;
      }
    }
  }
  // Stochastic levels: within rounding.
  const auto codec = Make("qsgd:levels=1,bucket=64");
  Feedback feedback({.error_feedback = true}, kCount);
  std::vector<float> sent(kCount), gradients(kCount);
  for (uint64_t step = 0; step < 30; ++step) {
    const std::vector<float> gradient = Gradient(step);
    for (size_t i = 0; i < kCount; ++i) gradients[i] += gradient[i];
    ASSERT_TRUE(Send(feedback, *codec, step, gradient, sent).ok());
  }
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(sent[i] + feedback.residual()[i], gradients[i], 0.1);
  }
}

// Momentum correction without masking: what was sent and what waits is what
// momentum SGD would have moved by, only later. Powers of two keep floats
// exact.
TEST(Feedback, MomentumCorrectionIsMomentumSgdDelayed) {
  const auto codec = Make("topk:ratio=0.05");
  Feedback feedback({.error_feedback = true, .momentum = 0.5f}, kCount);
  std::vector<float> sent(kCount), momentum(kCount), moved(kCount);
  for (uint64_t step = 0; step < 12; ++step) {
    const std::vector<float> gradient = Gradient(step);
    for (size_t i = 0; i < kCount; ++i) {
      momentum[i] = 0.5f * momentum[i] + gradient[i];
      moved[i] += momentum[i];
    }
    ASSERT_TRUE(Send(feedback, *codec, step, gradient, sent).ok());
    for (size_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(feedback.momentum()[i], momentum[i]);
      ASSERT_EQ(sent[i] + feedback.residual()[i], moved[i]);
    }
  }
  size_t waiting = 0;
  for (const float value : feedback.residual()) waiting += value != 0;
  EXPECT_GT(waiting, kCount / 2);
}

TEST(Feedback, MaskingStartsTheMomentumOfWhatWasSentAnew) {
  const auto codec = Make("topk:ratio=0.05");
  Feedback feedback(
      {.error_feedback = true, .momentum = 0.5f, .momentum_masking = true},
      kCount);
  std::vector<float> before(kCount);
  for (uint64_t step = 0; step < 5; ++step) {
    std::vector<float> sent(kCount);
    const std::vector<float> gradient = Gradient(step);
    ASSERT_TRUE(Send(feedback, *codec, step, gradient, sent).ok());
    size_t masked = 0;
    for (size_t i = 0; i < kCount; ++i) {
      if (sent[i] != 0) {
        ++masked;
        ASSERT_EQ(feedback.residual()[i], 0);
        ASSERT_EQ(feedback.momentum()[i], 0);
      } else {
        ASSERT_EQ(feedback.momentum()[i], 0.5f * before[i] + gradient[i]);
      }
    }
    EXPECT_EQ(masked, 20u + 20 + 10);
    before.assign(feedback.momentum().begin(), feedback.momentum().end());
  }
}

// Without a residual the codec sends the momentum itself: with `none`, and the
// server's plain SGD, that is momentum SGD.
TEST(Feedback, MomentumWithoutErrorFeedback) {
  const auto codec = Make("none");
  Feedback feedback({.momentum = 0.5f}, kCount);
  EXPECT_TRUE(feedback.residual().empty());
  std::vector<float> sent(kCount), momentum(kCount), moved(kCount);
  for (uint64_t step = 0; step < 5; ++step) {
    const std::vector<float> gradient = Gradient(step);
    for (size_t i = 0; i < kCount; ++i) {
      momentum[i] = 0.5f * momentum[i] + gradient[i];
      moved[i] += momentum[i];
    }
    ASSERT_TRUE(Send(feedback, *codec, step, gradient, sent).ok());
  }
  EXPECT_EQ(sent, moved);
}

TEST(Feedback, DecayForgets) {
  const auto codec = Make("topk:ratio=0.05");
  Feedback feedback({.error_feedback = true, .residual_decay = 0.5f}, kCount);
  std::vector<float> expected(kCount);
  for (uint64_t step = 0; step < 8; ++step) {
    std::vector<float> sent(kCount);
    const std::vector<float> gradient = Gradient(step);
    ASSERT_TRUE(Send(feedback, *codec, step, gradient, sent).ok());
    for (size_t i = 0; i < kCount; ++i) {
      expected[i] = 0.5f * expected[i] + gradient[i] - sent[i];
      ASSERT_EQ(feedback.residual()[i], expected[i]) << step;
    }
  }
}

TEST(Feedback, ClipsTheWholeTensorsNorm) {
  const auto codec = Make("none");
  const std::vector<float> gradient = Gradient(0);
  const double norm = NormOf(gradient);
  Feedback half({.gradient_norm_max = float(norm / 2)}, kCount);
  std::vector<float> sent(kCount);
  ASSERT_TRUE(Send(half, *codec, 0, gradient, sent).ok());
  EXPECT_NEAR(NormOf(sent), norm / 2, 1e-4 * norm);
  for (size_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(sent[i], gradient[i] / 2, 1e-4);
  }
  Feedback enough({.gradient_norm_max = float(norm * 1.01)}, kCount);
  std::vector<float> all(kCount);
  ASSERT_TRUE(Send(enough, *codec, 0, gradient, all).ok());
  EXPECT_EQ(all, gradient);
}

TEST(Feedback, NaNIsTheCodecsErrorWithAndWithoutClipping) {
  const auto codec = Make("topk");
  std::vector<float> gradient = Gradient(0);
  gradient[777] = std::numeric_limits<float>::quiet_NaN();
  for (const float norm_max : {0.0f, 1.0f}) {
    Feedback feedback({.error_feedback = true,
                       .momentum = 0.9f,
                       .gradient_norm_max = norm_max},
                      kCount);
    std::vector<float> sent(kCount);
    EXPECT_TRUE(
        absl::IsInvalidArgument(Send(feedback, *codec, 0, gradient, sent)));
  }
}

// A state put back goes on as if nothing had happened.
TEST(Feedback, StateCanBeKeptAndPutBack) {
  const auto codec = Make("topk:ratio=0.05");
  const FeedbackOptions options = {
      .error_feedback = true, .momentum = 0.9f, .momentum_masking = true};
  Feedback whole(options, kCount);
  std::vector<float> expected(kCount), sent(kCount);
  for (uint64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(Send(whole, *codec, step, Gradient(step), expected).ok());
  }
  Feedback restored(options, kCount);
  std::copy(whole.residual().begin(), whole.residual().end(),
            restored.residual().begin());
  std::copy(whole.momentum().begin(), whole.momentum().end(),
            restored.momentum().begin());
  sent = expected;
  for (uint64_t step = 3; step < 6; ++step) {
    ASSERT_TRUE(Send(whole, *codec, step, Gradient(step), expected).ok());
    ASSERT_TRUE(Send(restored, *codec, step, Gradient(step), sent).ok());
  }
  EXPECT_EQ(sent, expected);
}

TEST(NormOf, OfManyBlocks) {
  EXPECT_EQ(NormOf({}), 0);
  const std::vector<float> values((1 << 19) + 3, 2.0f);
  EXPECT_DOUBLE_EQ(NormOf(values), std::sqrt(4.0 * values.size()));
}

}  // namespace
}  // namespace terse
