#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/fixture.h"

namespace terse {
namespace {

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

}  // namespace
}  // namespace terse
