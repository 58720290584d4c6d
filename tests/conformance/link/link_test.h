// What the tests of one behaviour for every link share; what each of them asks
// for is in common/transport/link.h.
#ifndef TERSE_TESTS_CONFORMANCE_LINK_LINK_TEST_H_
#define TERSE_TESTS_CONFORMANCE_LINK_LINK_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/transport/link.h"
#include "tests/conformance/link/link_fixture.h"

namespace terse {

inline constexpr absl::Duration kTimeout = absl::Seconds(30);

// A frame whose payload is a function of `step`.
Frame PatternFrame(size_t bytes, uint64_t step, uint32_t block = 0);

bool Same(const Frame& a, const Frame& b);

// A server and a client of each driver.
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
    EXPECT_THAT(server_sink_.violations(), ::testing::IsEmpty());
    EXPECT_THAT(client_sink_.violations(), ::testing::IsEmpty());
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

}  // namespace terse

#endif  // TERSE_TESTS_CONFORMANCE_LINK_LINK_TEST_H_
