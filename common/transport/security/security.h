// What protects a job's connections: mutual TLS, or the word that plaintext
// will do.
#ifndef TERSE_COMMON_TRANSPORT_SECURITY_SECURITY_H_
#define TERSE_COMMON_TRANSPORT_SECURITY_SECURITY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace terse {

struct TransportSecurity {
  // A folder with ca.crt, tls.crt and tls.key, named as in a Kubernetes secret;
  // empty: plaintext.
  std::string tls_directory;
  // Plaintext may leave this machine.
  bool insecure = false;
};

// Adds --tls (TERSE_TLS) and --insecure (TERSE_INSECURE).
void AddSecurityOptions(CLI::App& app, TransportSecurity& security);

// What a process is told that this one starts.
std::vector<std::string> SecurityFlags(const TransportSecurity& security);

// Whether only this machine can reach `address`: "unix:PATH", or HOST:PORT with
// localhost or a number of loopback. Other names count as elsewhere, wherever
// they lead.
bool IsLoopback(const std::string& address);

// Whether a port may be opened or dialled at `address`.
// Errors: PermissionDenied (exit code 77; it would be plaintext beyond this
// machine and nobody has allowed that).
absl::Status CheckSecurity(const TransportSecurity& security,
                           const std::string& address);

// Whether the files of a folder belong together and hold now; an empty name is
// no folder and fine.
// Errors: NotFound (exit code 66; a file is missing or cannot be read),
// PermissionDenied (exit code 77; one is no certificate or key, has expired, is
// not signed by ca.crt).
absl::Status CheckTlsFiles(const std::string& directory);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_SECURITY_SECURITY_H_
