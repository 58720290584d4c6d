// `terse tls`: an authority and a certificate for a job.
#ifndef TERSE_DEPLOY_LAUNCH_TLS_H_
#define TERSE_DEPLOY_LAUNCH_TLS_H_

#include <cstdint>
#include <string>

#include "CLI/CLI.hpp"

namespace terse {

struct TlsOptions {
  std::string directory;
  uint32_t days = 90;
};

// Adds `tls` to `app`; parsing fills `options`, which must live as long as
// `app`.
void AddTls(CLI::App& app, TlsOptions& options);

// Returns the exit code and says errors itself.
int RunTls(const TlsOptions& options);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_TLS_H_
