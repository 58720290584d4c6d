#include "common/observe/role_http.h"

#include "common/base/status.h"
#include "common/observe/page/page.h"
#include "common/wire/role_main.h"
#include "spdlog/spdlog.h"

namespace terse {

absl::StatusOr<std::unique_ptr<HttpServer>> StartRoleHttp(
    const HttpFlags& flags, const TransportSecurity& security,
    const RoleMetrics& metrics, const JobObserver* observer) {
  if (flags.listen.empty()) return nullptr;
  HttpServerOptions options;
  options.listen = flags.listen;
  options.security = security;
  options.token = TokenFromEnvironment();
  options.metrics = [&metrics] { return metrics.Text(); };
  if (observer != nullptr) {
    static const std::string page = LivePage();
    options.page = page;
    options.status = [observer](const StatusQuery& query) {
      return observer->board()
          .Status(query.after_seconds, query.observed_step)
          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    };
  }
  TERSE_ASSIGN_OR_RETURN(std::unique_ptr<HttpServer> server,
                         HttpServer::Start(std::move(options)));
  spdlog::info("http on {}", server->url());
  if (!flags.port_file.empty()) {
    TERSE_RETURN_IF_ERROR(
        WriteFileAtomically(flags.port_file, server->address() + "\n"));
  }
  return server;
}

}  // namespace terse
