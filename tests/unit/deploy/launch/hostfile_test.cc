#include "deploy/launch/hostfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/status.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Hostfile, BothFormsAndComments) {
  const auto hosts = ParseHostfile(
      "# cluster\n"
      "a slots=4 max_slots=8\n"
      "b:2   # MPICH\n"
      "\n"
      "c\r\n"
      "10.0.0.7\n"
      "[fe80::1]:3\n"
      "fe80::2 slots=5\n"
      "b slots=1\n",
      "hosts");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  std::vector<std::pair<std::string, uint32_t>> found;
  for (const HostSlots& host : *hosts) {
    found.emplace_back(host.host, host.slots);
  }
  using Host = std::pair<std::string, uint32_t>;
  EXPECT_THAT(found, ElementsAre(Host("a", 4), Host("b", 3), Host("c", 1),
                                 Host("10.0.0.7", 1), Host("fe80::1", 3),
                                 Host("fe80::2", 5)));
}

TEST(Hostfile, ABadLineIsNamed) {
  for (const char* line : {"a slots=x", "a:0", "a slots", "-oProxyCommand=x",
                           "a slots=5000", "a:2x"}) {
    const auto hosts =
        ParseHostfile(std::string("ok\n") + line + "\n", "hosts");
    ASSERT_FALSE(hosts.ok()) << line;
    EXPECT_EQ(ExitCodeOf(hosts.status()), ExitCode::kBadJob);
    EXPECT_THAT(std::string(hosts.status().message()), HasSubstr("hosts:2: "));
  }
  EXPECT_THAT(std::string(ParseHostfile("# none\n", "h").status().message()),
              HasSubstr("names no host"));
}

TEST(Placement, WorkersFillSlotsAndServersTakeTurns) {
  const auto placed = PlaceRoles({{"a", 2}, {"b", 1}, {"c", 4}}, 4, 5);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_THAT(placed->servers, ElementsAre("a", "b", "c", "a"));
  EXPECT_THAT(placed->workers, ElementsAre("a", "a", "b", "c", "c"));
}

TEST(Placement, TooFewSlotsAreRefused) {
  const auto placed = PlaceRoles({{"a", 2}, {"b", 1}}, 1, 4);
  EXPECT_EQ(ExitCodeOf(placed.status()), ExitCode::kBadJob);
  EXPECT_THAT(std::string(placed.status().message()),
              HasSubstr("have 3 slots, the job has 4 workers"));
}

}  // namespace
}  // namespace terse
