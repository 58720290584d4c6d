// Jobs whose processes talk TLS, and those that are not let in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

class Tls : public EndToEnd {
 protected:
  Tls() {
    for (const char* folder : {"tls", "other"}) {
      EXPECT_EQ(Terse({"tls", folder}).exit_code, 0);
    }
  }
};

TEST_F(Tls, TheWeightsAreThoseOfPlaintext) {
  const auto plain = Train({"--transport", "memory"});
  const auto encrypted = Train({"--tls", "tls", "--servers", "2"});
  EXPECT_EQ(encrypted.at("weights_sha256"), plain.at("weights_sha256"));
}

TEST_F(Tls, OverTcpTooAndNobodyElseGetsIn) {
  CommandOptions options = Options();
  options.environment = {{"TERSE_TOKEN", "t"}, {"TERSE_TLS", "tls"}};
  WriteText(directory_ / "one.yaml",
            Terse({"train", "job.yaml", "--print-job", "--workers", "1"}).out);
  // On every interface: without certificates it would be refused.
  Command server(
      "terse-server",
      {"--job", "one.yaml", "--listen", "0.0.0.0:0", "--port-file", "port",
       "--run-dir", ".", "--http", "0.0.0.0:0", "--http-port-file", "http"},
      options);
  const auto local = [&](const char* file) {
    std::string port = WaitForText(directory_ / file);
    EXPECT_FALSE(port.empty());
    port.pop_back();
    return "127.0.0.1" + port.substr(port.rfind(':'));
  };
  const std::string address = local("port");
  const std::string http = local("http");
  EXPECT_EQ(Command("terse", {"status", http}, options).Wait().exit_code, 0);
  EXPECT_NE(Terse({"status", http}).exit_code, 0);
  EXPECT_NE(Terse({"status", http, "--tls", "other"}).exit_code, 0);

  const auto worker = [&](const char* tls) {
    CommandOptions own = options;
    own.environment = {{"TERSE_TOKEN", "t"}, {"TERSE_TLS", tls}};
    return std::make_unique<Command>(
        "terse-worker",
        std::vector<std::string>{"--coordinator", address, "--rank", "0"}, own);
  };
  // They are still trying while the right one does the job.
  const auto wrong = worker("other");
  const auto plain = worker("");
  EXPECT_EQ(worker("tls")->Wait().exit_code, 0);
  EXPECT_EQ(server.Wait().exit_code, 0);
  for (const auto* refused : {&wrong, &plain}) {
    (*refused)->Signal(SIGTERM);
    EXPECT_NE((*refused)->Wait().exit_code, 0);
  }
  const std::string metrics = ReadText(directory_ / "metrics.jsonl");
  EXPECT_THAT(metrics, HasSubstr("finish"));
}

TEST_F(Tls, PlaintextBeyondThisMachineNeedsAWord) {
  CommandOptions options = Options();
  options.environment = {{"TERSE_TOKEN", "t"}};
  const auto refused = [&](const char* program,
                           const std::vector<std::string>& arguments) {
    const CommandResult result = Command(program, arguments, options).Wait();
    EXPECT_EQ(result.exit_code, 77) << program << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr("--insecure"));
    EXPECT_THAT(result.err, HasSubstr("--tls"));
  };
  refused("terse-server", {"--job", "job.yaml", "--listen", "0.0.0.0:0"});
  refused("terse-worker", {"--coordinator", "192.0.2.1:7000"});
  refused("terse", {"run", "job.yaml", "--role", "worker", "--coordinator",
                    "192.0.2.1:7000"});
  refused("terse", {"status", "192.0.2.1:7000"});
  refused("terse", {"bench", "comm", "--serve", "0.0.0.0:0"});
  refused("terse",
          {"bench", "comm", "--servers", "1", "--connect", "192.0.2.1:7000"});
  WriteText(directory_ / "hosts", "192.0.2.1 slots=2\n");
  refused("terse", {"launch", "job.yaml", "--hostfile", "hosts", "--agent",
                    "/bin/true"});
}

TEST_F(Tls, BenchCommMeasuresIt) {
  const CommandResult result =
      Terse({"bench", "comm", "-b", "64K", "-e", "64K", "-n", "2", "-w", "1",
             "--workers", "1", "--tls", "tls"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

// The key is for the files alone, and the token for none.
TEST_F(Tls, SecretsAreInNoFileOfTheRun) {
  CommandOptions options = Options();
  options.environment = {{"TERSE_TOKEN", "sesame-open"}};
  const CommandResult result =
      Command("terse",
              {"train", "job.yaml", "--tls", "tls", "--run-dir", "run"},
              options)
          .Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string key =
      ReadText(directory_ / "tls" / "tls.key").substr(30, 40);
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(directory_ / "run")) {
    if (!file.is_regular_file()) continue;
    const std::string text = ReadText(file.path());
    EXPECT_EQ(text.find("sesame-open"), std::string::npos) << file.path();
    EXPECT_EQ(text.find(key), std::string::npos) << file.path();
  }
}

}  // namespace
}  // namespace terse
