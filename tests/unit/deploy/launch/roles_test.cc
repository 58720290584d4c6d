#include "deploy/launch/roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace terse {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::Pair;

RoleOptions Options() {
  RoleOptions options;
  options.binary_directory = "/opt/bin";
  options.run_directory = "runs/x";
  options.token = "secret";
  return options;
}

Job MakeJob(uint32_t servers, uint32_t workers) {
  Job job;
  job.mutable_cluster()->set_servers(servers);
  job.mutable_cluster()->set_workers(workers);
  job.mutable_cluster()->set_threads_per_worker(3);
  return job;
}

TEST(Roles, ShardZeroHoldsTheJob) {
  const Role role = CoordinatorRole(Job(), Options());
  EXPECT_TRUE(role.coordinator);
  EXPECT_EQ(role.name, "server 0");
  EXPECT_EQ(role.log_path, "runs/x/logs/server-0.log");
  EXPECT_EQ(ShellLine(role.process.arguments),
            "/opt/bin/terse-server --job runs/x/job.yaml --shard 0 "
            "--listen unix:runs/x/server-0.socket "
            "--port-file runs/x/shard-0.port "
            "--run-dir runs/x");
}

TEST(Roles, TheOthersNeedOnlyAnAddress) {
  RoleOptions options = Options();
  options.data_directory = "data";
  options.kernel_target = "scalar";
  const std::vector<Role> roles =
      OtherRoles(MakeJob(2, 2), options, "127.0.0.1:41873");
  ASSERT_EQ(roles.size(), 3);
  EXPECT_EQ(ShellLine(roles[0].process.arguments),
            "/opt/bin/terse-server --shard 1 --coordinator 127.0.0.1:41873 "
            "--listen unix:runs/x/server-1.socket "
            "--kernel-target scalar");
  EXPECT_EQ(roles[2].name, "worker 1");
  EXPECT_EQ(ShellLine(roles[2].process.arguments),
            "/opt/bin/terse-worker --coordinator 127.0.0.1:41873 --rank 1 "
            "--data-dir data --kernel-target scalar");
  for (const Role& role : roles) EXPECT_FALSE(role.coordinator);
}

TEST(Roles, ColocatedServersAreTheWorkersProcesses) {
  const Job job = MakeJob(0, 2);
  const Role first = CoordinatorRole(job, Options());
  EXPECT_TRUE(first.coordinator);
  EXPECT_EQ(first.name, "worker 0");
  EXPECT_EQ(ShellLine(first.process.arguments),
            "/opt/bin/terse-worker --job runs/x/job.yaml --colocated --rank 0 "
            "--listen unix:runs/x/server-0.socket "
            "--port-file runs/x/shard-0.port "
            "--run-dir runs/x");
  const std::vector<Role> others = OtherRoles(job, Options(), "host:1");
  ASSERT_EQ(others.size(), 1);
  EXPECT_EQ(ShellLine(others[0].process.arguments),
            "/opt/bin/terse-worker --coordinator host:1 --rank 1 --colocated "
            "--listen unix:runs/x/server-1.socket");
}

TEST(Roles, APathTooLongForASocketGivesWayToAPort) {
  RoleOptions options = Options();
  options.run_directory = std::string(100, 'x');
  EXPECT_THAT(ShellLine(CoordinatorRole(Job(), options).process.arguments),
              HasSubstr("--listen 127.0.0.1:0 "));
}

TEST(Roles, TheTokenTravelsByEnvironmentAlone) {
  std::vector<Role> roles = OtherRoles(MakeJob(2, 1), Options(), "h:1");
  roles.push_back(CoordinatorRole(Job(), Options()));
  for (const Role& role : roles) {
    EXPECT_THAT(role.process.environment,
                Contains(Pair("TERSE_TOKEN", "secret")));
    EXPECT_THAT(ShellLine(role.process.arguments), Not(HasSubstr("secret")));
  }
}

TEST(Roles, WorkersGetTheThreadsOfTheJob) {
  const std::vector<std::pair<std::string, std::string>> threads = {
      {"OMP_NUM_THREADS", "3"},
      {"OPENBLAS_NUM_THREADS", "3"},
      {"OMP_WAIT_POLICY", "passive"}};
  EXPECT_THAT(
      OtherRoles(MakeJob(1, 1), Options(), "h:1")[0].process.environment,
      IsSupersetOf(threads));
  EXPECT_THAT(MemoryRole(MakeJob(1, 1), Options()).process.environment,
              IsSupersetOf(threads));
}

TEST(Roles, AMemoryJobIsOneProcess) {
  const Role role = MemoryRole(MakeJob(3, 4), Options());
  EXPECT_TRUE(role.coordinator);
  EXPECT_EQ(ShellLine(role.process.arguments),
            "/opt/bin/terse-worker --memory --job runs/x/job.yaml "
            "--run-dir runs/x");
}

TEST(Roles, TokensAreLongAndNeverTheSame) {
  const auto first = MakeToken();
  const auto second = MakeToken();
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first->size(), 64);
  EXPECT_EQ(first->find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(*first, *second);
}

}  // namespace
}  // namespace terse
