#include "server/coordinator_peer.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/messages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Notes what is sent to whom.
class NotingLink final : public Link {
 public:
  PeerId Connect(const std::string&, absl::Duration) override {
    return PeerId{++peers_};
  }
  absl::Status Send(PeerId, Frame frame) override {
    if (lost_) return absl::NotFoundError("lost");
    sent_.emplace_back(frame.type, frame.step);
    if (frame.type == wire::JOIN) {
      returns_ = ParseMessage<wire::Join>(frame)->returns();
    }
    return absl::OkStatus();
  }
  void Admit(PeerId, size_t) override {}
  void Close(PeerId) override {}
  LinkCounters Counters() const override { return {}; }
  std::string Address() const override { return ""; }

  std::vector<std::pair<uint32_t, uint64_t>> TakeSent() {
    return std::exchange(sent_, {});
  }
  bool returns() const { return returns_; }
  void set_lost(bool lost) { lost_ = lost; }

 private:
  uint64_t peers_ = 0;
  bool returns_ = false;
  bool lost_ = false;
  std::vector<std::pair<uint32_t, uint64_t>> sent_;
};

class CoordinatorPeerTest : public testing::Test {
 protected:
  CoordinatorPeerTest() : peer_(link_, "coordinator", {}) {
    peer_.Connect(absl::Seconds(1), /*returns=*/false);
    EXPECT_FALSE(link_.returns());
    EXPECT_THAT(link_.TakeSent(), ElementsAre(Pair(wire::JOIN, 0)));
  }

  void Tell(wire::FrameKind kind, uint64_t step) {
    EXPECT_TRUE(peer_.Tell(MakeFrame(kind, step, 0, Buffer())).ok());
  }

  NotingLink link_;
  CoordinatorPeer peer_;
};

TEST_F(CoordinatorPeerTest, TellsAgainWhatAnotherProcessNeeds) {
  for (uint64_t version = 1; version <= 5; ++version) {
    Tell(wire::REDUCE, version);
    Tell(wire::OBSERVATION, version - 1);
  }
  Tell(wire::CHECKPOINTED, 4);
  link_.TakeSent();
  peer_.OnLost(absl::UnixEpoch());
  EXPECT_EQ(peer_.away_since(), absl::UnixEpoch());
  peer_.Connect(absl::Seconds(1), /*returns=*/true);
  EXPECT_TRUE(link_.returns());
  EXPECT_THAT(link_.TakeSent(), ElementsAre(Pair(wire::JOIN, 0)));
  // While it is away nothing goes out, and nothing is forgotten.
  Tell(wire::DIGESTS, 0);
  Tell(wire::DIGESTS, 0);
  peer_.OnLost(absl::UnixEpoch() + absl::Seconds(1));
  EXPECT_EQ(peer_.away_since(), absl::UnixEpoch());
  EXPECT_THAT(link_.TakeSent(), IsEmpty());
  EXPECT_TRUE(peer_.OnBack().ok());
  EXPECT_THAT(link_.TakeSent(),
              ElementsAre(Pair(wire::REDUCE, 4), Pair(wire::REDUCE, 5),
                          Pair(wire::CHECKPOINTED, 4), Pair(wire::DIGESTS, 0)));
  EXPECT_FALSE(peer_.away_since());
  Tell(wire::STOP, 0);
  EXPECT_THAT(link_.TakeSent(), ElementsAre(Pair(wire::STOP, 0)));
}

TEST_F(CoordinatorPeerTest, ALostOneIsHeardOfElsewhere) {
  link_.set_lost(true);
  Tell(wire::REDUCE, 1);
  link_.set_lost(false);
  EXPECT_TRUE(peer_.OnBack().ok());
  EXPECT_THAT(link_.TakeSent(), ElementsAre(Pair(wire::REDUCE, 1)));
}

}  // namespace
}  // namespace terse
