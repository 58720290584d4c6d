#include "deploy/launch/tls.h"

#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/transport/security/certificates.h"

namespace terse {

void AddTls(CLI::App& app, TlsOptions& options) {
  CLI::App& tls = *app.add_subcommand(
      "tls",
      "Makes certificates for --tls: ca.crt, tls.crt and tls.key; renews them "
      "where ca.key lies");
  tls.add_option("directory", options.directory, "Where they go")
      ->required()
      ->type_name("DIR");
  tls.add_option("--days", options.days, "How long the certificate holds")
      ->check(CLI::Range(1u, 3650u))
      ->capture_default_str();
}

int RunTls(const TlsOptions& options) {
  const absl::Status status =
      MakeCertificates(options.directory, absl::Hours(24) * options.days);
  if (!status.ok()) {
    absl::FPrintF(stderr, "terse: %s\n", status.message());
    return int(ExitCodeOf(status));
  }
  absl::FPrintF(stderr,
                "terse: %s has ca.crt, tls.crt and tls.key for --tls on every "
                "machine, and ca.key, which stays here\n",
                options.directory);
  return 0;
}

}  // namespace terse
