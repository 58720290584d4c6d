// Peers that break off, break rules or are not there.
#include <atomic>
#include <thread>

#include "tests/conformance/link/link_test.h"

namespace terse {
namespace {

using ::testing::HasSubstr;

TEST_P(LinkTest, UnadmittedPeersAreLimited) {
  Meet();
  ASSERT_TRUE(
      client_->Send(server_peer_, PatternFrame(kUnadmittedPayloadBytesMax, 1))
          .ok());
  ASSERT_TRUE(server_sink_.AwaitFrames(2));
  ASSERT_TRUE(
      client_
          ->Send(server_peer_, PatternFrame(kUnadmittedPayloadBytesMax + 1, 2))
          .ok());
  EXPECT_EQ(LostReason(server_sink_, client_peer_).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(LostReason(client_sink_, server_peer_).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_sink_.peers()[client_peer_].frames.size(), 2);
}

TEST_P(LinkTest, ErrorOfTheSinkEndsThatConnectionOnly) {
  server_sink_.handler = [](PeerId, Frame frame) {
    return frame.step == 13 ? absl::DataLossError("unlucky") : absl::OkStatus();
  };
  const PeerId good = Connect();
  const PeerId bad = Connect();
  ASSERT_TRUE(client_->Send(good, PatternFrame(1, 1)).ok());
  ASSERT_TRUE(client_->Send(bad, PatternFrame(1, 13)).ok());
  const absl::Status reason = LostReason(client_sink_, bad);
  EXPECT_EQ(reason.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(reason.message()), HasSubstr("unlucky"));
  ASSERT_TRUE(server_sink_.Await([](const auto& peers) {
    for (const auto& [peer, record] : peers) {
      if (record.lost) return true;
    }
    return false;
  }));
  for (const auto& [peer, record] : server_sink_.peers()) {
    if (record.lost) {
      EXPECT_EQ(record.reason.code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(std::string(record.reason.message()), HasSubstr("unlucky"));
    }
  }
  EXPECT_TRUE(client_->Send(good, PatternFrame(1, 2)).ok());
}

TEST_P(LinkTest, DamagedFrameIsNotDelivered) {
  Meet();
  Frame frame = PatternFrame(1000, 5);
  frame.payload_crc32c ^= 1;
  ASSERT_TRUE(client_->Send(server_peer_, frame).ok());
  if (GetParam().name == "memory" || GetParam().name == "joined") {
    // Handed over without being read; there is no way it could be damaged on.
    EXPECT_TRUE(server_sink_.AwaitFrames(2));
    return;
  }
  EXPECT_EQ(LostReason(server_sink_, client_peer_).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(server_sink_.frame_count(), 1);
}

TEST_P(LinkTest, PeerThatDiesIsLost) {
  Meet();
  client_.reset();
  EXPECT_EQ(LostReason(server_sink_, client_peer_).code(),
            absl::StatusCode::kUnavailable);
}

TEST_P(LinkTest, ServerThatDiesIsLost) {
  Meet();
  server_.reset();
  EXPECT_EQ(LostReason(client_sink_, server_peer_).code(),
            absl::StatusCode::kUnavailable);
}

TEST_P(LinkTest, UnreachableIsUnavailableWithAddressAndTime) {
  const std::string address = world_->FreshAddress();
  const absl::Time start = absl::Now();
  const PeerId peer = client_->Connect(address, absl::Milliseconds(700));
  ASSERT_TRUE(client_->Send(peer, PatternFrame(100, 1)).ok());
  const absl::Status reason = LostReason(client_sink_, peer);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(700));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_EQ(reason.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(reason.message()), HasSubstr(address));
  EXPECT_THAT(std::string(reason.message()), HasSubstr("700ms"));
}

TEST_P(LinkTest, FullOutboxIsResourceExhausted) {
  Mutex mutex;
  CondVar changed;
  bool release = false;
  server_sink_.handler = [&](PeerId peer, Frame) {
    server_->Admit(peer, kFramePayloadBytesMax);
    MutexLock lock(mutex);
    while (!release) changed.Wait(mutex);
    return absl::OkStatus();
  };
  const PeerId peer = Connect();
  // A link without threads of its own delivers on this one, and would stay in
  // the sink.
  std::thread first(
      [&] { EXPECT_TRUE(client_->Send(peer, PatternFrame(1, 0)).ok()); });
  ASSERT_TRUE(
      server_sink_.Await([](const auto& peers) { return peers.size() == 1; }));
  // One payload, queued many times over.
  const Frame frame = PatternFrame(64 << 20, 1);
  absl::Status status;
  int sent = 0;
  for (; status.ok() && sent < 40; ++sent) status = client_->Send(peer, frame);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GE(sent, 16);
  {
    MutexLock lock(mutex);
    release = true;
    changed.NotifyAll();
  }
  first.join();
  EXPECT_FALSE(client_sink_.peers()[peer].lost);
  // What is still queued would be delivered to a handler that is gone.
  client_.reset();
  server_.reset();
}

}  // namespace
}  // namespace terse
