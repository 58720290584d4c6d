#include "common/observe/http/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include "common/base/status.h"
#include "common/transport/security/certificates.h"
#include "gtest/gtest.h"

namespace terse {
namespace {

// What the server at 127.0.0.1 answers to these very bytes.
std::string Raw(const std::string& address, const std::string& request) {
  const int port = std::stoi(address.substr(address.rfind(':') + 1));
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in target = {};
  target.sin_family = AF_INET;
  target.sin_port = htons(port);
  target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(
      connect(socket_fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)),
      0);
  EXPECT_EQ(write(socket_fd, request.data(), request.size()),
            ssize_t(request.size()));
  std::string answer;
  char part[4096];
  for (ssize_t n; (n = read(socket_fd, part, sizeof(part))) > 0;) {
    answer.append(part, n);
  }
  close(socket_fd);
  return answer;
}

std::string Request(const std::string& path, const std::string& headers) {
  return "GET " + path + " HTTP/1.1\r\nConnection: close\r\n" + headers +
         "\r\n";
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() {
    HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.token = "secret";
    options.metrics = [] { return "a_metric 1\n"; };
    options.status = [](const StatusQuery& query) {
      return std::to_string(query.observed_step);
    };
    options.page = "the page";
    server_ = *HttpServer::Start(std::move(options));
  }

  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesHealthMetricsAndThePage) {
  const std::string& address = server_->address();
  EXPECT_EQ(*HttpGet(address, "/healthz", ""), "ok\n");
  EXPECT_EQ(*HttpGet(address, "/readyz", ""), "ok\n");
  EXPECT_EQ(*HttpGet(address, "/metrics", ""), "a_metric 1\n");
  EXPECT_EQ(*HttpGet(address, "/", ""), "the page");
  EXPECT_EQ(*HttpGet(address, "/api/status?after=x&observed=7", ""), "7");
  EXPECT_EQ(ExitCodeOf(HttpGet(address, "/none", "").status()),
            ExitCode::kInputMissing);
}

// A name that somebody else lets point to loopback is not loopback's.
TEST_F(HttpServerTest, AForeignNameNeedsTheToken) {
  const std::string host = "Host: evil.example\r\n";
  for (const char* path : {"/", "/api/status"}) {
    EXPECT_NE(Raw(server_->address(), Request(path, host)).find(" 401 "),
              std::string::npos);
  }
  EXPECT_NE(Raw(server_->address(),
                Request("/", host + "Authorization: Bearer wrong\r\n"))
                .find(" 401 "),
            std::string::npos);
  EXPECT_NE(Raw(server_->address(),
                Request("/", host + "Authorization: Bearer secret\r\n"))
                .find("the page"),
            std::string::npos);
  EXPECT_NE(Raw(server_->address(),
                Request("/", host + "Cookie: a=b; terse_token=secret\r\n"))
                .find("the page"),
            std::string::npos);
  // Health is for anybody.
  EXPECT_NE(Raw(server_->address(), Request("/healthz", host)).find(" 200 "),
            std::string::npos);
}

TEST_F(HttpServerTest, ATokenInTheAddressBecomesACookie) {
  const std::string answer = Raw(
      server_->address(), Request("/?token=secret", "Host: evil.example\r\n"));
  EXPECT_NE(answer.find(" 302 "), std::string::npos);
  EXPECT_NE(answer.find("HttpOnly"), std::string::npos);
  EXPECT_EQ(answer.find("the page"), std::string::npos);
}

TEST_F(HttpServerTest, TheEndWaitsForAScrape) {
  const std::atomic<int> stop = 0;
  std::atomic<bool> scraped = false;
  std::thread end([&] {
    server_->AwaitScrape(absl::InfiniteDuration(), stop);
    scraped = true;
  });
  while (!scraped) {
    ASSERT_TRUE(HttpGet(server_->address(), "/metrics", "").ok());
  }
  end.join();
}

TEST_F(HttpServerTest, NobodyWaitsForAScrapeForEver) {
  std::atomic<int> stop = 0;
  // One before does not count.
  ASSERT_TRUE(HttpGet(server_->address(), "/metrics", "").ok());
  server_->AwaitScrape(absl::Milliseconds(1), stop);
  stop = SIGTERM;
  server_->AwaitScrape(absl::InfiniteDuration(), stop);
}

TEST_F(HttpServerTest, NonsenseIsNoHarm) {
  Raw(server_->address(), "\x16\x03\x01 nonsense\r\n\r\n");
  EXPECT_EQ(*HttpGet(server_->address(), "/healthz", ""), "ok\n");
}

TEST_F(HttpServerTest, ATakenAddressIsNamed) {
  HttpServerOptions options;
  options.listen = server_->address();
  const auto second = HttpServer::Start(std::move(options));
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(server_->address()),
            std::string::npos);
}

// HTTPS: the client asks for a certificate of its authority, by any name.
TEST(HttpServerTlsTest, OnlyTheJobsServerIsAsked) {
  const std::string folder =
      testing::TempDir() + "/terse-https-" + std::to_string(getpid());
  for (const char* name : {"/job", "/other"}) {
    ASSERT_TRUE(MakeCertificates(folder + name, absl::Hours(1)).ok());
  }
  HttpServerOptions options;
  options.listen = "127.0.0.1:0";
  options.security.tls_directory = folder + "/job";
  const auto server = *HttpServer::Start(std::move(options));
  EXPECT_EQ(server->url(), "https://" + server->address());
  const auto get = [&](const TransportSecurity& security) {
    return HttpGet(server->address(), "/healthz", "", security);
  };
  EXPECT_EQ(get({.tls_directory = folder + "/job"}).value_or(""), "ok\n");
  EXPECT_EQ(ExitCodeOf(get({.tls_directory = folder + "/other"}).status()),
            ExitCode::kPeerNeverCame);
  EXPECT_FALSE(get({}).ok());
  // A renewed certificate is shown at once.
  std::filesystem::copy(folder + "/other", folder + "/job",
                        std::filesystem::copy_options::overwrite_existing |
                            std::filesystem::copy_options::recursive);
  const auto renewed = get({.tls_directory = folder + "/other"});
  EXPECT_EQ(renewed.value_or(std::string(renewed.status().message())), "ok\n");
  std::filesystem::remove_all(folder);
}

TEST(HttpServerErrorTest, PlaintextIsForThisMachine) {
  HttpServerOptions options;
  options.listen = "0.0.0.0:0";
  EXPECT_EQ(ExitCodeOf(HttpServer::Start(std::move(options)).status()),
            ExitCode::kNotAllowed);
  EXPECT_EQ(ExitCodeOf(HttpGet("node-a:9100", "/", "secret").status()),
            ExitCode::kNotAllowed);
}

TEST(HttpServerErrorTest, WhatIsNoAddressIsTheCommandLinesFault) {
  for (const char* address : {"", "9100", ":9100", "host:port", "a:70000"}) {
    HttpServerOptions options;
    options.listen = address;
    EXPECT_EQ(ExitCodeOf(HttpServer::Start(std::move(options)).status()),
              ExitCode::kBadCommandLine)
        << address;
  }
  EXPECT_EQ(ExitCodeOf(HttpGet("127.0.0.1:1", "/", "").status()),
            ExitCode::kPeerNeverCame);
}

}  // namespace
}  // namespace terse
