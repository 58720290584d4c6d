// `terse launch` with an agent that runs everything here: the same words as
// ssh, and two hosts that are this one.
#include <csignal>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

class Launch : public EndToEnd {
 protected:
  void SetUp() override {
    WriteText(directory_ / "agent.sh",
              "#!/bin/sh\necho \"$1\" >> agents.log\nexec sh -c \"$2\"\n");
    fs::permissions(directory_ / "agent.sh", fs::perms::owner_all);
    WriteText(directory_ / "hosts", "127.0.0.1 slots=1\nlocalhost:1\n");
  }

  std::vector<std::string> Arguments(std::vector<std::string> more) {
    std::vector<std::string> all = {"launch",  "job.yaml",  "--hostfile",
                                    "hosts",   "--run-dir", "run",
                                    "--agent", "./agent.sh"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  // Those of `program` with `word` in their command lines.
  void KillAll(const std::string& program, const std::string& word) const {
    for (const pid_t process : ProcessesWith(mark_, word)) {
      // The shell that waits for it has the same words.
      const fs::path files = "/proc/" + std::to_string(process);
      if (ReadText(files / "comm") == program + "\n") kill(process, SIGKILL);
    }
  }
  std::string Weights(const std::string& run) const {
    return nlohmann::json::parse(
        ReadText(directory_ / run / "report.json"))["weights_sha256"];
  }
};

TEST_F(Launch, TheWeightsAreThoseOfTrain) {
  const CommandResult trained =
      Terse({"train", "job.yaml", "--run-dir", "here", "--servers", "2"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const CommandResult launched = Terse(Arguments({"--servers", "2", "--tee"}));
  ASSERT_EQ(launched.exit_code, 0) << launched.err;
  EXPECT_EQ(Weights("run"), Weights("here"));
  EXPECT_THAT(launched.err, AllOf(HasSubstr("127.0.0.1:server:0: "),
                                  HasSubstr("localhost:worker:1: ")));
  const std::string agents = ReadText(directory_ / "agents.log");
  EXPECT_EQ(std::count(agents.begin(), agents.end(), '\n'), 4);
  EXPECT_FALSE(fs::exists(directory_ / "run/token"));
}

TEST_F(Launch, ADryRunShowsTheHostsAndNoToken) {
  const CommandResult result = Terse(Arguments({"--dry-run"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("server 0 on 127.0.0.1\n"),
                                HasSubstr("worker 1 on localhost\n")));
  EXPECT_FALSE(fs::exists(directory_ / "agents.log"));
}

TEST_F(Launch, AnInterruptEndsTheRolesThere) {
  Command command("terse", Arguments({"--set", "train.epochs=100000"}),
                  Options());
  ASSERT_TRUE(WaitForEvent(directory_ / "run/metrics.jsonl", "progress"))
      << command.Wait(std::chrono::seconds(0)).err;
  command.Signal(SIGINT);
  const CommandResult result = command.Wait(std::chrono::seconds(40));
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, Not(HasSubstr("had to be killed")));
  EXPECT_THAT(
      ReadText(directory_ / "run/logs/worker-0.log"),
      AnyOf(HasSubstr("stopped by a signal"), HasSubstr("the job ends: ")));
}

TEST_F(Launch, AKilledRoleIsNamedWithItsHost) {
  Command command(
      "terse",
      Arguments({"--max-restarts", "0", "--set", "train.epochs=100000"}),
      Options());
  ASSERT_TRUE(WaitForEvent(directory_ / "run/metrics.jsonl", "progress"))
      << command.Wait(std::chrono::seconds(0)).err;
  KillAll("terse-worker", "/terse-worker");
  const CommandResult result = command.Wait(std::chrono::seconds(40));
  EXPECT_EQ(result.exit_code, 137) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("worker "), HasSubstr(" (on "),
                                HasSubstr("failed with exit code 137")));
}

// At the port that it had, by which the others look for it.
TEST_F(Launch, AKilledCoordinatorComesBackWhereItWas) {
  const std::string steps =
      "train={steps: 1500, batch_size: 50, evaluate_every_epochs: 0}";
  const CommandResult trained =
      Terse({"train", "job.yaml", "--run-dir", "here", "--set", steps,
             "--transport", "memory"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  Command command("terse",
                  Arguments({"--servers", "2", "--set", "cluster.replicas=1",
                             "--set", steps}),
                  Options());
  ASSERT_TRUE(WaitForEvent(directory_ / "run/metrics.jsonl", "progress"))
      << command.Wait(std::chrono::seconds(0)).err;
  KillAll("terse-server", "--shard 0");
  const CommandResult result = command.Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("another takes its place"),
                                Not(HasSubstr("from its last checkpoint"))));
  EXPECT_EQ(Weights("run"), Weights("here"));
}

TEST_F(Launch, WhatCannotBePlacedIsRefused) {
  const CommandResult result = Terse(Arguments({"--workers", "3"}));
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.err, HasSubstr("2 slots, the job has 3 workers"));
  const CommandResult missing =
      Terse({"launch", "job.yaml", "--hostfile", "none"});
  EXPECT_EQ(missing.exit_code, 66);
}

}  // namespace
}  // namespace terse
