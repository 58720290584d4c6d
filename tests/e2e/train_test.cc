// A job that ends well: what it reports, keeps and shows.
#include <cmath>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
namespace fs = std::filesystem;

TEST_F(EndToEnd, ATrainingReportsWhatItDid) {
  const CommandResult result =
      Terse({"train", "job.yaml", "--report", "mine.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(ReadText(directory_ / "mine.json"));
  EXPECT_EQ(report.at("job"), "tiny");
  EXPECT_EQ(report.at("transport"), "grpc");
  EXPECT_EQ(report.at("servers"), 1);
  EXPECT_EQ(report.at("workers"), 2);
  EXPECT_EQ(report.at("steps"), 40);
  EXPECT_GT(report.at("seconds"), 0);
  EXPECT_GT(report.at("step_ms_p50"), 0);
  EXPECT_GT(report.at("train_loss"), 0);
  EXPECT_GT(report.at("test_accuracy"), 0.3);  // Guessing has 0.1.
  EXPECT_EQ(report.at("weights_sha256").get<std::string>().size(), 64);
  const auto& time = report.at("time_ms");
  double named = 0;
  for (const char* part : {"compute", "encode", "wait", "decode", "apply"}) {
    EXPECT_GE(time.at(part), 0) << part;
    named += time.at(part).get<double>();
  }
  EXPECT_LE(named, 1.01 * time.at("total").get<double>());
  for (const std::string way : {"up", "down"}) {
    const double bytes = report.at("wire_bytes_" + way);
    const double bits = report.at("bits_per_element_" + way);
    const double elements = 40.0 * 2 * report.at("parameters").get<double>();
    EXPECT_NEAR(bits, 8 * bytes / elements, 1e-6 * bits) << way;
    EXPECT_GT(bits, 1) << way;
    EXPECT_LT(bits, 8) << way;  // Ternary up, binary down.
  }
  EXPECT_THAT(result.out, AllOf(StartsWith("tiny: test accuracy "),
                                HasSubstr(report.at("weights_sha256"))));
}

TEST_F(EndToEnd, ATrainingKeepsEverythingInItsRunDirectory) {
  ASSERT_EQ(Terse({"train", "job.yaml", "--set", "train.epochs=1"}).exit_code,
            0);
  const fs::path run = directory_ / "runs/latest";
  ASSERT_TRUE(fs::is_symlink(run));
  EXPECT_THAT(fs::canonical(run).filename().string(), StartsWith("tiny-"));
  for (const char* role : {"server-0", "worker-0", "worker-1"}) {
    EXPECT_TRUE(fs::exists(run / "logs" / (std::string(role) + ".log")));
  }
  EXPECT_THAT(ReadText(run / "cmd.txt"),
              HasSubstr("train job.yaml --set train.epochs=1\n"));
  const auto report = nlohmann::json::parse(ReadText(run / "report.json"));
  EXPECT_EQ(report.at("steps"), 20);
  const auto events = ReadEvents(run / "metrics.jsonl");
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().at("event"), "finish");
  EXPECT_EQ(events.back().at("weights_sha256"), report.at("weights_sha256"));
  // The resolved job is a job, and the same one.
  const CommandResult printed =
      Terse({"train", "runs/latest/job.yaml", "--print-job"});
  EXPECT_EQ(printed.exit_code, 0);
  EXPECT_EQ(printed.out, ReadText(run / "job.yaml"));
}

TEST_F(EndToEnd, ProgressIsPlainLinesInALog) {
  const CommandResult result = Terse({"train", "job.yaml"});
  EXPECT_THAT(result.err, AllOf(HasSubstr("epoch 1: test accuracy "),
                                HasSubstr("epoch 2: test accuracy ")));
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
  EXPECT_THAT(result.err, Not(HasSubstr("\r")));
}

TEST_F(EndToEnd, ProgressIsRedrawnInPlaceOnATerminal) {
  CommandOptions options = Options();
  options.terminal = true;
  options.environment = {{"TERM", "xterm"}, {"NO_COLOR", "1"}};
  const CommandResult plain =
      Command("terse", {"train", "job.yaml"}, options).Wait();
  EXPECT_EQ(plain.exit_code, 0);
  EXPECT_THAT(plain.err, HasSubstr("\r\x1b[K"));
  EXPECT_THAT(plain.err, HasSubstr("step "));
  EXPECT_THAT(plain.err, Not(HasSubstr("\x1b[1m")));
  options.environment = {{"TERM", "xterm"}, {"NO_COLOR", ""}};
  EXPECT_THAT(Command("terse", {"train", "job.yaml"}, options).Wait().err,
              HasSubstr("\x1b[1m"));
}

TEST_F(EndToEnd, ADryRunStartsAndWritesNothing) {
  const CommandResult result =
      Terse({"train", "job.yaml", "--dry-run", "--servers", "2"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(HasSubstr("server 1\n"),
                                HasSubstr("worker 1\n"), HasSubstr("--rank 1"),
                                HasSubstr("OMP_WAIT_POLICY=passive")));
  EXPECT_FALSE(fs::exists(directory_ / "runs"));
}

TEST_F(EndToEnd, OverridesShowInThePrintedJob) {
  const CommandResult result =
      Terse({"train", "job.yaml", "--print-job", "--set", "seed=9", "--servers",
             "3", "--workers", "5", "--transport", "memory"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(
      result.out,
      AllOf(HasSubstr("seed: 9\n"), HasSubstr("servers: 3\n"),
            HasSubstr("workers: 5\n"), HasSubstr("transport: memory\n")));
}

TEST_F(EndToEnd, TheDefaultRunDirectoryCanBeChosen) {
  const std::vector<std::string> arguments = {
      "train", "job.yaml", "--run-dir", "here/deep", "--transport", "memory"};
  ASSERT_EQ(Terse(arguments).exit_code, 0);
  EXPECT_TRUE(fs::exists(directory_ / "here/deep/report.json"));
  EXPECT_FALSE(fs::exists(directory_ / "runs"));
  const CommandResult again = Terse(arguments);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("here/deep is not empty"));
}

TEST_F(EndToEnd, InspectShowsEveryParameter) {
  const CommandResult text = Terse({"inspect", "job.yaml"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("fc1.weight"), HasSubstr("terngrad"),
                              HasSubstr("binaryconnect")));
  const CommandResult json = Terse(
      {"inspect", "job.yaml", "--json", "--set", "model.mlp.hidden=[64]"});
  EXPECT_EQ(json.exit_code, 0) << json.err;
  EXPECT_THAT(nlohmann::json::parse(json.out).dump(), HasSubstr("50176"));
}

}  // namespace
}  // namespace terse
