// One behaviour for every link; what each test asks for is in link.h.
#include "common/transport/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "tests/conformance/link/link_fixture.h"

namespace terse {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Seconds(30);
constexpr FrameType kType = 7;

Buffer Pattern(size_t bytes, uint64_t key) {
  Buffer buffer = Buffer::Allocate(bytes);
  const auto target = buffer.mutable_bytes();
  for (size_t i = 0; i < bytes; ++i) {
    target[i] = static_cast<std::byte>(Mix64(key + (i >> 3)) >> (8 * (i & 7)));
  }
  return buffer;
}

Frame PatternFrame(size_t bytes, uint64_t step, uint32_t block = 0) {
  return MakeFrame(kType, step, block, Pattern(bytes, step));
}

bool Same(const Frame& a, const Frame& b) {
  return a.type == b.type && a.step == b.step && a.block == b.block &&
         a.payload.text() == b.payload.text() &&
         a.payload_crc32c == b.payload_crc32c;
}

class LinkTest : public ::testing::TestWithParam<LinkDriver> {
 protected:
  void SetUp() override {
    world_ = GetParam().make_world();
    address_ = world_->FreshAddress();
    auto server = world_->Listen(address_, server_sink_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = world_->MakeConnector(client_sink_);
  }

  void TearDown() override {
    client_.reset();
    server_.reset();
    EXPECT_THAT(server_sink_.violations(), IsEmpty());
    EXPECT_THAT(client_sink_.violations(), IsEmpty());
  }

  PeerId Connect() { return client_->Connect(server_->Address(), kTimeout); }

  // Connects and makes the server know of it.
  void Meet() {
    server_peer_ = Connect();
    ASSERT_TRUE(client_->Send(server_peer_, PatternFrame(1, 0)).ok());
    ASSERT_TRUE(server_sink_.AwaitFrames(1));
    client_peer_ = server_sink_.only_peer();
  }

  absl::Status LostReason(const RecordingSink& sink, PeerId peer) {
    EXPECT_TRUE(sink.AwaitLost(peer));
    return sink.peers()[peer].reason;
  }

  std::unique_ptr<LinkWorld> world_;
  std::string address_;
  RecordingSink server_sink_;
  RecordingSink client_sink_;
  std::unique_ptr<Link> server_;
  std::unique_ptr<Link> client_;
  PeerId server_peer_;  // As the client names the server.
  PeerId client_peer_;  // As the server names the client.
};

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
  if (GetParam().name == "memory") {
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

INSTANTIATE_TEST_SUITE_P(Drivers, LinkTest, ::testing::ValuesIn(LinkDrivers()),
                         [](const auto& parameter) {
                           return parameter.param.name;
                         });

}  // namespace
}  // namespace terse
