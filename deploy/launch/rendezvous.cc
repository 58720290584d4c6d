#include "deploy/launch/rendezvous.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/transport/security/security.h"

namespace terse {
namespace {

constexpr absl::Duration kRetryAfter = absl::Milliseconds(500);

struct HostPort {
  std::string host;  // Without brackets.
  std::string port;
  bool brackets = false;
};

HostPort Split(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {.host = address, .port = "0"};
  HostPort parts{.host = address.substr(0, colon),
                 .port = address.substr(colon + 1)};
  if (parts.host.starts_with('[') && parts.host.ends_with(']')) {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
    parts.brackets = true;
  }
  return parts;
}

// The address a packet to `target` would leave from; empty: `error` says why.
std::string SourceTowards(const HostPort& target, std::string& error) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int code =
      getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &found);
  if (code != 0) {
    error = gai_strerror(code);
    return "";
  }
  char host[NI_MAXHOST] = "";
  const int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_storage own{};
  socklen_t bytes = sizeof(own);
  auto* generic = reinterpret_cast<sockaddr*>(&own);
  // Nothing is sent: connecting a datagram socket only looks up the route.
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0 ||
      getsockname(fd, generic, &bytes) != 0 ||
      getnameinfo(generic, bytes, host, sizeof(host), nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    error = std::strerror(errno);
    host[0] = 0;
  }
  const bool v6 = found->ai_family == AF_INET6;
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  if (host[0] == 0 || !v6) return host;
  return absl::StrCat("[", host, "]");
}

}  // namespace

std::string ListenAddress(const std::string& coordinator) {
  if (IsLoopback(coordinator)) return coordinator;
  const HostPort parts = Split(coordinator);
  return absl::StrCat(parts.brackets ? "[::]:" : "0.0.0.0:", parts.port);
}

absl::StatusOr<std::string> OwnHostTowards(const std::string& coordinator,
                                           absl::Duration timeout) {
  const HostPort target = Split(coordinator);
  const absl::Time deadline = absl::Now() + timeout;
  std::string error;
  while (true) {
    std::string host = SourceTowards(target, error);
    if (!host.empty()) return host;
    if (absl::Now() + kRetryAfter > deadline) break;
    absl::SleepFor(kRetryAfter);
  }
  return WithExitCode(absl::UnavailableError(absl::StrCat(
                          "no way to server 0 at ", coordinator, ": ", error,
                          "; check the name and the network")),
                      ExitCode::kPeerNeverCame);
}

}  // namespace terse
