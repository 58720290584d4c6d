// The orderly end of a connection, and the end of an endpoint.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/conformance/link/link_test.h"

namespace terse {
namespace {

using ::testing::IsEmpty;

TEST_P(LinkTest, CloseSendsWhatIsQueuedAndIsSeenAsOrderly) {
  Meet();
  server_->Admit(client_peer_, 4 << 20);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(client_->Send(server_peer_, PatternFrame(1'000'000, i)).ok());
  }
  client_->Close(server_peer_);
  EXPECT_TRUE(LostReason(server_sink_, client_peer_).ok());
  EXPECT_EQ(server_sink_.peers()[client_peer_].frames.size(), 21);
  EXPECT_TRUE(LostReason(client_sink_, server_peer_).ok());
}

TEST_P(LinkTest, CloseByTheSideThatWasConnectedTo) {
  Meet();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(server_->Send(client_peer_, PatternFrame(1'000'000, i)).ok());
  }
  server_->Close(client_peer_);
  const absl::Status reason = LostReason(client_sink_, server_peer_);
  EXPECT_TRUE(reason.ok()) << reason;
  EXPECT_EQ(client_sink_.peers()[server_peer_].frames.size(), 20);
  EXPECT_TRUE(LostReason(server_sink_, client_peer_).ok());
}

TEST_P(LinkTest, CloseRightAfterConnect) {
  const PeerId peer = Connect();
  ASSERT_TRUE(client_->Send(peer, PatternFrame(10, 1)).ok());
  client_->Close(peer);
  EXPECT_TRUE(LostReason(client_sink_, peer).ok());
  ASSERT_TRUE(server_sink_.AwaitFrames(1));
  EXPECT_TRUE(LostReason(server_sink_, server_sink_.only_peer()).ok());
}

TEST_P(LinkTest, CloseByBothSidesAtOnce) {
  for (int round = 0; round < 20; ++round) {
    RecordingSink server_sink, client_sink;
    const std::string address = world_->FreshAddress();
    auto server = *world_->Listen(address, server_sink);
    auto client = world_->MakeConnector(client_sink);
    const PeerId up = client->Connect(address, kTimeout);
    ASSERT_TRUE(client->Send(up, PatternFrame(1, 0)).ok());
    ASSERT_TRUE(server_sink.AwaitFrames(1));
    const PeerId down = server_sink.only_peer();
    std::thread other([&] { server->Close(down); });
    client->Close(up);
    other.join();
    EXPECT_TRUE(LostReason(server_sink, down).ok());
    EXPECT_TRUE(LostReason(client_sink, up).ok());
  }
}

TEST_P(LinkTest, NothingIsDeliveredAfterClose) {
  Meet();
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    for (uint64_t i = 0; !stop; ++i) {
      if (!server_->Send(client_peer_, PatternFrame(100, i)).ok()) break;
    }
  });
  ASSERT_TRUE(client_sink_.AwaitFrames(100));
  client_->Close(server_peer_);
  const size_t frames = client_sink_.frame_count();
  EXPECT_TRUE(LostReason(client_sink_, server_peer_).ok());
  stop = true;
  flood.join();
  EXPECT_EQ(client_sink_.frame_count(), frames);
}

TEST_P(LinkTest, SendToTheLostOrUnknownIsNotFound) {
  Meet();
  EXPECT_EQ(client_->Send(PeerId{~uint64_t{0}}, PatternFrame(1, 1)).code(),
            absl::StatusCode::kNotFound);
  client_->Close(server_peer_);
  EXPECT_EQ(client_->Send(server_peer_, PatternFrame(1, 1)).code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(server_sink_.AwaitLost(client_peer_));
  EXPECT_EQ(server_->Send(client_peer_, PatternFrame(1, 1)).code(),
            absl::StatusCode::kNotFound);
  // Neither of these has anything left to do.
  client_->Close(server_peer_);
  server_->Close(PeerId{~uint64_t{0}});
  server_->Admit(client_peer_, 1);
}

TEST_P(LinkTest, ClosingDoesNotWaitForAPeerThatIsNotThere) {
  const PeerId peer = client_->Connect(world_->FreshAddress(), absl::Hours(10));
  ASSERT_TRUE(client_->Send(peer, PatternFrame(100, 1)).ok());
  client_->Close(peer);
  EXPECT_EQ(LostReason(client_sink_, peer).code(),
            absl::StatusCode::kUnavailable);
  const PeerId tried =
      client_->Connect(world_->FreshAddress(), absl::Hours(10));
  absl::SleepFor(absl::Milliseconds(300));
  client_->Close(tried);
  EXPECT_EQ(LostReason(client_sink_, tried).code(),
            absl::StatusCode::kUnavailable);
}

TEST_P(LinkTest, EndsWhileTrafficFlows) {
  for (int round = 0; round < 10; ++round) {
    RecordingSink server_sink, client_sink;
    std::atomic<bool> server_gone{false};
    std::atomic<int> late{0};
    const std::string address = world_->FreshAddress();
    auto server = *world_->Listen(address, server_sink);
    Link* server_link = server.get();
    auto client = world_->MakeConnector(client_sink);
    server_sink.handler = [&](PeerId peer, Frame frame) {
      if (server_gone) ++late;
      server_link->Send(peer, std::move(frame)).IgnoreError();
      return absl::OkStatus();
    };
    client_sink.handler = [](PeerId, Frame) { return absl::OkStatus(); };
    std::vector<std::thread> threads;
    std::atomic<bool> stop{false};
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, peer = client->Connect(address, kTimeout)] {
        for (uint64_t i = 0; !stop; ++i) {
          if (!client->Send(peer, PatternFrame(3000, i)).ok()) break;
        }
      });
    }
    absl::SleepFor(absl::Milliseconds(5 * round));
    server.reset();
    server_gone = true;
    stop = true;
    for (auto& thread : threads) thread.join();
    client.reset();
    EXPECT_EQ(late, 0);
    EXPECT_THAT(server_sink.violations(), IsEmpty());
  }
}

TEST_P(LinkTest, EndsWhileConnecting) {
  const std::string address = world_->FreshAddress();
  for (int i = 0; i < 5; ++i) {
    const PeerId peer = client_->Connect(address, absl::Hours(10));
    ASSERT_TRUE(client_->Send(peer, PatternFrame(100, 1)).ok());
  }
  client_.reset();
  EXPECT_THAT(client_sink_.peers(), IsEmpty());
}

}  // namespace
}  // namespace terse
