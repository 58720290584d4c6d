#include "deploy/launch/supervise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace terse {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Whether the process is there and no zombie.
bool Runs(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return false;
  const char state = line[line.rfind(')') + 2];
  return state != 'Z' && state != 'X';
}

bool EndsSoon(pid_t pid) {
  for (int i = 0; i < 500 && Runs(pid); ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  return !Runs(pid);
}

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest()
      : directory_(::testing::TempDir() + "supervise_" +
                   std::to_string(getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~SupervisorTest() override { std::filesystem::remove_all(directory_); }

  void Create(milliseconds grace = milliseconds(10'000)) {
    auto supervisor = Supervisor::Create(grace, [this](std::string_view line) {
      said_ += std::string(line) + "\n";
    });
    ASSERT_TRUE(supervisor.ok()) << supervisor.status();
    supervisor_ = *std::move(supervisor);
  }
  void Shell(const std::string& name, const std::string& script,
             bool coordinator = false) {
    Role role;
    role.name = name;
    role.log_path = Log(name);
    role.process.arguments = {"/bin/sh", "-c", script};
    role.process.environment = {{"TERSE_TEST_DIRECTORY", directory_}};
    role.coordinator = coordinator;
    const absl::Status status = supervisor_->Start(role);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string Log(const std::string& name) {
    return directory_ + "/" + name + ".log";
  }
  std::string Read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  // The number that a script wrote to `name` in the test's directory.
  pid_t WaitForPid(const std::string& name) {
    for (int i = 0; i < 1000; ++i) {
      const std::string text = Read(directory_ + "/" + name);
      if (text.ends_with('\n')) return std::stoi(text);
      std::this_thread::sleep_for(milliseconds(5));
    }
    return -1;
  }
  Outcome Run() {
    return supervisor_->Run([] { return milliseconds(20); });
  }
  // Sends `signal` to this process when the file `name` is there, and once
  // more for each further entry of `signals`.
  Outcome RunAndSignal(const std::string& name, std::vector<int> signals) {
    std::thread sender([=, this] {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_BLOCK, &all, nullptr);
      WaitForPid(name);
      for (const int signal : signals) {
        kill(getpid(), signal);
        std::this_thread::sleep_for(milliseconds(100));
      }
    });
    Outcome outcome = Run();
    sender.join();
    return outcome;
  }

  const std::string directory_;
  std::string said_;
  std::unique_ptr<Supervisor> supervisor_;
};

// The beginning of a script that writes its number for WaitForPid.
std::string WritePid(const std::string& name) {
  return "echo $$ > $TERSE_TEST_DIRECTORY/" + name + "; ";
}

TEST_F(SupervisorTest, EndsWellWhenAllRolesDo) {
  Create();
  Shell("a", "echo out; echo err >&2");
  Shell("b", "sleep 0.1");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.message, "");
  EXPECT_EQ(Read(Log("a")), "out\nerr\n");
}

TEST_F(SupervisorTest, NamesTheRoleThatFailedAndItsLastLines) {
  Create();
  Shell("worker 1",
        "for i in $(seq 30); do echo line $i; done; "
        "printf 'no end'; exit 78");
  Shell("server 0", "exec sleep 100");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 78);
  EXPECT_THAT(outcome.message, HasSubstr("worker 1 (pid "));
  EXPECT_THAT(outcome.message, HasSubstr("failed with exit code 78"));
  EXPECT_THAT(outcome.message, HasSubstr(Log("worker 1")));
  EXPECT_THAT(outcome.message, HasSubstr("\n  | line 12\n"));
  EXPECT_THAT(outcome.message, HasSubstr("\n  | line 30\n  | no end"));
  EXPECT_THAT(outcome.message, Not(HasSubstr("line 11\n")));
  EXPECT_THAT(outcome.message,
              HasSubstr("ended because of it: server 0 (stopped)"));
}

TEST_F(SupervisorTest, NamesTheSignalThatKilledARole) {
  Create();
  Shell("worker 0", "kill -KILL $$");
  Shell("worker 1", "exec sleep 100");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.message, HasSubstr("worker 0 (pid "));
  EXPECT_THAT(outcome.message, HasSubstr("was killed by SIGKILL"));
  EXPECT_THAT(outcome.message, HasSubstr("it wrote nothing to its log"));
}

TEST_F(SupervisorTest, TakesALostPeerForAConsequence) {
  Create();
  // The server sees that the worker is gone before the worker's process ends.
  Shell("server 0", "sleep 0.1; exit 69");
  Shell("worker 0", "sleep 0.4; exit 65");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 65);
  EXPECT_THAT(outcome.message, HasSubstr("worker 0 (pid "));
  EXPECT_THAT(outcome.message,
              HasSubstr("ended because of it: server 0 (exit code 69)"));
}

TEST_F(SupervisorTest, PrefersACrashToWhatItLeadsTo) {
  Create();
  // The connection breaks before the crashed process is gone.
  Shell("server 0", "sleep 0.1; exit 1");
  Shell("worker 0", "sleep 0.3; kill -SEGV $$");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.message, HasSubstr("worker 0 (pid "));
  EXPECT_THAT(outcome.message, HasSubstr("was killed by SIGSEGV"));
}

TEST_F(SupervisorTest, FindsTheRoleWhoseWordsTheOthersRepeat) {
  Create();
  Shell("server 0", "echo 'terse-server: worker 1: no data'; exit 65");
  Shell("worker 0",
        "sleep 0.1; echo 'terse-worker: worker 1: no data'; exit 65");
  Shell("worker 1", "sleep 0.2; echo 'terse-worker: no data'; exit 65");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 65);
  EXPECT_TRUE(outcome.message.starts_with("worker 1 (pid ")) << outcome.message;
  EXPECT_THAT(outcome.message,
              HasSubstr("ended because of it: server 0 (exit code 65), "
                        "worker 0 (exit code 65)"));
}

TEST_F(SupervisorTest, ReportsALostPeerWhenNothingElseFails) {
  Create();
  Shell("server 0", "exit 69");
  Shell("worker 0", "exec sleep 100");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 69);
  EXPECT_THAT(outcome.message, HasSubstr("server 0 (pid "));
}

TEST_F(SupervisorTest, KillsARoleThatIgnoresSigtermAfterTheGrace) {
  Create(milliseconds(300));
  Shell("deaf", "trap '' TERM; " + WritePid("deaf") + "sleep 100; sleep 100");
  const pid_t pid = WaitForPid("deaf");
  Shell("worker 0", "exit 3");
  const auto begin = steady_clock::now();
  const Outcome outcome = Run();
  const auto took = steady_clock::now() - begin;
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_GE(took, milliseconds(300));
  EXPECT_LT(took, milliseconds(5000));
  EXPECT_FALSE(Runs(pid));
}

TEST_F(SupervisorTest, GivesRolesTheGraceToEndByThemselves) {
  Create();
  Shell("polite", "trap 'echo saved; exit 0' TERM; " + WritePid("polite") +
                      "while :; do sleep 0.05; done");
  const Outcome outcome = RunAndSignal("polite", {SIGTERM});
  EXPECT_EQ(outcome.exit_code, 143);
  EXPECT_EQ(outcome.message, "the job was stopped by SIGTERM");
  EXPECT_THAT(said_, HasSubstr("SIGTERM: stopping the job"));
  EXPECT_THAT(Read(Log("polite")), HasSubstr("saved\n"));
}

TEST_F(SupervisorTest, MapsEachSignalToItsExitCode) {
  const std::vector<std::pair<int, int>> expected = {
      {SIGINT, 130}, {SIGQUIT, 130}, {SIGTERM, 143}, {SIGHUP, 143}};
  for (const auto& [signal, code] : expected) {
    supervisor_.reset();
    Create();
    const std::string name = "ready" + std::to_string(signal);
    Shell("worker 0", WritePid(name) + "exec sleep 100");
    EXPECT_EQ(RunAndSignal(name, {signal}).exit_code, code);
  }
}

TEST_F(SupervisorTest, KillsAtOnceAfterASecondInterrupt) {
  Create(milliseconds(60'000));
  Shell("deaf", "trap '' TERM; " + WritePid("deaf") + "sleep 100; sleep 100");
  const auto begin = steady_clock::now();
  const Outcome outcome = RunAndSignal("deaf", {SIGINT, SIGINT});
  EXPECT_EQ(outcome.exit_code, 130);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(10'000));
  EXPECT_THAT(outcome.message, HasSubstr("had to be killed: deaf"));
  EXPECT_THAT(said_, HasSubstr("killing the job"));
}

TEST_F(SupervisorTest, DoesNotTakeASecondTermForImpatience) {
  Create(milliseconds(1000));
  Shell("slow", "trap 'sleep 0.4; echo saved; exit 0' TERM; " +
                    WritePid("slow") + "while :; do sleep 0.05; done");
  EXPECT_EQ(RunAndSignal("slow", {SIGTERM, SIGTERM}).exit_code, 143);
  EXPECT_THAT(Read(Log("slow")), HasSubstr("saved\n"));
}

TEST_F(SupervisorTest, TakesWhatARoleStartedDownWithIt) {
  Create();
  Shell("worker 0",
        "(sh -c '" + WritePid("grandchild") + "exec sleep 100') & sleep 0.2");
  EXPECT_EQ(Run().exit_code, 0);
  EXPECT_TRUE(EndsSoon(WaitForPid("grandchild")));
}

TEST_F(SupervisorTest, StopsRolesThatOutliveTheJob) {
  Create(milliseconds(300));
  Shell("server 0", "exit 0", /*coordinator=*/true);
  Shell("worker 0", "echo still here; exec sleep 100");
  const Outcome outcome = Run();
  // It has done its part: nothing is to be done again.
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.message, HasSubstr("worker 0 (pid "));
  EXPECT_THAT(outcome.message, HasSubstr("  | still here"));
}

TEST_F(SupervisorTest, StopsTheJobWhenItsTickFails) {
  Create();
  Shell("worker 0", WritePid("worker") + "exec sleep 100");
  const pid_t pid = WaitForPid("worker");
  const Outcome outcome =
      supervisor_->Run([]() -> absl::StatusOr<milliseconds> {
        return absl::DeadlineExceededError("no port");
      });
  EXPECT_EQ(outcome.exit_code, 69);
  EXPECT_EQ(outcome.message, "no port");
  EXPECT_FALSE(Runs(pid));
}

TEST_F(SupervisorTest, LeavesNobodyWhenItIsDestroyed) {
  Create();
  Shell("worker 0", WritePid("worker") + "exec sleep 100");
  const pid_t pid = WaitForPid("worker");
  ASSERT_TRUE(Runs(pid));
  supervisor_.reset();
  EXPECT_FALSE(Runs(pid));
}

TEST_F(SupervisorTest, LeavesNobodyWhenItsProcessIsKilled) {
  const pid_t owner = fork();
  ASSERT_GE(owner, 0);
  if (owner == 0) {
    Create();
    Shell("worker 0", "trap '' TERM; " + WritePid("first") + "exec sleep 100");
    Shell("worker 1", WritePid("second") + "exec sleep 100");
    Run();
    _exit(0);
  }
  const pid_t first = WaitForPid("first");
  const pid_t second = WaitForPid("second");
  ASSERT_TRUE(Runs(first));
  ASSERT_TRUE(Runs(second));
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  EXPECT_TRUE(EndsSoon(first));
  EXPECT_TRUE(EndsSoon(second));
}

TEST_F(SupervisorTest, ReadsARoleThatFloodsItsOutput) {
  Create();
  Shell("worker 0", "head -c 5000000 /dev/zero; echo; echo end; exit 4");
  const Outcome outcome = Run();
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_EQ(std::filesystem::file_size(Log("worker 0")), 5'000'005);
  EXPECT_TRUE(outcome.message.ends_with("\n  | end")) << outcome.message.size();
  EXPECT_LT(outcome.message.size(), 4000);
}

TEST_F(SupervisorTest, SaysWhatItCannotStart) {
  Create();
  Role role;
  role.name = "worker 0";
  role.log_path = Log("worker 0");
  role.process.arguments = {"/nowhere/terse-worker"};
  const absl::Status status = supervisor_->Start(role);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("worker 0: cannot start /nowhere/terse-worker"));
  role.log_path = "/nowhere/worker.log";
  EXPECT_THAT(std::string(supervisor_->Start(role).message()),
              HasSubstr("cannot write the log /nowhere/worker.log"));
  EXPECT_EQ(Run().exit_code, 0);  // Nothing runs.
}

TEST_F(SupervisorTest, StartsRolesWithTheirOwnEnvironmentAndNoInput) {
  Create();
  setenv("TERSE_TEST_DIRECTORY", "overridden", 1);
  Shell("worker 0", "echo $TERSE_TEST_DIRECTORY $(wc -c)");
  unsetenv("TERSE_TEST_DIRECTORY");
  EXPECT_EQ(Run().exit_code, 0);
  EXPECT_EQ(Read(Log("worker 0")), directory_ + " 0\n");
}

TEST_F(SupervisorTest, ResetsIgnoredSignalsForItsRoles) {
  signal(SIGTERM, SIG_IGN);  // As under some shells.
  Create(milliseconds(60'000));
  Shell("worker 0", WritePid("worker") + "exec sleep 100");
  WaitForPid("worker");
  Shell("worker 1", "exit 5");
  const auto begin = steady_clock::now();
  EXPECT_EQ(Run().exit_code, 5);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(10'000));
  signal(SIGTERM, SIG_DFL);
}

TEST(LastLines, KeepsTheLastLinesAndCutsLongOnes) {
  LastLines lines;
  EXPECT_TRUE(lines.Lines().empty());
  lines.Append("a\nb");
  lines.Append("c\n\nd");
  EXPECT_THAT(lines.Lines(), ElementsAre("a", "bc", "", "d"));
  lines.Append(std::string(10'000, 'x') + "\n");
  EXPECT_EQ(lines.Lines().back().size(), LastLines::kLineBytesMax);
  for (int i = 0; i < 100; ++i) lines.Append(std::to_string(i) + "\n");
  EXPECT_EQ(lines.Lines().size(), LastLines::kLinesMax);
  EXPECT_EQ(lines.Lines().front(), "80");
  lines.Append("open");
  EXPECT_EQ(lines.Lines().size(), LastLines::kLinesMax);
  EXPECT_EQ(lines.Lines().front(), "81");
}

TEST(ShellLine, QuotesWhatAShellWouldChange) {
  EXPECT_EQ(ShellLine({"terse", "train", "a b.yaml", "--set=x.0=1"}),
            "terse train 'a b.yaml' --set=x.0=1");
  EXPECT_EQ(ShellLine({"it's", "", "$HOME", "~"}), "'it'\\''s' '' '$HOME' '~'");
}

TEST(SignalName, KnowsNames) {
  EXPECT_EQ(SignalName(SIGKILL), "SIGKILL");
  EXPECT_EQ(SignalName(SIGTERM), "SIGTERM");
  EXPECT_EQ(SignalName(200), "signal 200");
}

}  // namespace
}  // namespace terse
