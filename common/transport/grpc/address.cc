#include "common/transport/grpc/address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace terse {
namespace {

// What listening on host and port says, empty if it works.
std::string BindError(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.empty() ? nullptr : host.c_str(),
                               port.c_str(), &hints, &found);
  if (code != 0) return gai_strerror(code);
  std::string error;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (fd < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0) {
    error = std::strerror(errno);
  }
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  return error;
}

}  // namespace

bool IsUnixAddress(const std::string& address) {
  return absl::StartsWith(address, "unix:");
}

std::string WithPort(const std::string& address, int port) {
  const size_t colon = address.rfind(':');
  if (IsUnixAddress(address) || colon == std::string::npos) return address;
  return absl::StrCat(address.substr(0, colon), ":", port);
}

bool UnixSocketInUse(const std::string& address) {
  std::string path = address.substr(std::strlen("unix:"));
  if (absl::StartsWith(path, "//")) path = path.substr(2);
  sockaddr_un target{};
  target.sun_family = AF_UNIX;
  if (path.size() >= sizeof(target.sun_path)) return false;
  std::memcpy(target.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool answered =
      connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)) == 0;
  close(fd);
  return answered;
}

absl::Status CannotListenError(const std::string& address) {
  std::string why;
  const size_t colon = address.rfind(':');
  if (IsUnixAddress(address)) {
    why = UnixSocketInUse(address)
              ? "another server listens there"
              : "the socket cannot be made; check the folder";
  } else if (colon == std::string::npos) {
    why = "it has no port; write host:port, port 0 for any";
  } else {
    std::string host = address.substr(0, colon);
    if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
      host = host.substr(1, host.size() - 2);
    }
    why = BindError(host, address.substr(colon + 1));
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address,
                   why.empty() ? std::string() : absl::StrCat(": ", why)));
}

}  // namespace terse
