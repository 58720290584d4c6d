// The HTTP port that a role opens when it is told to (--http).
#ifndef TERSE_COMMON_OBSERVE_ROLE_HTTP_H_
#define TERSE_COMMON_OBSERVE_ROLE_HTTP_H_

#include <memory>
#include <string>

#include "common/observe/http/http_server.h"
#include "common/observe/job_observer.h"
#include "common/observe/prometheus/role_metrics.h"

namespace terse {

struct HttpFlags {
  std::string listen;     // HOST:PORT; empty: no port.
  std::string port_file;  // Where the address is written; empty: nowhere.
  // How long a coordinator that has ended waits for a last scrape.
  double linger_seconds = 0;
};

// Opens the port; null without an address. `observer`: of the coordinator,
// which has the page; else null. `metrics` and `observer` must outlive the
// server. Errors: those of HttpServer::Start; Unavailable (exit code 74).
absl::StatusOr<std::unique_ptr<HttpServer>> StartRoleHttp(
    const HttpFlags& flags, const TransportSecurity& security,
    const RoleMetrics& metrics, const JobObserver* observer);

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_ROLE_HTTP_H_
