// terse bench comm and plot, and terse doctor.
#include "tests/e2e/fixture.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(EndToEnd, BenchCommChecksEveryBitItExchanges) {
  for (const char* pattern : {"push", "pull", "pushpull", "allreduce"}) {
    for (const char* transport : {"memory", "grpc", "unix"}) {
      const CommandResult result =
          Terse({"bench",     "comm",    "-b",
                 "4K",        "-e",      "2M",
                 "-f",        "512",     "-n",
                 "2",         "-w",      "1",
                 "--servers", "2",       "--codec",
                 "none",      "--codec", "topk:ratio=0.1",
                 "--pattern", pattern,   "--transport",
                 transport,   "--json",  "rows.json"});
      ASSERT_EQ(result.exit_code, 0) << result.err;
      EXPECT_THAT(result.out, HasSubstr("# Out of bounds values : 0 OK\n"));
      const auto rows =
          nlohmann::json::parse(ReadText(directory_ / "rows.json"));
      EXPECT_EQ(rows["config"]["pattern"], pattern);
      ASSERT_EQ(rows["results"].size(), 4);
      for (const nlohmann::json& row : rows["results"]) {
        EXPECT_EQ(row["nwrong"], 0);
        EXPECT_GT(row["time_us"]["p50"], 0);
      }
    }
  }
  const CommandResult plot =
      Terse({"bench", "plot", "rows.json", "-o", "x.svg"});
  EXPECT_EQ(plot.exit_code, 0) << plot.err;
  EXPECT_THAT(
      ReadText(directory_ / "x.svg"),
      AllOf(HasSubstr("<svg"), HasSubstr("topk:ratio=0.1, unix allreduce")));
}

TEST_F(EndToEnd, BenchCommKeepsEachBlockUnderWay) {
  const std::vector<std::string> command = {
      "bench",        "comm",
      "-b",           "64K",
      "-e",           "64K",
      "-m",           "5",
      "-n",           "7",
      "-w",           "2",
      "--servers",    "3",
      "--codec",      "none",
      "--codec",      "terngrad:scale=shared",
      "--continuous", "--json",
      "rows.json"};
  const CommandResult result = Terse(command);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto rows = nlohmann::json::parse(ReadText(directory_ / "rows.json"));
  ASSERT_EQ(rows["results"].size(), 2);
  for (const nlohmann::json& row : rows["results"]) {
    EXPECT_EQ(row["nwrong"], 0);
    EXPECT_GT(row["time_us"]["p50"], 0);
  }
  std::vector<std::string> push = command;
  push.insert(push.end(), {"--pattern", "push"});
  EXPECT_EQ(Terse(push).exit_code, 2);
}

TEST_F(EndToEnd, BenchCommEmulatesAWire) {
  const CommandResult result =
      Terse({"bench", "comm", "-b", "1M", "-e", "1M", "-n", "2", "-w", "0",
             "--workers", "1", "--emulate-gbit", "0.1", "--json", "rows.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto rows = nlohmann::json::parse(ReadText(directory_ / "rows.json"));
  // 8.4 Mbit up and as much down take 84 ms each at least.
  EXPECT_GT(rows["results"][0]["time_us"]["p50"], 2 * 83e3);
}

TEST_F(EndToEnd, DoctorLooksAtThisMachineAndAtHosts) {
  const CommandResult here = Terse({"doctor"});
  EXPECT_THAT(here.out,
              AllOf(HasSubstr("programs: terse "), HasSubstr("open files: ")));
  WriteText(directory_ / "agent.sh", "#!/bin/sh\nexec sh -c \"$2\"\n");
  std::filesystem::permissions(directory_ / "agent.sh",
                               std::filesystem::perms::owner_all);
  WriteText(directory_ / "hosts", "other slots=2\n");
  const CommandResult there =
      Terse({"doctor", "--hostfile", "hosts", "--agent", "./agent.sh"});
  EXPECT_EQ(there.exit_code, here.exit_code) << there.out;
  EXPECT_THAT(there.out, HasSubstr("other: programs: terse "));
  const CommandResult silent =
      Terse({"doctor", "--hostfile", "hosts", "--agent", "/bin/false"});
  EXPECT_EQ(silent.exit_code, 1);
  EXPECT_THAT(silent.out, HasSubstr("BAD   other: does not answer"));
}

}  // namespace
}  // namespace terse
