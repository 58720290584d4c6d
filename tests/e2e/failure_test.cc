// What goes wrong ends the job with one clear message, the right exit code and
// no process left behind (EndToEnd checks the last for every test).
#include <csignal>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
namespace fs = std::filesystem;

class LongJob : public EndToEnd {
 protected:
  // Starts a job of hours and waits until it trains.
  std::unique_ptr<Command> Start(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(),
                     {"train", "job.yaml", "--run-dir", "run", "--set",
                      "train.epochs=100000"});
    auto command = std::make_unique<Command>("terse", arguments, Options());
    EXPECT_TRUE(WaitForEvent(directory_ / "run/metrics.jsonl", "progress"))
        << command->Wait(std::chrono::seconds(0)).err;
    return command;
  }
};

TEST_F(LongJob, AnInterruptStopsIt) {
  const auto command = Start();
  EXPECT_EQ(ProcessesWith(mark_).size(), 4);
  command->Signal(SIGINT);
  const CommandResult result = command->Wait(std::chrono::seconds(20));
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the job was stopped by SIGINT\n"));
  EXPECT_THAT(ProcessesWith(mark_), IsEmpty());
}

TEST_F(LongJob, SigtermStopsIt) {
  const auto command = Start({"--servers", "2"});
  command->Signal(SIGTERM);
  const CommandResult result = command->Wait(std::chrono::seconds(20));
  EXPECT_EQ(result.exit_code, 143) << result.err;
  EXPECT_THAT(ProcessesWith(mark_), IsEmpty());
}

TEST_F(LongJob, ASignalStopsAJobInOneProcessToo) {
  const auto command = Start({"--transport", "memory"});
  command->Signal(SIGINT);
  const CommandResult result = command->Wait(std::chrono::seconds(20));
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(ProcessesWith(mark_), IsEmpty());
}

TEST_F(LongJob, AKilledWorkerTakesItDownAndIsNamed) {
  const auto command = Start({"--max-restarts", "0"});
  const auto workers = ProcessesWith(mark_, "--rank 1");
  ASSERT_EQ(workers.size(), 1);
  kill(workers[0], SIGKILL);
  const CommandResult result = command->Wait(std::chrono::seconds(40));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("worker 1 (pid " + std::to_string(workers[0]) +
                              ") was killed by SIGKILL"),
                    HasSubstr("run/logs/worker-1.log"),
                    HasSubstr("ended because of it: ")));
}

TEST_F(LongJob, AKilledServerTakesItDownAndIsNamed) {
  const auto command = Start({"--servers", "2", "--max-restarts", "0"});
  const auto servers = ProcessesWith(mark_, "--shard 1");
  ASSERT_EQ(servers.size(), 1);
  kill(servers[0], SIGSEGV);
  const CommandResult result = command->Wait(std::chrono::seconds(40));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("was killed by SIGSEGV"));
  EXPECT_THAT(result.err, HasSubstr("server 1 (pid "));
}

TEST_F(LongJob, AKilledTerseLeavesNobody) {
  const auto command = Start({"--servers", "2"});
  EXPECT_EQ(ProcessesWith(mark_).size(), 5);
  command->Signal(SIGKILL);
  EXPECT_EQ(command->Wait().signal, SIGKILL);
  EXPECT_TRUE(AllEnd(mark_));
}

TEST_F(EndToEnd, ABadJobIsRefusedWithTheNearestName) {
  WriteText(directory_ / "bad.yaml", "compress:\n  gradiant: terngrad\n");
  for (const char* command : {"train", "inspect"}) {
    const CommandResult result = Terse({command, "bad.yaml"});
    EXPECT_EQ(result.exit_code, 78);
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("bad.yaml:2"), HasSubstr("gradiant"),
                      HasSubstr("gradient")));
  }
  const CommandResult set =
      Terse({"train", "job.yaml", "--set", "train.epoks=3"});
  EXPECT_EQ(set.exit_code, 78);
  EXPECT_THAT(set.err, HasSubstr("epochs"));
  EXPECT_FALSE(fs::exists(directory_ / "runs"));
}

TEST_F(EndToEnd, AJobThatDoesNotFitItsDataIsRefused) {
  const CommandResult result =
      Terse({"train", "job.yaml", "--set", "train.batch_size=1001"});
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_THAT(result.err, HasSubstr("batch_size"));
}

TEST_F(EndToEnd, MissingInputHasItsExitCode) {
  const CommandResult job = Terse({"train", "nowhere.yaml"});
  EXPECT_EQ(job.exit_code, 66);
  EXPECT_THAT(job.err, HasSubstr("nowhere.yaml"));
  const CommandResult directory =
      Terse({"train", "job.yaml", "--data-dir", "nowhere"});
  EXPECT_EQ(directory.exit_code, 66);
  EXPECT_THAT(directory.err, HasSubstr("--data-dir nowhere"));
}

TEST_F(EndToEnd, MissingDataIsReportedFromTheWorkerThatMissesIt) {
  fs::create_directories(directory_ / "empty");
  const CommandResult result = Terse(
      {"train", "job.yaml", "--data-dir", "empty", "--set", "data=mnist"});
  EXPECT_EQ(result.exit_code, 66) << result.err;
  EXPECT_THAT(result.err, HasSubstr("terse: worker "));
  EXPECT_THAT(result.err, HasSubstr("empty"));
}

TEST_F(EndToEnd, AReportThatCannotBeWrittenIsRefusedBeforeTheTraining) {
  const CommandResult result =
      Terse({"train", "job.yaml", "--report", "no/such/report.json"});
  EXPECT_EQ(result.exit_code, 74);
  EXPECT_THAT(result.err, HasSubstr("no/such/report.json"));
  EXPECT_FALSE(fs::exists(directory_ / "runs"));
}

TEST_F(EndToEnd, ABadCommandLineGetsOneLineAndAHint) {
  const CommandResult flag = Terse({"train", "job.yaml", "--server", "2"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_THAT(flag.err, AllOf(StartsWith("terse: "), HasSubstr("--server"),
                              HasSubstr("did you mean --servers?")));
  EXPECT_EQ(std::count(flag.err.begin(), flag.err.end(), '\n'), 2);
  const CommandResult command = Terse({"trian", "job.yaml"});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_THAT(command.err, HasSubstr("did you mean train?"));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"train"},
           {"train", "job.yaml", "--workers", "many"},
           {"train", "job.yaml", "--grace-seconds", "-1"},
           {"train", "job.yaml", "--transport", "pigeon"},
           {"train", "job.yaml", "--set"}}) {
    const CommandResult result = Terse(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, StartsWith("terse: "));
    EXPECT_THAT(result.err, HasSubstr("--help"));
  }
}

TEST_F(EndToEnd, HelpAndVersionEndWell) {
  const CommandResult version = Terse({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, StartsWith("terse 0."));
  const CommandResult help = Terse({"train", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("--workers"), HasSubstr("--dry-run")));
}

}  // namespace
}  // namespace terse
