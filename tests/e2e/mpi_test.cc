// Jobs that something else starts: under mpirun, and with the variables that
// torchrun sets. The weights are those of `terse train`.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RunByOthers : public EndToEnd {
 protected:
  std::string Weights() const {
    std::ifstream file(directory_ / "report.json");
    if (!file) return "no report";
    return nlohmann::json::parse(file).at("weights_sha256");
  }
};

#ifdef TERSE_MPIRUN
class Mpirun : public RunByOthers {
 protected:
  // mpirun -np `ranks` terse run job.yaml `arguments`. Output is in mpi.out.
  int Run(int ranks, const std::string& arguments) const {
    // For Open MPI 4, then 5: more ranks than cores, and root in containers.
    const std::string command =
        "cd " + directory_.string() + " && TERSE_E2E_MARK=" + mark_ +
        " OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
        " OMPI_MCA_rmaps_base_oversubscribe=1"
        " OMPI_MCA_hwloc_base_binding_policy=none"
        " PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe"
        " timeout 100 " TERSE_MPIRUN " -np " +
        std::to_string(ranks) +
        " " TERSE_BINARY_DIR "/bin/terse run job.yaml " + arguments +
        " > mpi.out 2>&1 < /dev/null";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string Output() const { return ReadText(directory_ / "mpi.out"); }
};

TEST_F(Mpirun, TheWeightsAreThoseOfGrpc) {
  const std::string expected = Train({}).at("weights_sha256");
  for (int servers : {1, 2}) {
    std::filesystem::remove(directory_ / "report.json");
    const int code = Run(servers + 2,
                         "--report report.json --set "
                         "cluster.servers=" +
                             std::to_string(servers));
    EXPECT_EQ(code, 0) << Output();
    EXPECT_EQ(Weights(), expected) << servers;
    EXPECT_THAT(Output(),
                AllOf(HasSubstr("world=" + std::to_string(servers + 2) +
                                " from Open MPI"),
                      HasSubstr("is worker 1, over MPI")));
  }
  EXPECT_EQ(nlohmann::json::parse(ReadText(directory_ / "report.json"))
                .at("transport"),
            "mpi");
}

TEST_F(Mpirun, FactorsGoUpAndDownTwiceAStep) {
  const std::string codec =
      "compress={small_tensor_elements: 0, gradient: {kind: powersgd, rank: 2, "
      "error_feedback: true}}";
  const std::string expected =
      Train({"--set", "quantize.weights=none", "--set", codec})
          .at("weights_sha256");
  std::filesystem::remove(directory_ / "report.json");
  EXPECT_EQ(Run(4,
                "--report report.json --set quantize.weights=none --set "
                "cluster.servers=2 --set '" +
                    codec + "'"),
            0)
      << Output();
  EXPECT_EQ(Weights(), expected);
}

TEST_F(Mpirun, ColocatedServersMakeTheSameWeights) {
  const std::string expected = Train({}).at("weights_sha256");
  const int code =
      Run(2, "--report report.json --set cluster.servers=colocated");
  EXPECT_EQ(code, 0) << Output();
  EXPECT_EQ(Weights(), expected) << Output();
  EXPECT_THAT(Output(), HasSubstr("is worker and server 1, over MPI"));
}

TEST_F(Mpirun, AFailureEndsItWithItsExitCode) {
  std::filesystem::create_directories(directory_ / "empty");
  EXPECT_EQ(Run(3, "--data-dir empty --set data=mnist"), 66) << Output();
  EXPECT_THAT(Output(), HasSubstr("terse-worker: "));
}

TEST_F(Mpirun, AKilledRankEndsItAndItGoesOnFromItsCheckpoint) {
  const std::string longer =
      "--report report.json --set 'train={steps: 1500, batch_size: 50, "
      "evaluate_every_epochs: 0}' --set checkpoint.every_steps=100 ";
  const std::string expected =
      Train({"--transport", "memory", "--set",
             "train={steps: 1500, batch_size: 50, evaluate_every_epochs: 0}"})
          .at("weights_sha256");
  std::filesystem::remove(directory_ / "report.json");
  int code = 0;
  std::thread job([&] { code = Run(3, longer + "--run-dir run"); });
  EXPECT_TRUE(WaitForEvent(directory_ / "run/metrics.jsonl", "checkpoint"));
  for (const pid_t pid : ProcessesWith(mark_, "terse-worker")) {
    kill(pid, SIGKILL);
    break;
  }
  job.join();
  EXPECT_NE(code, 0);
  EXPECT_THAT(Output(), HasSubstr("signal 9")) << "mpirun names the rank";
  EXPECT_FALSE(std::filesystem::exists(directory_ / "report.json"));
  EXPECT_EQ(Run(3, longer + "--run-dir run --resume auto"), 0) << Output();
  EXPECT_EQ(Weights(), expected) << Output();
}

TEST_F(Mpirun, AnotherNumberOfProcessesIsRefused) {
  EXPECT_EQ(Run(2, ""), 2) << Output();
  EXPECT_THAT(Output(), HasSubstr("start 3 processes"));
}
#else
TEST(Mpirun, Skipped) { GTEST_SKIP() << "no MPI, or no mpirun, is installed"; }
#endif

TEST_F(RunByOthers, TorchrunsVariablesAreEnough) {
  const std::string expected = Train({}).at("weights_sha256");
  for (int servers : {1, 2}) {
    std::filesystem::remove(directory_ / "report.json");
    const std::string port = std::to_string(FreePort());
    std::vector<std::unique_ptr<Command>> commands;
    for (int rank = servers + 1; rank >= 0; --rank) {
      CommandOptions options = Options();
      options.environment = {{"RANK", std::to_string(rank)},
                             {"WORLD_SIZE", std::to_string(servers + 2)},
                             {"MASTER_ADDR", "127.0.0.1"},
                             {"MASTER_PORT", port}};
      commands.push_back(std::make_unique<Command>(
          "terse",
          std::vector<std::string>{
              "run", "job.yaml", "--report", "report.json", "--set",
              "cluster.servers=" + std::to_string(servers)},
          options));
    }
    for (const auto& command : commands) {
      const CommandResult result = command->Wait();
      EXPECT_EQ(result.exit_code, 0) << result.err;
      EXPECT_EQ(result.err.find("terse: world="), 0) << result.err;
    }
    EXPECT_EQ(Weights(), expected) << servers;
  }
}

TEST_F(RunByOthers, ADryRunShowsWhatItWouldBecome) {
  CommandOptions options = Options();
  options.environment = {
      {"RANK", "2"},           {"WORLD_SIZE", "3"},  {"MASTER_ADDR", "node-a"},
      {"MASTER_PORT", "4000"}, {"TERSE_TOKEN", "x"}, {"TERSE_INSECURE", "1"}};
  const CommandResult result =
      Command("terse", {"run", "job.yaml", "--dry-run"}, options).Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              HasSubstr("terse-worker --coordinator node-a:4000 --rank 1"));
  EXPECT_EQ(result.err,
            "terse: world=3 from torchrun (RANK, WORLD_SIZE): rank 2 is worker "
            "1, over gRPC, server 0 at node-a:4000\n");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "runs"));
}

TEST_F(RunByOthers, AnOpenPortNeedsAToken) {
  CommandOptions options = Options();
  options.environment = {{"TERSE_TOKEN", ""}, {"TERSE_INSECURE", "1"}};
  const CommandResult result = Command("terse",
                                       {"run", "job.yaml", "--rank", "0",
                                        "--coordinator", "node-a:4000"},
                                       options)
                                   .Wait();
  EXPECT_EQ(result.exit_code, 77) << result.err;
  EXPECT_THAT(result.err, HasSubstr("TERSE_TOKEN"));
}

TEST_F(RunByOthers, NothingAndContradictionsAreRefused) {
  EXPECT_EQ(Terse({"run", "job.yaml"}).exit_code, 2);
  CommandOptions options = Options();
  options.environment = {{"RANK", "0"}, {"OMPI_COMM_WORLD_RANK", "3"}};
  const CommandResult result =
      Command("terse", {"run", "job.yaml"}, options).Wait();
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("torchrun"), HasSubstr("OMPI_COMM_WORLD_*")));
  const CommandResult train =
      Terse({"train", "job.yaml", "--set", "cluster.transport=mpi"});
  EXPECT_EQ(train.exit_code, 2);
  EXPECT_THAT(train.err, HasSubstr("mpirun -np 3 terse run job.yaml"));
}

}  // namespace
}  // namespace terse
