#include "common/base/status.h"
#include "common/wire/messages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/session.h"

namespace terse {
namespace {

using testing::HasSubstr;

// A link whose peer has gone, which the session has not heard of yet.
class GoneLink final : public Link {
 public:
  PeerId Connect(const std::string&, absl::Duration) override {
    return PeerId{1};
  }
  absl::Status Send(PeerId, Frame) override {
    return absl::NotFoundError("lost");
  }
  void Admit(PeerId, size_t) override {}
  void Close(PeerId) override {}
  LinkCounters Counters() const override { return {}; }
  std::string Address() const override { return ""; }
};

class LostShardTest : public testing::Test {
 protected:
  LostShardTest() { session_.Start(); }

  GoneLink link_;
  const SystemClock clock_;
  WorkerSession session_{
      {.coordinator_address = "nowhere"},
      [](const Job&, const Plan&,
         uint32_t) -> absl::StatusOr<std::unique_ptr<NetworkModel>> {
        return absl::InternalError("no job ever came");
      },
      link_,
      clock_};
};

TEST_F(LostShardTest, ItsLastWordIsWhyTheJobEnds) {
  ASSERT_FALSE(session_.ended());
  session_.OnFrame(PeerId{1}, MakeAbort(WithExitCode(
                                  absl::CancelledError("stopped by a signal"),
                                  ExitCode::kTerminated)));
  ASSERT_TRUE(session_.ended());
  EXPECT_EQ(ExitCodeOf(session_.result()), ExitCode::kTerminated);
  EXPECT_THAT(std::string(session_.result().message()),
              HasSubstr("stopped by a signal"));
}

TEST_F(LostShardTest, OneThatSaidNothingIsALostPeer) {
  ASSERT_FALSE(session_.ended());
  session_.OnPeerLost(PeerId{1}, absl::OkStatus());
  ASSERT_TRUE(session_.ended());
  EXPECT_EQ(ExitCodeOf(session_.result()), ExitCode::kPeerNeverCame);
}

TEST_F(LostShardTest, ALastWordOfNoFailureIsAFailure) {
  for (const int code : {0, -1, 256, 1 << 20}) {
    EXPECT_EQ(ExitCodeOf(StatusOfAbort(MakeAbort(WithExitCode(
                  absl::CancelledError("of its own"), ExitCode{code})))),
              ExitCode::kFailure)
        << code;
  }
}

TEST_F(LostShardTest, ItsLastWordIsOneLine) {
  EXPECT_EQ(
      StatusOfAbort(MakeAbort(absl::CancelledError("a\nb\x1b[2J"))).message(),
      "a?b?[2J");
}

}  // namespace
}  // namespace terse
