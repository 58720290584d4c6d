// What the suite of tests/conformance/link cannot show in one process: MPI
// links between processes. Every rank runs the same tests; rank 0 listens, the
// others connect to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/transport/inbox.h"
#include "common/transport/mpi/mpi_link.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kTimeout = absl::Seconds(60);

// The same at every rank: what frame `step` of `rank` holds.
Frame FrameOf(int rank, uint64_t step) {
  constexpr size_t kSizes[] = {0,       1,       16384,    16385,  65536,
                               1 << 20, 3333333, 40 << 20, 100000, 7};
  Buffer payload = Buffer::Allocate(kSizes[step % std::size(kSizes)]);
  const auto bytes = payload.mutable_bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(Mix64(i / 8 + step + 1000 * rank) >>
                                      8 * (i % 8));
  }
  return MakeFrame(3, step, static_cast<uint32_t>(rank), std::move(payload));
}

constexpr uint64_t kFrames = 60;

// Counts the peers that have left, and in which way.
struct Server {
  int frames = 0;
  int left = 0;
  int lost = 0;
};

// Answers every frame with the same until `peers` have gone.
Server Serve(const std::string& address, int peers) {
  Inbox inbox(size_t{1} << 31);
  auto link = MakeMpiLink({.listen_address = address}, inbox);
  TERSE_CHECK(link.ok());
  Server server;
  while (server.left + server.lost < peers) {
    auto event = inbox.Pop(absl::Now() + kTimeout);
    TERSE_CHECK(event);
    if (event->frame) {
      ++server.frames;
      (*link)->Admit(event->peer, kFramePayloadBytesMax);
      TERSE_CHECK((*link)->Send(event->peer, *std::move(event->frame)).ok());
    } else {
      ++(event->reason.ok() ? server.left : server.lost);
    }
  }
  return server;
}

TEST(MpiRanksTest, TheWorldIsWhatMpirunStarted) {
  const auto world = StartMpi();
  ASSERT_TRUE(world.ok()) << world.status();
  const char* expected = std::getenv("TERSE_TEST_RANKS");
  ASSERT_NE(expected, nullptr);
  EXPECT_EQ(absl::StrCat(world->size), expected);
}

TEST(MpiRanksTest, FramesComeBackInOrderAndUnchanged) {
  const MpiWorld world = *StartMpi();
  if (world.rank == 0) {
    const Server server = Serve("mpi:0", world.size - 1);
    EXPECT_EQ(server.left, world.size - 1);
    EXPECT_EQ(server.frames, (world.size - 1) * kFrames);
    return;
  }
  Inbox inbox(size_t{1} << 31);
  auto link = *MakeMpiLink({}, inbox);
  const PeerId peer = link->Connect("mpi:0", kTimeout);
  // A small one alone, so that the peer can admit us.
  for (uint64_t step = 0; step < kFrames; ++step) {
    ASSERT_TRUE(link->Send(peer, FrameOf(world.rank, step)).ok());
    if (step > 0) continue;
    ASSERT_TRUE(inbox.Pop(absl::Now() + kTimeout));
  }
  for (uint64_t step = 1; step < kFrames; ++step) {
    const auto event = inbox.Pop(absl::Now() + kTimeout);
    ASSERT_TRUE(event && event->frame) << step;
    EXPECT_EQ(event->frame->step, step);
    EXPECT_EQ(event->frame->block, static_cast<uint32_t>(world.rank));
    ASSERT_EQ(event->frame->payload.text(),
              FrameOf(world.rank, step).payload.text())
        << step;
  }
  link->Close(peer);
  const auto end = inbox.Pop(absl::Now() + kTimeout);
  ASSERT_TRUE(end && !end->frame);
  EXPECT_TRUE(end->reason.ok()) << end->reason;
}

TEST(MpiRanksTest, ALinkThatGoesWithoutClosingIsSeenAsLost) {
  const MpiWorld world = *StartMpi();
  if (world.rank == 0) {
    const Server server = Serve("mpi:0:1", world.size - 1);
    EXPECT_EQ(server.lost, world.size - 1);
    return;
  }
  Inbox inbox(size_t{1} << 20);
  auto link = *MakeMpiLink({}, inbox);
  const PeerId peer = link->Connect("mpi:0:1", kTimeout);
  ASSERT_TRUE(link->Send(peer, FrameOf(world.rank, 0)).ok());
  ASSERT_TRUE(inbox.Pop(absl::Now() + kTimeout));
}

TEST(MpiRanksTest, ARankThatDoesNotExistSaysSo) {
  Inbox inbox(1000);
  auto link = *MakeMpiLink({}, inbox);
  link->Connect("mpi:99", kTimeout);
  const auto event = inbox.Pop(absl::Now() + kTimeout);
  ASSERT_TRUE(event && !event->frame);
  EXPECT_EQ(event->reason.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(event->reason.message()),
              HasSubstr(absl::StrCat("only ", StartMpi()->size)));
}

TEST(MpiRanksTest, OnlyItsOwnRankCanBeListenedAt) {
  const MpiWorld world = *StartMpi();
  Inbox inbox(1000);
  for (const std::string& address :
       {absl::StrCat("mpi:", world.rank + 1), std::string("127.0.0.1:0"),
        std::string("mpi:"), std::string("mpi:0:1:2")}) {
    EXPECT_EQ(MakeMpiLink({.listen_address = address}, inbox).status().code(),
              absl::StatusCode::kInvalidArgument)
        << address;
  }
}

class EndOfMpi final : public ::testing::Environment {
 public:
  void TearDown() override { FinishMpi(!::testing::Test::HasFailure()); }
};
// Owned by GoogleTest.
[[maybe_unused]] const auto* const end_of_mpi =
    ::testing::AddGlobalTestEnvironment(new EndOfMpi);

}  // namespace
}  // namespace terse
