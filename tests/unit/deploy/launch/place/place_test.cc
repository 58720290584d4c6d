#include "deploy/launch/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/status.h"
#include "deploy/launch/rendezvous.h"

namespace terse {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Place Found(const Environment& environment, const PlaceFlags& flags = {}) {
  const auto place = FindPlace(flags, environment);
  EXPECT_TRUE(place.ok()) << place.status();
  return place.value_or(Place{});
}

absl::Status NotFound(const Environment& environment) {
  const auto place = FindPlace({}, environment);
  EXPECT_FALSE(place.ok());
  return place.status();
}

void ExpectRank(const Place& place, uint32_t rank, uint32_t world_size,
                const std::string& coordinator) {
  EXPECT_EQ(place.rank, rank) << place.source;
  EXPECT_EQ(place.world_size, world_size) << place.source;
  EXPECT_EQ(place.coordinator, coordinator) << place.source;
}

TEST(FindPlaceTest, ReadsWhatEachLauncherSets) {
  ExpectRank(Found({{"TERSE_RANK", "1"},
                    {"TERSE_WORLD_SIZE", "4"},
                    {"TERSE_COORDINATOR", "a:1"}}),
             1, 4, "a:1");
  ExpectRank(Found({{"RANK", "0"},
                    {"WORLD_SIZE", "3"},
                    {"MASTER_ADDR", "node-a"},
                    {"MASTER_PORT", "4000"}}),
             0, 3, "node-a:4000");
  ExpectRank(
      Found({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "5"}}), 3,
      5, "");
  ExpectRank(Found({{"PMI_RANK", "2"}, {"PMI_SIZE", "6"}}), 2, 6, "");
  ExpectRank(Found({{"SLURM_PROCID", "7"},
                    {"SLURM_NTASKS", "8"},
                    {"SLURM_JOB_ID", "30007"},
                    {"SLURM_JOB_NODELIST", "gpu[03-05],login"}}),
             7, 8, "gpu03:15007");
  const Place kubernetes = Found(
      {{"JOB_COMPLETION_INDEX", "2"}, {"TERSE_COORDINATOR", "job-0.svc:29"}});
  EXPECT_EQ(kubernetes.rank, 2);
  EXPECT_EQ(kubernetes.world_size, std::nullopt);
  EXPECT_EQ(kubernetes.coordinator, "job-0.svc:29");
}

TEST(FindPlaceTest, OnlyMpisLaunchersCarryAJobWithoutAnAddress) {
  EXPECT_TRUE(
      Found({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}})
          .by_mpi);
  EXPECT_TRUE(Found({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}).by_mpi);
  EXPECT_TRUE(Found({{"PMIX_RANK", "0"}}).by_mpi);
  EXPECT_FALSE(Found({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).by_mpi);
  EXPECT_FALSE(Found({{"SLURM_PROCID", "0"}}).by_mpi);
}

TEST(FindPlaceTest, TorchrunsOwnStoreKeepsItsPort) {
  Environment environment = {
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "h"}};
  EXPECT_EQ(Found(environment).coordinator, "h:29500");
  environment["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_EQ(Found(environment).coordinator, "h:29501");
}

TEST(FindPlaceTest, DmlcKnowsRoles) {
  Environment environment = {
      {"DMLC_ROLE", "worker"},          {"DMLC_WORKER_ID", "1"},
      {"DMLC_NUM_SERVER", "2"},         {"DMLC_NUM_WORKER", "3"},
      {"DMLC_PS_ROOT_URI", "10.0.0.1"}, {"DMLC_PS_ROOT_PORT", "8000"}};
  const Place worker = Found(environment);
  EXPECT_EQ(worker.role, JobRole::kWorker);
  EXPECT_EQ(worker.role_rank, 1);
  EXPECT_EQ(worker.world_size, 5);
  EXPECT_EQ(worker.coordinator, "10.0.0.1:8000");
  environment["DMLC_ROLE"] = "server";
  // Its number must not be taken for that of a server.
  EXPECT_EQ(Found(environment).role_rank, std::nullopt);
  EXPECT_FALSE(AssignRole(Found(environment), 2, 3).ok());
  environment["DMLC_TASK_ID"] = "1";
  EXPECT_EQ(Found(environment).role_rank, 1);
  environment["DMLC_ROLE"] = "scheduler";
  EXPECT_TRUE(Found(environment).scheduler);
}

TEST(FindPlaceTest, FlagsGoFirst) {
  const Environment environment = {{"RANK", "1"},
                                   {"WORLD_SIZE", "9"},
                                   {"MASTER_ADDR", "a"},
                                   {"TERSE_COORDINATOR", "b:2"}};
  const Place rank =
      Found(environment, {.rank = 4, .world_size = 5, .coordinator = "c:3"});
  ExpectRank(rank, 4, 5, "c:3");
  EXPECT_THAT(rank.source, HasSubstr("command line"));
  const Place role = Found(environment, {.role = "server", .rank = 1});
  EXPECT_EQ(role.role, JobRole::kServer);
  EXPECT_EQ(role.role_rank, 1);
  EXPECT_EQ(role.rank, std::nullopt);
  // An address alone does not say who this is.
  ExpectRank(Found(environment, {.coordinator = "c:3"}), 1, 9, "c:3");
  ExpectRank(Found(environment), 1, 9, "b:2");
}

TEST(FindPlaceTest, ContradictionsNameBoth) {
  const absl::Status ranks = NotFound({{"RANK", "0"},
                                       {"WORLD_SIZE", "4"},
                                       {"OMPI_COMM_WORLD_RANK", "3"},
                                       {"OMPI_COMM_WORLD_SIZE", "4"}});
  EXPECT_EQ(ExitCodeOf(ranks), ExitCode::kBadJob);
  EXPECT_THAT(std::string(ranks.message()),
              AllOf(HasSubstr("RANK, WORLD_SIZE) says rank 0 of 4"),
                    HasSubstr("OMPI_COMM_WORLD_*) says rank 3 of 4")));
  // One says it is alone: the most silent failure of all.
  EXPECT_EQ(ExitCodeOf(NotFound({{"OMPI_COMM_WORLD_RANK", "0"},
                                 {"OMPI_COMM_WORLD_SIZE", "1"},
                                 {"TERSE_RANK", "0"},
                                 {"TERSE_WORLD_SIZE", "4"}})),
            ExitCode::kBadJob);
  EXPECT_EQ(ExitCodeOf(NotFound({{"RANK", "1"}, {"SLURM_PROCID", "2"}})),
            ExitCode::kBadJob);
  EXPECT_EQ(
      ExitCodeOf(NotFound({{"TERSE_ROLE", "server"}, {"DMLC_ROLE", "worker"}})),
      ExitCode::kBadJob);
}

TEST(FindPlaceTest, AgreementIsNoContradiction) {
  // srun --mpi=pmix: PMIx does not say how many.
  const Place place = Found({{"PMIX_RANK", "2"},
                             {"RANK", "2"},
                             {"WORLD_SIZE", "3"},
                             {"PMI_RANK", "2"},
                             {"PMI_SIZE", "3"}});
  ExpectRank(place, 2, 3, "");
  EXPECT_THAT(place.source, HasSubstr("torchrun"));
}

TEST(FindPlaceTest, SlurmAndKubernetesMayHaveStartedTheLauncher) {
  // Slurm numbers mpirun's daemons, Kubernetes the hosts.
  ExpectRank(Found({{"OMPI_COMM_WORLD_RANK", "3"},
                    {"OMPI_COMM_WORLD_SIZE", "4"},
                    {"SLURM_PROCID", "1"},
                    {"SLURM_NTASKS", "2"},
                    {"JOB_COMPLETION_INDEX", "1"}}),
             3, 4, "");
  ExpectRank(Found({{"RANK", "3"},
                    {"WORLD_SIZE", "4"},
                    {"TORCHELASTIC_RUN_ID", "x"},
                    {"SLURM_PROCID", "1"},
                    {"SLURM_NTASKS", "2"}}),
             3, 4, "");
  // The batch script itself is no task.
  EXPECT_EQ(ExitCodeOf(NotFound({{"SLURM_PROCID", "0"},
                                 {"SLURM_NTASKS", "4"},
                                 {"SLURM_STEP_ID", "4294967291"}})),
            ExitCode::kBadCommandLine);
}

TEST(FindPlaceTest, NothingAndNonsenseAreErrors) {
  const absl::Status nothing = NotFound({{"PATH", "/bin"}});
  EXPECT_EQ(ExitCodeOf(nothing), ExitCode::kBadCommandLine);
  EXPECT_THAT(std::string(nothing.message()), HasSubstr("mpirun"));
  for (const char* text : {"x", "-1", "1.5", "99999999999"}) {
    const absl::Status status = NotFound({{"RANK", text}, {"WORLD_SIZE", "3"}});
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadJob) << text;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(std::string("RANK=") + text));
  }
}

TEST(AssignRoleTest, TheFirstRanksAreServers) {
  Place place{.source = "s", .rank = 1, .world_size = 5};
  EXPECT_EQ(AssignRole(place, 2, 3)->role, JobRole::kServer);
  EXPECT_EQ(AssignRole(place, 2, 3)->rank, 1);
  place.rank = 2;
  EXPECT_EQ(AssignRole(place, 2, 3)->role, JobRole::kWorker);
  EXPECT_EQ(AssignRole(place, 2, 3)->rank, 0);
  place.rank = 4;
  EXPECT_EQ(AssignRole(place, 2, 3)->rank, 2);
}

TEST(AssignRoleTest, AWorldOfAnotherSizeSaysWhatToChange) {
  const Place place{.source = "Open MPI", .rank = 1, .world_size = 5};
  const absl::Status status = AssignRole(place, 1, 2).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kBadCommandLine);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("Open MPI has 5 processes"),
                    HasSubstr("1 server and 2 workers"), HasSubstr("start 3"),
                    HasSubstr("--set cluster.workers=4")));
}

TEST(AssignRoleTest, RanksOutsideTheJobAreErrors) {
  EXPECT_FALSE(AssignRole({.source = "s", .rank = 3}, 1, 2).ok());
  EXPECT_TRUE(AssignRole({.source = "s", .rank = 2}, 1, 2).ok());
  EXPECT_FALSE(
      AssignRole({.role = JobRole::kServer, .role_rank = 1}, 1, 2).ok());
  EXPECT_FALSE(
      AssignRole({.role = JobRole::kWorker, .role_rank = 2}, 1, 2).ok());
  // Such a worker is numbered when it joins; a server is not.
  EXPECT_TRUE(AssignRole({.role = JobRole::kWorker}, 1, 2).ok());
  EXPECT_FALSE(AssignRole({.role = JobRole::kServer}, 1, 2).ok());
}

TEST(FirstSlurmHostTest, ReadsCompressedLists) {
  EXPECT_EQ(FirstSlurmHost("alone"), "alone");
  EXPECT_EQ(FirstSlurmHost("a,b"), "a");
  EXPECT_EQ(FirstSlurmHost("n[07-09,12],login1"), "n07");
  EXPECT_EQ(FirstSlurmHost("n[3]"), "n3");
  EXPECT_EQ(FirstSlurmHost("n[3,5]-ib.site,x"), "n3-ib.site");
  EXPECT_EQ(FirstSlurmHost("r[1-2]n[01-08]"), "r1n01");
}

TEST(RendezvousTest, ServerZeroListensWhereOthersReachIt) {
  EXPECT_EQ(ListenAddress("127.0.0.1:80"), "127.0.0.1:80");
  EXPECT_EQ(ListenAddress("localhost:80"), "localhost:80");
  EXPECT_EQ(ListenAddress("job-0.svc:80"), "0.0.0.0:80");
  EXPECT_EQ(ListenAddress("[fe80::1]:80"), "[::]:80");
}

TEST(RendezvousTest, OwnAddressIsTheOneOnTheWay) {
  EXPECT_EQ(*OwnHostTowards("127.0.0.1:9", absl::Seconds(1)), "127.0.0.1");
  const auto nowhere =
      OwnHostTowards("nowhere.invalid:9", absl::ZeroDuration());
  EXPECT_EQ(ExitCodeOf(nowhere.status()), ExitCode::kPeerNeverCame);
  EXPECT_THAT(std::string(nowhere.status().message()),
              HasSubstr("nowhere.invalid:9"));
}

}  // namespace
}  // namespace terse
