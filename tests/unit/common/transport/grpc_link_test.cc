// What only the gRPC link does; the rest is in tests/conformance/link.
#include "common/transport/grpc/grpc_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "common/transport/inbox.h"

namespace terse {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kTimeout = absl::Seconds(30);

TEST(GrpcLinkTest, PortZeroGivesARealOne) {
  Inbox inbox(1000);
  const auto link = MakeGrpcLink({.listen_address = "127.0.0.1:0"}, inbox);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_THAT((*link)->Address(), StartsWith("127.0.0.1:"));
  EXPECT_NE((*link)->Address(), "127.0.0.1:0");
}

TEST(GrpcLinkTest, TakenPortSaysSo) {
  Inbox inbox(1000);
  const auto first = MakeGrpcLink({.listen_address = "127.0.0.1:0"}, inbox);
  const auto second =
      MakeGrpcLink({.listen_address = (*first)->Address()}, inbox);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  const std::string message(second.status().message());
  EXPECT_THAT(message, HasSubstr((*first)->Address()));
  EXPECT_THAT(message, HasSubstr("Address already in use"));
}

TEST(GrpcLinkTest, AddressWithoutPortSaysSo) {
  Inbox inbox(1000);
  const auto link = MakeGrpcLink(
      {.listen_address = "nonsense", .security = {.insecure = true}}, inbox);
  ASSERT_EQ(link.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(link.status().message()), HasSubstr("nonsense"));
}

TEST(GrpcLinkTest, ChunkBytesAreChecked) {
  Inbox inbox(1000);
  EXPECT_EQ(MakeGrpcLink({.chunk_bytes = 0}, inbox).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      MakeGrpcLink({.chunk_bytes = size_t{1} << 30}, inbox).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(GrpcLinkTest, EveryChunkSizeCarriesTheSameFrames) {
  for (size_t chunk_bytes : {1, 7, 23, 24, 25, 1000, 3000, 1 << 22}) {
    Inbox server_inbox(1 << 24), client_inbox(1 << 24);
    auto server =
        *MakeGrpcLink({.listen_address = "127.0.0.1:0"}, server_inbox);
    auto client = *MakeGrpcLink({.chunk_bytes = chunk_bytes}, client_inbox);
    const PeerId peer = client->Connect(server->Address(), kTimeout);
    for (size_t bytes : {0, 1, 30, 2047, 2048, 2049, 9000, 0}) {
      ASSERT_TRUE(client
                      ->Send(peer, MakeFrame(1, bytes, 2,
                                             Buffer::CopyOf(std::string(
                                                 bytes, char(bytes)))))
                      .ok());
    }
    for (size_t bytes : {0, 1, 30, 2047, 2048, 2049, 9000, 0}) {
      const auto event = server_inbox.Pop(absl::Now() + kTimeout);
      ASSERT_TRUE(event && event->frame) << chunk_bytes;
      EXPECT_EQ(event->frame->step, bytes);
      EXPECT_EQ(event->frame->payload.text(), std::string(bytes, char(bytes)));
    }
  }
}

TEST(GrpcLinkTest, WhoSaysNothingIsSentAway) {
  Inbox server_inbox(1000), client_inbox(1000);
  auto server = *MakeGrpcLink({.listen_address = "127.0.0.1:0",
                               .first_frame_timeout = absl::Milliseconds(100)},
                              server_inbox);
  auto client = *MakeGrpcLink({}, client_inbox);
  client->Connect(server->Address(), kTimeout);
  const auto event = client_inbox.Pop(absl::Now() + kTimeout);
  ASSERT_TRUE(event && !event->frame);
  EXPECT_THAT(std::string(event->reason.message()),
              HasSubstr("has sent no frame within"));
}

TEST(GrpcLinkTest, WhoHasSpokenMayBeSilent) {
  Inbox server_inbox(1000), client_inbox(1000);
  auto server = *MakeGrpcLink({.listen_address = "127.0.0.1:0",
                               .first_frame_timeout = absl::Milliseconds(500)},
                              server_inbox);
  auto client = *MakeGrpcLink({}, client_inbox);
  const PeerId peer = client->Connect(server->Address(), kTimeout);
  ASSERT_TRUE(client->Send(peer, MakeFrame(1, 0, 0, Buffer())).ok());
  ASSERT_TRUE(server_inbox.Pop(absl::Now() + kTimeout)->frame);
  EXPECT_FALSE(client_inbox.Pop(absl::Now() + absl::Seconds(2)));
  EXPECT_TRUE(client->Send(peer, MakeFrame(1, 1, 0, Buffer())).ok());
  EXPECT_TRUE(server_inbox.Pop(absl::Now() + kTimeout)->frame);
}

}  // namespace
}  // namespace terse
