#include "deploy/launch/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace terse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReport[] = R"({
  "job": "demo", "transport": "grpc", "servers": 1, "workers": 2,
  "parameters": 52000, "steps": 1000, "seconds": 12.5, "step_ms_p50": 11.84,
  "train_loss": 0.1, "test_accuracy": 0.97125,
  "wire_bytes_up": 21060000, "wire_bytes_down": 416000000,
  "bits_per_element_up": 1.62, "bits_per_element_down": 32.0,
  "time_ms": {"compute": 7.1, "encode": 0.4, "wait": 2.0, "decode": 0.1,
              "apply": 0.2, "total": 10.0},
  "weights_sha256": "3f2c"})";

TEST(SummaryText, SaysWhatPeopleAsk) {
  const auto text = SummaryText(kReport, "runs/demo-1");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(
      *text,
      "demo: test accuracy 97.12 % after 1000 steps in 12.5 s\n"
      "  roles    1 server, 2 workers, grpc\n"
      "  step     11.8 ms (median), 80.0 steps/s over all\n"
      "  up       1.62 bits per element, 21.1 MB; fp32: 32 bits, 416 MB, 19.8 "
      "times as much\n"
      "  down     32.00 bits per element, 416 MB; fp32: 32 bits, 416 MB\n"
      "  time     compute 71.0 %, wait 20.0 %, encode 4.0 %, apply 2.0 %, "
      "decode 1.0 %, other 2.0 %\n"
      "  weights  sha256 3f2c\n"
      "  files    runs/demo-1/ (report.json, metrics.jsonl, job.yaml, "
      "logs/)\n");
}

TEST(SummaryText, TellsBitsPerCharacterOfText) {
  const auto text = SummaryText(
      R"({"job": "x", "test_accuracy": 0.5, "test_bits_per_character": 2})",
      "runs/x");
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("x: test accuracy 50.00 %, 2.000 bits per "
                               "character after 0 steps in 0.0 s\n"));
}

TEST(SummaryText, LeavesOutWhatTheReportDoesNotHave) {
  const auto text = SummaryText(R"({"job": "x", "time_ms": 3})", "runs/x");
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, Not(HasSubstr("  time  ")));
  EXPECT_THAT(*text, Not(HasSubstr("fp32")));
  EXPECT_THAT(*text, HasSubstr("0 steps"));
}

TEST(SummaryText, RefusesWhatIsNoReport) {
  EXPECT_EQ(SummaryText("{", "d").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(SummaryText("[]", "d").status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace terse
