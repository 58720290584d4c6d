// Where the processes of a job meet over TCP.
#ifndef TERSE_DEPLOY_LAUNCH_RENDEZVOUS_H_
#define TERSE_DEPLOY_LAUNCH_RENDEZVOUS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace terse {

// What server 0 listens on so that others find it at `coordinator`: its port on
// every interface, because the name may be that of a service or of another one;
// on loopback just there.
std::string ListenAddress(const std::string& coordinator);

// This machine's own address, as hosts on the way to `coordinator` see it; an
// IPv6 address in brackets. Names that do not resolve yet are tried again until
// `timeout`.
// Errors: Unavailable (exit code 69; the name does not resolve, no route).
absl::StatusOr<std::string> OwnHostTowards(const std::string& coordinator,
                                           absl::Duration timeout);

}  // namespace terse

#endif  // TERSE_DEPLOY_LAUNCH_RENDEZVOUS_H_
