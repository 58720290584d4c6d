// An authority for one job or one group of people, and certificates of it.
#ifndef TERSE_COMMON_TRANSPORT_SECURITY_CERTIFICATES_H_
#define TERSE_COMMON_TRANSPORT_SECURITY_CERTIFICATES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace terse {

// Writes ca.crt, tls.crt and tls.key into `directory`, made if need be, and
// ca.key, which only signs and need not leave the machine it was made on. An
// authority that lies there already is kept: then this renews the certificate.
// Keys are of the curve P-256 and readable by their owner alone. The
// certificate, for servers and clients alike, holds for `validity` from now.
// Errors: Unavailable (exit code 74; a file cannot be written),
// PermissionDenied (exit code 77; what lies there is no authority).
absl::Status MakeCertificates(const std::string& directory,
                              absl::Duration validity);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_SECURITY_CERTIFICATES_H_
