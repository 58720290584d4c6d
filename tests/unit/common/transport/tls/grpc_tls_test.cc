// Mutual TLS of the gRPC link, with certificates made for the test, and with
// clients that are not Terse.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/transport/grpc/grpc_link.h"
#include "common/transport/inbox.h"
#include "common/transport/security/certificates.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kTimeout = absl::Seconds(60);
// Until a connection that is refused is given up.
constexpr absl::Duration kRefused = absl::Seconds(2);

int ConnectTo(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in target = {};
  target.sin_family = AF_INET;
  target.sin_port = htons(std::stoi(address.substr(address.rfind(':') + 1)));
  target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)),
            0);
  return fd;
}

// What a server says to somebody with the certificate of a folder (none:
// empty): "" if it lets them in, else the alert.
std::string Handshake(const std::string& address, const std::string& folder) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  if (!folder.empty()) {
    SSL_CTX_use_certificate_file(context, (folder + "/tls.crt").c_str(),
                                 SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context, (folder + "/tls.key").c_str(),
                                SSL_FILETYPE_PEM);
  }
  const int fd = ConnectTo(address);
  SSL* const ssl = SSL_new(context);
  const unsigned char alpn[] = "\2h2";
  SSL_set_alpn_protos(ssl, alpn, 3);
  SSL_set_fd(ssl, fd);
  ERR_clear_error();
  char answer[64];
  // The word on our certificate comes after the handshake, or HTTP/2's first
  // frame.
  const bool in =
      SSL_connect(ssl) == 1 && SSL_read(ssl, answer, sizeof(answer)) > 0;
  std::string alert;
  if (!in) {
    const char* reason = ERR_reason_error_string(ERR_get_error());
    alert = reason != nullptr ? reason : "closed";
  }
  SSL_free(ssl);
  SSL_CTX_free(context);
  close(fd);
  return alert;
}

class GrpcTlsTest : public testing::Test {
 protected:
  GrpcTlsTest()
      : folder_((fs::path(testing::TempDir()) /
                 absl::StrCat("terse-tls-", getpid()))
                    .string()) {
    fs::remove_all(folder_);
    for (const char* name : {"job", "other"}) Make(name, absl::Hours(1));
  }
  ~GrpcTlsTest() override { fs::remove_all(folder_); }

  std::string Folder(const std::string& name) const {
    return folder_ + "/" + name;
  }
  void Make(const std::string& name, absl::Duration validity) const {
    const absl::Status made = MakeCertificates(Folder(name), validity);
    ASSERT_TRUE(made.ok()) << made;
  }
  std::unique_ptr<Link> Server(const std::string& name, Inbox& inbox,
                               const std::string& address = "127.0.0.1:0") {
    auto server = MakeGrpcLink({.listen_address = address,
                                .security = {.tls_directory = Folder(name)}},
                               inbox);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  // Whether a link with the files of `tls` gets a frame to `server`.
  static bool Reaches(Link& server, Inbox& server_inbox, const std::string& tls,
                      absl::Duration timeout) {
    Inbox inbox(1 << 20);
    auto client = MakeGrpcLink({.security = {.tls_directory = tls}}, inbox);
    EXPECT_TRUE(client.ok()) << client.status();
    const PeerId peer = (*client)->Connect(server.Address(), timeout);
    EXPECT_TRUE(
        (*client)
            ->Send(peer, MakeFrame(1, 2, 3, Buffer::CopyOf(std::string("x"))))
            .ok());
    // Either the frame there or the loss here; the loss comes in `timeout`.
    while (true) {
      const auto event = server_inbox.Pop(absl::Now() + absl::Milliseconds(50));
      if (event && event->frame) return event->frame->payload.text() == "x";
      const auto lost = inbox.Pop(absl::Now() + absl::Milliseconds(50));
      if (lost && !lost->frame) return false;
    }
  }

  const std::string folder_;
};

TEST_F(GrpcTlsTest, OnlyTheJobsCertificatesAreAdmitted) {
  Inbox inbox(1 << 20);
  const auto server = Server("job", inbox);
  EXPECT_TRUE(Reaches(*server, inbox, Folder("job"), kTimeout));
  EXPECT_FALSE(Reaches(*server, inbox, Folder("other"), kRefused));
  // In plaintext.
  EXPECT_FALSE(Reaches(*server, inbox, "", kRefused));
}

TEST_F(GrpcTlsTest, OverAUnixSocketToo) {
  Inbox inbox(1 << 20);
  const auto server = Server("job", inbox, "unix:" + folder_ + "/socket");
  EXPECT_TRUE(Reaches(*server, inbox, Folder("job"), kTimeout));
  EXPECT_FALSE(Reaches(*server, inbox, Folder("other"), kRefused));
}

// Those that do not look at their own files first. (The alert that says why may
// be overtaken by the end of the connection.)
TEST_F(GrpcTlsTest, NobodyElseGetsThroughTheHandshake) {
  Inbox inbox(1 << 20);
  const auto server = Server("job", inbox);
  EXPECT_EQ(Handshake(server->Address(), Folder("job")), "");
  EXPECT_NE(Handshake(server->Address(), ""), "");
  EXPECT_NE(Handshake(server->Address(), Folder("other")), "");
  fs::copy(Folder("job"), Folder("old"));
  Make("old", -absl::Hours(1));
  EXPECT_NE(Handshake(server->Address(), Folder("old")), "");
  Make("old", absl::Hours(1));
  EXPECT_EQ(Handshake(server->Address(), Folder("old")), "");
}

// Nor does a client talk to whoever has taken the server's address.
TEST_F(GrpcTlsTest, AClientRefusesAnotherServer) {
  Inbox inbox(1 << 20);
  const auto impostor = Server("other", inbox);
  EXPECT_FALSE(Reaches(*impostor, inbox, Folder("job"), kRefused));
}

TEST_F(GrpcTlsTest, FilesAreReadAgain) {
  Inbox inbox(1 << 20);
  const auto server = Server("job", inbox);
  ASSERT_TRUE(Reaches(*server, inbox, Folder("job"), kTimeout));
  // Another authority takes over, for the server and a client that is there.
  fs::copy(Folder("other"), Folder("job"),
           fs::copy_options::overwrite_existing | fs::copy_options::recursive);
  const absl::Time deadline = absl::Now() + kTimeout;
  while (!Handshake(server->Address(), Folder("other")).empty() &&
         absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_TRUE(Reaches(*server, inbox, Folder("other"), kTimeout));
}

TEST_F(GrpcTlsTest, BadFilesAndPlaintextAreRefusedAtOnce) {
  Inbox inbox(1000);
  fs::remove(Folder("job") + "/tls.key");
  EXPECT_EQ(
      ExitCodeOf(
          MakeGrpcLink({.security = {.tls_directory = Folder("job")}}, inbox)
              .status()),
      ExitCode::kInputMissing);
  const auto open = MakeGrpcLink({.listen_address = "0.0.0.0:0"}, inbox);
  EXPECT_EQ(ExitCodeOf(open.status()), ExitCode::kNotAllowed);
  EXPECT_TRUE(MakeGrpcLink({.listen_address = "0.0.0.0:0",
                            .security = {.insecure = true}},
                           inbox)
                  .ok());
}

TEST_F(GrpcTlsTest, PlaintextDoesNotLeaveTheMachine) {
  Inbox inbox(1000);
  const auto link = MakeGrpcLink({}, inbox);
  (*link)->Connect("192.0.2.1:7000", kTimeout);
  const auto lost = inbox.Pop(absl::Now() + kTimeout);
  ASSERT_TRUE(lost && !lost->frame);
  EXPECT_EQ(ExitCodeOf(lost->reason), ExitCode::kNotAllowed) << lost->reason;
}

}  // namespace
}  // namespace terse
