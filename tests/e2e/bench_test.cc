#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(EndToEnd, BenchCodecMeasuresEveryCodec) {
  const CommandResult result =
      Terse({"bench", "codec", "-b", "64K", "-e", "256K", "-f", "4", "-n", "2",
             "-w", "1", "--threads", "2", "--json", "rows.json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("65,536"));
  EXPECT_THAT(result.out, Not(HasSubstr("elements\n")));
  EXPECT_THAT(result.err, HasSubstr("terngrad, 16384 elements"));
  const auto rows = nlohmann::json::parse(ReadText(directory_ / "rows.json"));
  ASSERT_GE(rows.size(), 12u);
  for (const auto& row : rows) {
    EXPECT_EQ(row["wrong"], 0) << row;
    EXPECT_EQ(row["threads"], 2);
    EXPECT_THAT(row["elements"].get<int>(), testing::AnyOf(16384, 65536));
    EXPECT_GT(row["encode_over_memcpy"].get<double>(), 0);
  }
}

TEST_F(EndToEnd, BenchCodecToStdoutIsJsonAlone) {
  const CommandResult result = Terse({"bench",
                                      "codec",
                                      "-b",
                                      "4000",
                                      "-e",
                                      "4000",
                                      "-n",
                                      "1",
                                      "-w",
                                      "0",
                                      "--codec",
                                      "qsgd:levels=1,bucket=128",
                                      "--codec",
                                      "topk",
                                      "--no-error-feedback",
                                      "--kernel-target",
                                      "scalar",
                                      "--input",
                                      "laplace",
                                      "--seed",
                                      "5",
                                      "--json",
                                      "-"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto rows = nlohmann::json::parse(result.out);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["codec"], "qsgd:levels=1,bucket=128");
  EXPECT_EQ(rows[0]["target"], "scalar");
  EXPECT_EQ(rows[0]["seed"], 5);
  EXPECT_TRUE(rows[0]["encode_feedback"].is_null());
}

TEST_F(EndToEnd, BenchCodecExplainsWhatItDoesNotTake) {
  const CommandResult codec = Terse({"bench", "codec", "--codec", "terngrat"});
  EXPECT_EQ(codec.exit_code, 2);
  EXPECT_THAT(codec.err, HasSubstr("did you mean 'terngrad'"));
  const CommandResult target =
      Terse({"bench", "codec", "--kernel-target", "avx9"});
  EXPECT_EQ(target.exit_code, 2);
  EXPECT_THAT(target.err, HasSubstr("scalar"));
  EXPECT_EQ(Terse({"bench", "codec", "-b", "ten"}).exit_code, 2);
  EXPECT_EQ(Terse({"bench", "codec", "--input", "file:none.f32"}).exit_code,
            66);
  const CommandResult flag = Terse({"bench", "codec", "--thread", "2"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_THAT(flag.err, HasSubstr("did you mean --threads?"));
  EXPECT_THAT(flag.err, HasSubstr("terse bench codec --help"));
  EXPECT_EQ(Terse({"bench"}).exit_code, 2);
}

TEST_F(EndToEnd, AdviceIsMeasuredAndDrawn) {
  const CommandResult result = Terse({"bench", "advise", "job.yaml", "--gbit",
                                      "0.1,10", "--json", "advice.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("pays, fp32"), HasSubstr("at 0.1 Gbit/s: ")));
  const nlohmann::json advice =
      nlohmann::json::parse(ReadText(directory_ / "advice.json"));
  EXPECT_GT(advice.at("machine").at("forward_ms"), 0);
  ASSERT_GE(advice.at("codecs").size(), 6);
  EXPECT_EQ(advice.at("codecs")[0].at("codec"), "none");
  EXPECT_EQ(advice.at("codecs")[1].at("codec"), "fp16");
  for (const nlohmann::json& row : advice.at("codecs")) {
    ASSERT_EQ(row.at("steps").size(), 2);
    // A slower wire makes no step faster.
    EXPECT_GE(row.at("steps")[0].at("step_ms"),
              row.at("steps")[1].at("step_ms"));
  }
  const CommandResult plot =
      Terse({"bench", "plot", "advice.json", "-o", "advice.svg"});
  ASSERT_EQ(plot.exit_code, 0) << plot.err;
  EXPECT_THAT(ReadText(directory_ / "advice.svg"),
              AllOf(HasSubstr("<svg"), HasSubstr("Gbit/s")));
}

TEST_F(EndToEnd, SizesThatAreNotAtHandArePlanned) {
  const CommandResult result = Terse(
      {"plan", "job.yaml", "--workers", "2,64", "--servers", "1,colocated",
       "--gbit", "1,10", "--compute-ms", "5", "--cores", "1", "--json", "-"});
  // Not every worker of 64 would have a block to serve.
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_THAT(result.err, HasSubstr("64 servers, but the model has"));
  const CommandResult fits = Terse(
      {"plan", "job.yaml", "--workers", "2,64", "--servers", "1,2", "--gbit",
       "1,10", "--compute-ms", "5", "--cores", "1", "--json", "-"});
  ASSERT_EQ(fits.exit_code, 0) << fits.err;
  const nlohmann::json plan = nlohmann::json::parse(fits.out);
  ASSERT_EQ(plan.at("plan").size(), 8);
  for (const nlohmann::json& row : plan.at("plan")) {
    EXPECT_GE(row.at("step_ms"), 5);
  }
}

}  // namespace
}  // namespace terse
