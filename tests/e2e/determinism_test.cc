// The final weights are the same bits however the job is run.
#include <csignal>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

// Everything about a result that does not hang on clocks and sockets.
std::string Essence(const nlohmann::json& report) {
  if (!report.is_object()) return "no report";
  return nlohmann::json{{"weights", report.at("weights_sha256")},
                        {"loss", report.at("train_loss")},
                        {"accuracy", report.at("test_accuracy")},
                        {"steps", report.at("steps")}}
      .dump();
}

TEST_F(EndToEnd, ResultsDoNotDependOnHowAJobIsRun) {
  const std::string expected = Essence(Train({}));
  const std::vector<std::vector<std::string>> ways = {
      {},
      {"--servers", "2"},
      {"--servers", "3"},
      {"--servers", "colocated"},
      {"--transport", "memory"},
      {"--transport", "memory", "--servers", "3"},
      {"--kernel-target", "scalar"}};
  for (const std::vector<std::string>& way : ways) {
    std::string name;
    for (const std::string& word : way) name += word + " ";
    EXPECT_EQ(Essence(Train(way)), expected) << name;
  }
}

TEST_F(EndToEnd, FactorsInTwoExchangesDoNotDependOnHowAJobIsRun) {
  const auto train = [&](std::vector<std::string> way) {
    way.insert(way.end(),
               {"--set", "quantize.weights=none", "--set",
                "compress={small_tensor_elements: 0, gradient: {kind: "
                "powersgd, rank: 2, error_feedback: true}}"});
    return Essence(Train(way));
  };
  const std::string expected = train({"--transport", "memory"});
  EXPECT_EQ(train({}), expected);
  EXPECT_EQ(train({"--servers", "2"}), expected);
}

// Which codec is chosen hangs on this machine, but what follows from the choice
// does not.
TEST_F(EndToEnd, ChoicesOfACodecAreKeptWithTheRun) {
  const nlohmann::json first =
      Train({"--run-dir", "first", "--set", "compress.gradient=auto"});
  ASSERT_EQ(first.at("codecs").size(), 1);
  EXPECT_EQ(first.at("codecs")[0].at("step"), 0);
  const CommandResult again =
      Terse({"train", "first/job.yaml", "--transport", "memory", "--servers",
             "2", "--run-dir", "again"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  const nlohmann::json replay =
      nlohmann::json::parse(ReadText(directory_ / "again/report.json"));
  EXPECT_EQ(replay.at("codecs"), first.at("codecs"));
  EXPECT_EQ(Essence(replay), Essence(first));
  EXPECT_THAT(ReadText(directory_ / "first/metrics.jsonl"),
              HasSubstr("\"event\":\"codec\""));
}

TEST_F(EndToEnd, ResultsDependOnTheSeed) {
  const std::vector<std::string> memory = {"--transport", "memory"};
  std::vector<std::string> other = memory;
  other.insert(other.end(), {"--set", "seed=4"});
  EXPECT_NE(Train(memory).at("weights_sha256"),
            Train(other).at("weights_sha256"));
}

// Roles started by hand, in `order`, which names them "server 1", "worker 0".
class ByHand : public EndToEnd {
 protected:
  std::string Run(const std::vector<std::string>& order) {
    const std::string address = "127.0.0.1:" + std::to_string(FreePort());
    CommandOptions options = Options();
    options.environment = {{"TERSE_TOKEN", "by-hand"}};
    std::vector<std::unique_ptr<Command>> commands;
    for (const std::string& role : order) {
      const std::string rank = role.substr(role.find(' ') + 1);
      std::vector<std::string> arguments = {"--coordinator", address};
      if (role == "server 0") {
        arguments = {"--job",     "two.yaml", "--listen", address,
                     "--run-dir", ".",        "--report", "report.json"};
      } else {
        const bool server = role.starts_with("server");
        arguments.insert(arguments.end(),
                         {server ? "--shard" : "--rank", rank});
      }
      commands.push_back(std::make_unique<Command>(
          role.starts_with("server") ? "terse-server" : "terse-worker",
          arguments, options));
      usleep(100'000);  // So that it runs before the next one starts.
    }
    for (const auto& command : commands) {
      const CommandResult result = command->Wait();
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
    return Essence(nlohmann::json::parse(ReadText(directory_ / "report.json")));
  }
};

TEST_F(ByHand, RolesMayStartInAnyOrder) {
  WriteText(directory_ / "two.yaml",
            Terse({"train", "job.yaml", "--print-job", "--servers", "2"}).out);
  const std::string expected = Essence(Train({"--transport", "memory"}));
  EXPECT_EQ(Run({"server 0", "server 1", "worker 0", "worker 1"}), expected);
  EXPECT_EQ(Run({"worker 1", "server 1", "worker 0", "server 0"}), expected);
  EXPECT_EQ(Run({"server 0", "worker 1", "worker 0", "server 1"}), expected);
}

// Who has the token, too, can only be one of the ranks that are free.
TEST_F(ByHand, ASecondClaimOfARankIsRefused) {
  const std::string expected = Essence(Train({"--transport", "memory"}));
  CommandOptions options = Options();
  options.environment = {{"TERSE_TOKEN", "by-hand"}};
  Command server("terse-server",
                 {"--job", "job.yaml", "--port-file", "port", "--run-dir", ".",
                  "--report", "report.json"},
                 options);
  std::string address = WaitForText(directory_ / "port");
  ASSERT_FALSE(address.empty());
  address.pop_back();
  const auto worker = [&](const char* rank) {
    return std::make_unique<Command>(
        "terse-worker",
        std::vector<std::string>{"--coordinator", address, "--rank", rank},
        options);
  };
  const auto first = worker("0");
  ASSERT_TRUE(WaitForEvent(directory_ / "metrics.jsonl", "joined"));
  const CommandResult second = worker("0")->Wait();
  EXPECT_NE(second.exit_code, 0);
  EXPECT_THAT(second.err, HasSubstr("worker 0 has joined already"));
  const CommandResult beyond = worker("7")->Wait();
  EXPECT_NE(beyond.exit_code, 0);
  EXPECT_THAT(beyond.err, HasSubstr("worker 7 of a job with 2 workers"));
  EXPECT_EQ(worker("1")->Wait().exit_code, 0);
  EXPECT_EQ(first->Wait().exit_code, 0);
  EXPECT_EQ(server.Wait().exit_code, 0);
  EXPECT_EQ(
      Essence(nlohmann::json::parse(ReadText(directory_ / "report.json"))),
      expected);
}

TEST_F(ByHand, AWorkerWithTheWrongTokenIsNotAdmitted) {
  CommandOptions options = Options();
  options.environment = {{"TERSE_TOKEN", "right"}};
  Command server("terse-server",
                 {"--job", "job.yaml", "--port-file", "port", "--run-dir", "."},
                 options);
  std::string address = WaitForText(directory_ / "port");
  ASSERT_FALSE(address.empty());
  address.pop_back();
  options.environment = {{"TERSE_TOKEN", "wrong"}};
  const CommandResult worker =
      Command("terse-worker", {"--coordinator", address, "--rank", "0"},
              options)
          .Wait();
  EXPECT_EQ(worker.exit_code, 77) << worker.err;
  EXPECT_THAT(worker.err, HasSubstr("token"));
  // The job goes on waiting for its own.
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 143);
}

}  // namespace
}  // namespace terse
