// What is sent arrives: addresses, order, counters, sizes.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/conformance/link/link_test.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

TEST_P(LinkTest, AddressesAreWhereOthersConnect) {
  EXPECT_EQ(server_->Address(), address_);
  EXPECT_EQ(client_->Address(), "");
}

TEST_P(LinkTest, AddressCanBeTakenOnlyOnce) {
  RecordingSink sink;
  const auto second = world_->Listen(address_, sink);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address_));
  Meet();  // The first is none the worse for it.
}

TEST_P(LinkTest, AddressIsFreeAgainAfterItsLink) {
  server_.reset();
  auto again = world_->Listen(address_, server_sink_);
  ASSERT_TRUE(again.ok()) << again.status();
  server_ = *std::move(again);
  Meet();
}

TEST_P(LinkTest, FramesArriveInOrderAndUnchanged) {
  Meet();
  server_->Admit(client_peer_, 4 << 20);
  const std::vector<size_t> sizes = {
      0,       1,       2,     23,      4096, 0,    65535,   65536,
      1048552, 1048576, 70000, 3000000, 2048, 2049, 1048577, 1};
  for (size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_TRUE(
        client_->Send(server_peer_, PatternFrame(sizes[i], i + 1, 9)).ok());
  }
  ASSERT_TRUE(server_sink_.AwaitFrames(1 + sizes.size()));
  const auto frames = server_sink_.peers()[client_peer_].frames;
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_TRUE(Same(frames[i + 1], PatternFrame(sizes[i], i + 1, 9))) << i;
  }
}

TEST_P(LinkTest, SendsBothWaysAtOnce) {
  Meet();
  constexpr int kFrames = 500;
  std::thread up([&] {
    for (int i = 0; i < kFrames; ++i) {
      EXPECT_TRUE(client_->Send(server_peer_, PatternFrame(i * 37, i)).ok());
    }
  });
  for (int i = 0; i < kFrames; ++i) {
    EXPECT_TRUE(server_->Send(client_peer_, PatternFrame(i * 53, i)).ok());
  }
  up.join();
  ASSERT_TRUE(server_sink_.AwaitFrames(1 + kFrames));
  ASSERT_TRUE(client_sink_.AwaitFrames(kFrames));
  const auto down = client_sink_.peers()[server_peer_].frames;
  for (int i = 0; i < kFrames; ++i) {
    EXPECT_TRUE(Same(down[i], PatternFrame(i * 53, i))) << i;
  }
}

TEST_P(LinkTest, AnswersFromInsideTheSink) {
  server_sink_.handler = [&](PeerId peer, Frame frame) {
    return server_->Send(peer, std::move(frame));
  };
  const PeerId peer = Connect();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(client_->Send(peer, PatternFrame(1000, i)).ok());
  }
  ASSERT_TRUE(client_sink_.AwaitFrames(200));
  const auto frames = client_sink_.peers()[peer].frames;
  for (int i = 0; i < 200; ++i) EXPECT_EQ(frames[i].step, i);
}

TEST_P(LinkTest, KeepsManyPeersApart) {
  constexpr int kPeers = 20;
  constexpr int kFrames = 50;
  std::vector<PeerId> peers;
  for (int p = 0; p < kPeers; ++p) peers.push_back(Connect());
  for (int i = 0; i < kFrames; ++i) {
    for (int p = 0; p < kPeers; ++p) {
      ASSERT_TRUE(
          client_->Send(peers[p], PatternFrame(100 * p + i, i, p)).ok());
    }
  }
  ASSERT_TRUE(server_sink_.AwaitFrames(kPeers * kFrames));
  const auto received = server_sink_.peers();
  ASSERT_EQ(received.size(), kPeers);
  for (const auto& [peer, record] : received) {
    ASSERT_EQ(record.frames.size(), kFrames);
    const uint32_t p = record.frames[0].block;
    for (int i = 0; i < kFrames; ++i) {
      EXPECT_TRUE(Same(record.frames[i], PatternFrame(100 * p + i, i, p)));
    }
  }
}

TEST_P(LinkTest, SendsFromManyThreads) {
  Meet();
  constexpr int kThreads = 8;
  constexpr int kFrames = 300;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kFrames; ++i) {
        EXPECT_TRUE(
            client_->Send(server_peer_, PatternFrame(i % 5000, i, t)).ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(server_sink_.AwaitFrames(1 + kThreads * kFrames));
  // Each thread's frames are in its order.
  std::vector<uint64_t> next(kThreads, 1);
  const auto frames = server_sink_.peers()[client_peer_].frames;
  for (size_t i = 1; i < frames.size(); ++i) {
    EXPECT_EQ(frames[i].step, next[frames[i].block]++);
  }
}

TEST_P(LinkTest, CarriesAHugeFrameWithDefaultSettings) {
  Meet();
  constexpr size_t kBytes = 500'000'000;
  server_->Admit(client_peer_, kBytes);
  const Frame sent = PatternFrame(kBytes, 3);
  ASSERT_TRUE(client_->Send(server_peer_, sent).ok());
  ASSERT_TRUE(server_sink_.AwaitFrames(2));
  EXPECT_TRUE(Same(server_sink_.peers()[client_peer_].frames[1], sent));
}

TEST_P(LinkTest, AdmissionInsideTheSinkHoldsForTheNextFrame) {
  std::atomic<int> frames{0};
  server_sink_.handler = [&](PeerId peer, Frame) {
    if (++frames == 1) server_->Admit(peer, 1 << 20);
    return absl::OkStatus();
  };
  const PeerId peer = Connect();
  // Both may travel in one message.
  ASSERT_TRUE(client_->Send(peer, PatternFrame(10, 1)).ok());
  ASSERT_TRUE(client_->Send(peer, PatternFrame(100'000, 2)).ok());
  EXPECT_TRUE(server_sink_.Await([&](const auto&) { return frames == 2; }));
}

TEST_P(LinkTest, ThoseWeConnectToAreTrustedAtOnce) {
  Meet();
  ASSERT_TRUE(server_->Send(client_peer_, PatternFrame(2'000'000, 1)).ok());
  EXPECT_TRUE(client_sink_.AwaitFrames(1));
}

TEST_P(LinkTest, ConnectsToAServerThatStartsLater) {
  const std::string address = world_->FreshAddress();
  const PeerId peer = client_->Connect(address, kTimeout);
  ASSERT_TRUE(client_->Send(peer, PatternFrame(100, 1)).ok());
  ASSERT_TRUE(client_->Send(peer, PatternFrame(100, 2)).ok());
  absl::SleepFor(absl::Milliseconds(500));
  RecordingSink sink;
  auto late = *world_->Listen(address, sink);
  EXPECT_TRUE(sink.AwaitFrames(2));
  EXPECT_FALSE(client_sink_.peers()[peer].lost);
}

TEST_P(LinkTest, CountersEqualWhatWasSent) {
  Meet();
  server_->Admit(client_peer_, 4 << 20);
  uint64_t up = PatternFrame(1, 0).WireBytes();
  for (int i = 0; i < 100; ++i) {
    const Frame frame = PatternFrame(i * i * 300, i);
    up += frame.WireBytes();
    ASSERT_TRUE(client_->Send(server_peer_, frame).ok());
  }
  ASSERT_TRUE(server_->Send(client_peer_, PatternFrame(77, 1)).ok());
  ASSERT_TRUE(server_sink_.AwaitFrames(101));
  ASSERT_TRUE(client_sink_.AwaitFrames(1));
  EXPECT_EQ(client_->Counters().bytes_sent, up);
  EXPECT_EQ(client_->Counters().frames_sent, 101);
  EXPECT_EQ(client_->Counters().bytes_received, 24 + 77);
  EXPECT_EQ(client_->Counters().frames_received, 1);
  EXPECT_EQ(server_->Counters().bytes_received, up);
  EXPECT_EQ(server_->Counters().frames_received, 101);
  EXPECT_EQ(server_->Counters().bytes_sent, 24 + 77);
  EXPECT_EQ(server_->Counters().frames_sent, 1);
}

}  // namespace
}  // namespace terse
