#include "deploy/launch/bench_codec.h"

#include <cmath>
#include <cstring>

#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/config/job.h"
#include "common/kernels/target.h"
#include "deploy/launch/bench_input.h"
#include "deploy/launch/bench_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace terse {
namespace {

std::vector<uint64_t> Sizes(const std::string& min, const std::string& max,
                            uint32_t factor) {
  BenchCodecOptions options;
  options.min_bytes = min;
  options.max_bytes = max;
  options.step_factor = factor;
  const absl::StatusOr<std::vector<uint64_t>> sizes = BenchSizes(options);
  EXPECT_TRUE(sizes.ok()) << sizes.status();
  return sizes.value_or(std::vector<uint64_t>());
}

TEST(BenchSizes, GoFromOneToTheOther) {
  using Elements = std::vector<uint64_t>;
  EXPECT_EQ(Sizes("", "", 2), Elements{16777216});
  EXPECT_EQ(Sizes("4", "4", 2), Elements{1});
  EXPECT_EQ(Sizes("1K", "8K", 2), (Elements{256, 512, 1024, 2048}));
  EXPECT_EQ(Sizes("1K", "9K", 4), (Elements{256, 1024}));
  EXPECT_EQ(Sizes("1G", "1024G", 4294967295u), Elements{1 << 28});
  // One of them given on the other side of the default.
  EXPECT_EQ(Sizes("128M", "", 2), Elements{1 << 25});
  EXPECT_EQ(Sizes("", "1M", 2), Elements{1 << 18});
}

TEST(BenchSizes, RefuseWhatIsNoRange) {
  BenchCodecOptions options;
  options.min_bytes = "3";
  EXPECT_EQ(ExitCodeOf(BenchSizes(options).status()),
            ExitCode::kBadCommandLine);
  options.min_bytes = "8M";
  options.max_bytes = "4M";
  EXPECT_EQ(ExitCodeOf(BenchSizes(options).status()),
            ExitCode::kBadCommandLine);
  options.max_bytes = "16M";
  options.step_factor = 1;
  EXPECT_EQ(ExitCodeOf(BenchSizes(options).status()),
            ExitCode::kBadCommandLine);
}

TEST(AllCodecNames, AreWhatAJobCallsThem) {
  const std::vector<std::string> names = AllCodecNames();
  // All but powersgd, which has no payload of its own.
  EXPECT_EQ(names.size(), GradientCodec::Kind_descriptor()->value_count() - 2);
  EXPECT_THAT(names, testing::IsSupersetOf({"none", "terngrad", "qsgd"}));
  for (const std::string& name : names) {
    EXPECT_TRUE(ParseCodec(name).ok()) << name;
  }
}

class MeasureTest : public testing::Test {
 protected:
  BenchRow Measure(const std::string& codec, size_t count,
                   const std::string& input = "gaussian",
                   uint32_t threads = 1) {
    ThreadPool pool(threads);
    std::vector<float> values(count);
    FillBenchInput(*ParseBenchInput(input), 1, pool, values);
    absl::StatusOr<BenchRow> row =
        MeasureCodec(*ParseCodec(codec), values, settings_, pool);
    EXPECT_TRUE(row.ok()) << codec << ": " << row.status();
    if (!row.ok()) return {};
    row->codec = codec;
    return *std::move(row);
  }

  BenchSettings settings_ = {.iterations = 2, .warmup_iterations = 1};
};

TEST_F(MeasureTest, EveryCodecIsRightOnSizesThatFillNoBlock) {
  for (const std::string& name : AllCodecNames()) {
    for (const size_t count : {1, 1001, (1 << 18) + 5}) {
      const BenchRow row = Measure(name, count);
      EXPECT_EQ(row.wrong, 0u) << name << " " << count;
      EXPECT_EQ(row.elements, count);
      EXPECT_EQ(row.wire_bytes,
                row.payload_bytes + 24 * (count > 1 << 18 ? 2 : 1));
      EXPECT_GT(row.encode.median_ns, 0) << name;
      EXPECT_GT(row.decode_add.median_ns, 0) << name;
      EXPECT_GT(row.encode_feedback->median_ns, 0) << name;
      EXPECT_GE(row.fidelity.rel_l2, 0);
      EXPECT_LE(std::abs(row.fidelity.cosine), 1 + 1e-9);
    }
  }
}

TEST_F(MeasureTest, FiguresOfTernGradOnGaussians) {
  const BenchRow row = Measure("terngrad", 1 << 20, "gaussian", 2);
  EXPECT_NEAR(8.0 * row.payload_bytes / row.elements, 1.6002, 1e-3);
  EXPECT_NEAR(row.entropy_bits, 1.219, 0.01);
  EXPECT_NEAR(row.fidelity.rel_l2, std::sqrt(1.0095), 0.01);
  // Unbiased: four intervals hold 0 but once in 10^14.
  EXPECT_LT(std::abs(row.fidelity.bias), 4 * row.fidelity.bias_ci95);
}

TEST_F(MeasureTest, EntropyOfQsgdOnGaussians) {
  EXPECT_NEAR(Measure("qsgd:levels=7,bucket=512", 1 << 20).entropy_bits, 3.196,
              0.01);
  EXPECT_NEAR(Measure("qsgd:levels=1,bucket=512,norm=l2", 1 << 20).entropy_bits,
              0.255, 0.01);
}

TEST_F(MeasureTest, ResidualsOfLossyAndLosslessCodecs) {
  const BenchRow none = Measure("none", 1 << 16);
  EXPECT_EQ(*none.residual_ratios, (std::array<double, 3>{0, 0, 0}));
  const std::array<double, 3> topk =
      *Measure("topk:ratio=0.1", 1 << 16).residual_ratios;
  // It grows until as much is sent as comes in, and stays there.
  EXPECT_LT(topk[0], 1);
  EXPECT_GT(topk[1], topk[0]);
  EXPECT_GT(topk[2], topk[0]);
  EXPECT_LT(topk[2], 10);
}

TEST_F(MeasureTest, WithoutErrorFeedbackNothingOfItIsMeasured) {
  settings_.error_feedback = false;
  const BenchRow row = Measure("terngrad", 1000);
  EXPECT_FALSE(row.encode_feedback.has_value());
  EXPECT_FALSE(row.residual_ratios.has_value());
}

TEST_F(MeasureTest, AddsIntegersWhereLevelsCanShareAScale) {
  EXPECT_TRUE(Measure("terngrad", 1000).integer_add.has_value());
  EXPECT_TRUE(Measure("terngrad:scale=shared", 1000).integer_add.has_value());
  EXPECT_TRUE(Measure("terngrad:coding=entropy", 1000).integer_add.has_value());
  EXPECT_FALSE(Measure("topk", 1000).integer_add.has_value());
}

TEST_F(MeasureTest, HoldsPositionsAgainstTheFewestBits) {
  const BenchRow topk = Measure("topk:ratio=0.01", 1 << 18);
  ASSERT_TRUE(topk.index_bits_over_choose.has_value());
  EXPECT_GT(*topk.index_bits_over_choose, 1);
  EXPECT_LT(*topk.index_bits_over_choose, 1.02);
  EXPECT_FALSE(Measure("topk:ratio=1", 1000).index_bits_over_choose);
  EXPECT_FALSE(Measure("terngrad", 1000).index_bits_over_choose);
}

TEST_F(MeasureTest, RunsOnTheForcedTargetAndPutsTheOldOneBack) {
  const std::string before = KernelTargetName();
  settings_.kernel_target = "scalar";
  EXPECT_EQ(Measure("terngrad", 1000).target, "scalar");
  EXPECT_EQ(KernelTargetName(), before);
}

// fp32, but wrong on other targets than the reference, in one way.
class WrongCodec final : public Codec {
 public:
  enum class Fault { kNone, kBytes, kDecoded, kResidual, kValidate };
  explicit WrongCodec(Fault fault) : fault_(fault) {}

  std::string Describe() const override { return "wrong"; }
  size_t MaxEncodedBytes(size_t count) const override { return 4 * count; }
  size_t TypicalEncodedBytes(size_t count) const override { return 4 * count; }
  absl::StatusOr<size_t> Encode(std::span<const float> values,
                                const EncodeArgs& args,
                                std::span<std::byte> target) const override {
    std::memcpy(target.data(), values.data(), 4 * values.size());
    if (Fails(Fault::kBytes)) target[0] ^= std::byte{1};
    for (float& residual : args.residual) {
      residual = Fails(Fault::kResidual) ? 1 : 0;
    }
    return 4 * values.size();
  }
  absl::Status Validate(std::span<const std::byte>, size_t) const override {
    return Fails(Fault::kValidate) ? absl::DataLossError("fault")
                                   : absl::OkStatus();
  }
  void DecodeAdd(std::span<const std::byte>, float,
                 std::span<float> target) const override {
    target[0] += Fails(Fault::kDecoded) ? 1 : 0;
  }

 private:
  bool Fails(Fault fault) const {
    return fault_ == fault && KernelTargetName() != "scalar";
  }
  const Fault fault_;
};

TEST(CountWrong, SeesEveryDifferenceFromTheReference) {
  ThreadPool pool(2);
  const std::vector<float> values(kBlockElementsMax + 10, 0.5f);
  using Fault = WrongCodec::Fault;
  for (const Fault fault :
       {Fault::kBytes, Fault::kDecoded, Fault::kResidual, Fault::kValidate}) {
    EXPECT_EQ(CountWrong(WrongCodec(fault), values, 1, pool), values.size())
        << int(fault);
  }
  EXPECT_EQ(CountWrong(WrongCodec(Fault::kNone), values, 1, pool), 0u);
}

TEST_F(MeasureTest, NonFiniteInputIsAnError) {
  ThreadPool pool(1);
  const std::vector<float> values = {1, std::nanf("")};
  EXPECT_FALSE(
      MeasureCodec(*ParseCodec("terngrad"), values, settings_, pool).ok());
}

TEST_F(MeasureTest, JsonHasAllKeysInEveryRow) {
  settings_.error_feedback = false;
  const std::vector<BenchRow> rows = {Measure("none", 1000),
                                      Measure("topk", 1000)};
  const BenchContext context = {.version = "1.2",
                                .compiler = CompilerName(),
                                .cpu = CpuName(),
                                .input = "gaussian",
                                .threads = 3,
                                .settings = settings_};
  const auto json = nlohmann::json::parse(BenchJson(context, rows));
  ASSERT_EQ(json.size(), 2u);
  for (const auto& row : json) {
    for (const char* key :
         {"codec", "elements", "threads", "target", "bits_per_element",
          "payload_bits_per_element", "entropy_bits_per_element",
          "encode_over_memcpy", "decode_add_over_axpy", "integer_add_over_axpy",
          "rel_l2", "cosine", "wrong", "cpu", "compiler", "version",
          "residual_norm_ratio", "index_bits_over_choose",
          "decode_add_over_memcpy"}) {
      EXPECT_TRUE(row.contains(key)) << key;
    }
    EXPECT_EQ(row["threads"], 3);
    EXPECT_GT(row["encode_over_memcpy"].get<double>(), 0);
    EXPECT_TRUE(row["encode_feedback_over_memcpy"].is_null());
    EXPECT_TRUE(row["residual_norm_ratio"].is_null());
  }
  EXPECT_EQ(json[0]["codec"], "none");
  EXPECT_EQ(json[0]["payload_bits_per_element"], 32);
  EXPECT_EQ(json[0]["bits_per_element"], 32 + 24 * 8 / 1000.0);
  EXPECT_EQ(json[1]["codec"], "topk");
}

TEST(BenchRatios, AreSpeedsOverSpeeds) {
  BenchRow row;
  row.elements = 1000;
  row.memcpy.median_ns = 2000;
  row.encode.median_ns = 500;
  EXPECT_DOUBLE_EQ(GigabytesPerSecond(row, row.encode), 8);
  EXPECT_DOUBLE_EQ(SpeedOver(row.encode, row.memcpy), 4);
  EXPECT_EQ(SpeedOver({}, row.memcpy), 0);
}

TEST_F(MeasureTest, LinesOfTheTablesFitTheScreen) {
  BenchRow row = Measure("qsgd:levels=127,bucket=512,norm=max", 1000);
  // 2^38 elements at 1000 GB/s, more than any machine has.
  row.elements = uint64_t{1} << 38;
  row.integer_add = row.axpy;
  for (BenchTime* time : {&row.memcpy, &row.axpy, &row.encode, &row.decode_add,
                          &*row.encode_feedback, &*row.integer_add}) {
    *time = {.median_ns = 0x1p40 / 1000, .variation = 0.99};
  }
  const BenchContext context = {.version = "0.1.0",
                                .compiler = "gcc 12.2.0",
                                .cpu = "A CPU",
                                .input = "gaussian",
                                .settings = settings_};
  const std::string text = BenchText(context, {{row}});
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    EXPECT_LE(end - begin, 100u) << text.substr(begin, end - begin);
  }
  EXPECT_NE(text.find("qsgd"), std::string::npos);
}

}  // namespace
}  // namespace terse
