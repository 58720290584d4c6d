// Whatever stops or loses a job's processes, it ends with the bits of one that
// nothing happened to.
#include <csignal>
#include <cstdlib>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

// Error feedback and binary weights, some seconds long. Its learning rate is
// one at which stale gradients, too, end at an accuracy that hardly varies.
class ResumedJob : public EndToEnd {
 protected:
  ResumedJob() { WriteJob("cluster.mode=bsp"); }
  void WriteJob(const std::string& mode) const {
    WriteText(directory_ / "long.yaml",
              Terse({"train", "job.yaml", "--print-job", "--set", mode, "--set",
                     "train={steps: 1500, batch_size: 50, "
                     "evaluate_every_epochs: 0}",
                     "--set",
                     "compress={gradient: {kind: topk, ratio: 0.05, "
                     "error_feedback: true}, small_tensor_elements: 100}",
                     "--set", "optimizer.learning_rate=0.001", "--set",
                     "checkpoint.every_steps=100"})
                  .out);
  }
  static std::string Weights(const fs::path& report) {
    return nlohmann::json::parse(ReadText(report)).at("weights_sha256");
  }
  std::string Undisturbed() {
    const CommandResult result = Terse(
        {"train", "long.yaml", "--run-dir", "calm", "--transport", "memory"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return Weights(directory_ / "calm/report.json");
  }
  std::unique_ptr<Command> Start(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train", "long.yaml", "--run-dir",
                                          "run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto command = std::make_unique<Command>("terse", arguments, Options());
    EXPECT_TRUE(WaitForEvent(directory_ / "run/metrics.jsonl", "checkpoint"))
        << command->Wait(std::chrono::seconds(0)).err;
    return command;
  }
  // What `terse train` says of a job one process of which stands still.
  std::string AfterAHang(std::vector<std::string> arguments,
                         const std::string& role) {
    arguments.insert(arguments.end(),
                     {"--set", "cluster.peer_timeout_seconds=2"});
    const auto command = Start(arguments);
    const auto hangs = ProcessesWith(mark_, role);
    EXPECT_FALSE(hangs.empty());
    if (!hangs.empty()) kill(hangs[0], SIGSTOP);
    const CommandResult result = command->Wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.err;
  }
  // Stops a job of two servers with a signal; it goes on with one server, in
  // the run directory "second".
  void StopAndGoOn() {
    const auto command = Start({"--servers", "2"});
    command->Signal(SIGTERM);
    const CommandResult stopped = command->Wait();
    EXPECT_EQ(stopped.exit_code, 143) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("it can go on from step "));
    const CommandResult resumed =
        Terse({"train", "long.yaml", "--run-dir", "second", "--resume", "run"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  }
  // Kills roles, given by their arguments, one after the other.
  void KillEach(const std::vector<std::string>& roles) const {
    for (const std::string& role : roles) {
      const auto found = ProcessesWith(mark_, role);
      if (found.empty()) continue;  // Between two starts.
      kill(found[0], SIGKILL);
      usleep(1'500'000);
    }
  }
};

TEST_F(ResumedJob, AfterASignalItGoesOnWithAnotherNumberOfServers) {
  const std::string expected = Undisturbed();
  StopAndGoOn();
  EXPECT_EQ(Weights(directory_ / "second/report.json"), expected);
  // And in its own directory.
  const CommandResult again =
      Terse({"train", "long.yaml", "--run-dir", "run", "--resume", "auto"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(Weights(directory_ / "run/report.json"), expected);
}

TEST_F(ResumedJob, AKilledRoleIsStartedAgain) {
  const std::string expected = Undisturbed();
  const auto command = Start({"--servers", "2"});
  KillEach({"--rank 1", "--shard 1", "--shard 0"});
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("was killed by SIGKILL"),
                                HasSubstr("goes on from its last checkpoint")));
  EXPECT_EQ(Weights(directory_ / "run/report.json"), expected);
}

TEST_F(ResumedJob, AKilledServerThatIsMirroredCostsNoStep) {
  const std::string expected = Undisturbed();
  const auto command = Start({"--servers", "2", "--set", "cluster.replicas=1"});
  KillEach({"--shard 1", "--shard 0"});
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("server 1 was killed by SIGKILL; another takes "
                              "its place"),
                    HasSubstr("server 0 was killed by SIGKILL; another takes "
                              "its place"),
                    Not(HasSubstr("goes on from its last checkpoint"))));
  EXPECT_EQ(Weights(directory_ / "run/report.json"), expected);
  // A new coordinator tells how the job was started; it goes on from there.
  uint64_t step = 0;
  int starts = 0;
  for (const auto& event : ReadEvents(directory_ / "run/metrics.jsonl")) {
    starts += event.at("event") == "start";
    if (event.at("event") != "progress") continue;
    EXPECT_GE(event.at("step"), step);
    step = event.at("step");
  }
  EXPECT_EQ(starts, 2);
}

// Workers with clocks of their own.
class ResumedClocks : public ResumedJob {
 protected:
  void ExpectWhole(const std::string& run) const {
    const auto report =
        nlohmann::json::parse(ReadText(directory_ / run / "report.json"));
    EXPECT_EQ(report.at("steps"), 1500);
    EXPECT_GT(report.at("first_step"), 0);
    EXPECT_GT(report.at("test_accuracy"), 0.4);  // Guessing has 0.1.
    EXPECT_GT(report.at("train_accuracy"), 0.8);
  }

  void ExpectToOutliveKilledRoles(const std::string& mode) {
    WriteJob(mode);
    const auto command = Start({"--servers", "2"});
    KillEach({"--rank 1", "--shard 1"});
    const CommandResult result = command->Wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("was killed by SIGKILL"),
                      HasSubstr("goes on from its last checkpoint")));
    ExpectWhole("run");
  }

  void ExpectToGoOnAfterASignal(const std::string& mode) {
    WriteJob(mode);
    StopAndGoOn();
    ExpectWhole("second");
  }
};

TEST_F(ResumedClocks, SspOutlivesKilledRoles) {
  ExpectToOutliveKilledRoles("cluster.mode=ssp");
}
TEST_F(ResumedClocks, AsyncOutlivesKilledRoles) {
  ExpectToOutliveKilledRoles("cluster.mode=async");
}
TEST_F(ResumedClocks, SspGoesOnAfterASignal) {
  ExpectToGoOnAfterASignal("cluster.mode=ssp");
}
TEST_F(ResumedClocks, AsyncGoesOnAfterASignal) {
  ExpectToGoOnAfterASignal("cluster.mode=async");
}

uint64_t LastStep(const fs::path& events) {
  uint64_t step = 0;
  for (const nlohmann::json& event : ReadEvents(events)) {
    if (event.at("event") == "progress") step = event.at("step");
  }
  return step;
}

// Nothing that a worker would keep from step to step.
constexpr char kStateless[] = "compress={gradient: terngrad, down: weights}";

class ReplacedWorker : public ResumedJob {
 protected:
  // A job with `changed` loses a worker, and ends as if it had not.
  void ExpectNoTrace(const std::vector<std::string>& changed) {
    std::vector<std::string> arguments = {"train", "long.yaml",   "--run-dir",
                                          "calm",  "--transport", "memory"};
    arguments.insert(arguments.end(), changed.begin(), changed.end());
    EXPECT_EQ(Terse(arguments).exit_code, 0);
    const auto command = Start(changed);
    const auto lost = ProcessesWith(mark_, "--rank 1");
    ASSERT_FALSE(lost.empty());
    kill(lost[0], SIGKILL);
    const CommandResult result = command->Wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("another takes its rank"),
                      Not(HasSubstr("goes on from its last checkpoint"))));
    const auto report = [this](const std::string& run) {
      return nlohmann::json::parse(ReadText(directory_ / run / "report.json"));
    };
    for (const char* what : {"weights_sha256", "test_loss", "test_accuracy"}) {
      EXPECT_EQ(report("run").at(what), report("calm").at(what)) << what;
    }
  }
};

TEST_F(ReplacedWorker, LeavesNoTrace) {
  ExpectNoTrace({"--set", kStateless, "--set",
                 "model.mlp={hidden: [32], batch_norm: false}"});
}

// Tests of a network with batch norm depend on the statistics of all workers.
TEST_F(ReplacedWorker, LeavesNoTraceInStatistics) {
  ExpectNoTrace({"--set", kStateless, "--servers", "2", "--set",
                 "quantize={weights: binaryconnect, activations: bnn}"});
}

TEST_F(ResumedJob, AWorkerThatHangsIsReplaced) {
  const std::string said =
      AfterAHang({"--set", kStateless, "--set",
                  "model.mlp={hidden: [32], batch_norm: false}"},
                 "--rank 1");
  EXPECT_THAT(said,
              AllOf(HasSubstr("worker 1 is lost and does not end: killed it"),
                    HasSubstr("another takes its rank")));
}

// Nobody can tell its launcher but it.
TEST_F(ResumedJob, ACoordinatorThatHangsIsReplaced) {
  const std::string said = AfterAHang(
      {"--servers", "2", "--set", "cluster.replicas=1"}, "--shard 0");
  EXPECT_THAT(said,
              AllOf(HasSubstr("server 0 is lost and does not end: killed it"),
                    HasSubstr("another takes its place")));
}

TEST_F(ResumedJob, AJobGoesOnWithoutAKilledWorker) {
  const auto command =
      Start({"--set", kStateless, "--set", "cluster.on_worker_loss=continue",
             "--max-restarts", "0"});
  const auto lost = ProcessesWith(mark_, "--rank 1");
  ASSERT_FALSE(lost.empty());
  kill(lost[0], SIGKILL);
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the job goes on without it"));
}

TEST_F(ResumedJob, StepsDoNotWaitForABackupWorker) {
  const auto command = Start({"--set", kStateless, "--set",
                              "cluster={workers: 3, servers: 1, "
                              "backup_workers: 1, staleness_steps_max: 100000, "
                              "peer_timeout_seconds: 60}"});
  const auto still = ProcessesWith(mark_, "--rank 2");
  ASSERT_FALSE(still.empty());
  const fs::path events = directory_ / "run/metrics.jsonl";
  const uint64_t before = LastStep(events);
  kill(still[0], SIGSTOP);
  // The others go on while it stands still.
  for (int i = 0; i < 600 && LastStep(events) < before + 300; ++i) {
    usleep(100'000);
  }
  EXPECT_GE(LastStep(events), before + 300);
  kill(still[0], SIGCONT);
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(ResumedJob, AnotherJobsCheckpointIsRefused) {
  Undisturbed();
  const CommandResult result =
      Terse({"train", "long.yaml", "--set", "seed=9", "--resume", "calm"});
  EXPECT_EQ(result.exit_code, 78) << result.err;
  EXPECT_THAT(result.err, HasSubstr("is of another job: it has \"seed: 3\""));
  EXPECT_EQ(Terse({"train", "long.yaml", "--resume", "nowhere"}).exit_code, 66);
}

TEST_F(EndToEnd, ACheckpointIsTestedAndTakenElsewhere) {
  const CommandResult run = Terse({"train", "job.yaml", "--run-dir", "run"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto report =
      nlohmann::json::parse(ReadText(directory_ / "run/report.json"));
  const CommandResult eval = Terse({"eval", "run", "--json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.err;
  const auto tested = nlohmann::json::parse(eval.out);
  EXPECT_EQ(tested.at("test_accuracy"), report.at("test_accuracy"));
  EXPECT_EQ(tested.at("test_loss"), report.at("test_loss"));
  EXPECT_THAT(Terse({"inspect", "run"}).out,
              AllOf(HasSubstr("step 40"), HasSubstr("fc1.weight")));
  for (const std::string format : {"packed", "fp32", "shadow"}) {
    const CommandResult result =
        Terse({"export", "run", format + ".safetensors", "--format", format});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_LT(fs::file_size(directory_ / "packed.safetensors") * 5,
            fs::file_size(directory_ / "fp32.safetensors"));
  // The reader that README.md shows.
  if (std::system("python3 -c 'import numpy' 2>/dev/null") != 0) {
    GTEST_SKIP() << "needs python3-numpy";
  }
  const std::string check = std::string("cd ") + directory_.string() +
                            " && python3 " TERSE_SOURCE_DIR
                            "/tests/e2e/check_export.py " TERSE_SOURCE_DIR
                            "/README.md packed.safetensors fp32.safetensors";
  EXPECT_EQ(std::system(check.c_str()), 0);
}

TEST_F(EndToEnd, ADamagedCheckpointIsNamed) {
  ASSERT_EQ(Terse({"train", "job.yaml", "--run-dir", "run"}).exit_code, 0);
  for (const auto& entry :
       fs::recursive_directory_iterator(directory_ / "run/checkpoints")) {
    if (entry.path().extension() != ".safetensors") continue;
    fs::resize_file(entry.path(), fs::file_size(entry.path()) - 1);
  }
  const CommandResult result = Terse({"eval", "run"});
  EXPECT_EQ(result.exit_code, 65);
  EXPECT_THAT(result.err, HasSubstr("is damaged: its length does not fit"));
}

}  // namespace
}  // namespace terse
