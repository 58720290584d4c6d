// The HTTP port of a role: health, metrics, and of the coordinator the page.
#ifndef TERSE_COMMON_OBSERVE_HTTP_HTTP_SERVER_H_
#define TERSE_COMMON_OBSERVE_HTTP_HTTP_SERVER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/transport/security/security.h"

namespace terse {

// What the page has already: rows until these seconds, and the observation of
// this step; see StatusBoard.
struct StatusQuery {
  double after_seconds = -1;
  int64_t observed_step = -1;
};

// Functions are called from the server's threads.
struct HttpServerOptions {
  std::string listen;  // HOST:PORT, port 0 for any.
  // With --tls the port speaks HTTPS, with the certificate that lies there at
  // the time; it asks for none: kubelets, Prometheus and browsers have none.
  TransportSecurity security;
  // The page is for whoever comes over loopback by a loopback name, or brings
  // this token (Authorization: Bearer, or ?token= once, which sets a cookie).
  std::string token;
  std::function<std::string()> metrics;
  // JSON; absent: there is no page.
  std::function<std::string(const StatusQuery&)> status;
  std::string_view page;  // HTML; must outlive the server.
};

// Serves /healthz and /readyz (200 while the process answers; it is started
// when the role is ready), /metrics (both for anybody), / and /api/status.
class HttpServer {
 public:
  // Errors: Unavailable (exit code 69; the address cannot be listened on),
  // InvalidArgument (exit code 2; it is none), those of CheckSecurity and
  // CheckTlsFiles.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      HttpServerOptions options);
  // Waits for requests under way.
  ~HttpServer();

  // "127.0.0.1:41873".
  const std::string& address() const;
  // "http://127.0.0.1:41873", or https.
  std::string url() const;

  // Returns when somebody has asked for /metrics since the call, at `stop`, or
  // after `at_most`: the last values of a job are of use to those only who have
  // seen them.
  void AwaitScrape(absl::Duration at_most, const std::atomic<int>& stop);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

// GET http://`address``path`, with --tls https, with the token where it is not
// empty. A server of HTTPS must have a certificate of ca.crt, whatever its
// name. Errors: Unavailable (exit code 69; nobody answers, or not as --tls
// asks), PermissionDenied (exit code 77), NotFound (exit code 66).
absl::StatusOr<std::string> HttpGet(const std::string& address,
                                    const std::string& path,
                                    const std::string& token,
                                    const TransportSecurity& security = {});

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_HTTP_HTTP_SERVER_H_
