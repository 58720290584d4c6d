// Addresses of MPI links: "mpi:RANK", or "mpi:RANK:PORT" where a process has
// several links that can be connected to. A port is just a number.
#ifndef TERSE_COMMON_TRANSPORT_MPI_ADDRESS_H_
#define TERSE_COMMON_TRANSPORT_MPI_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace terse {

struct MpiAddress {
  int rank = 0;
  uint32_t port = 0;
};

// Errors: InvalidArgument.
absl::StatusOr<MpiAddress> ParseMpiAddress(const std::string& address);

std::string FormatMpiAddress(const MpiAddress& address);

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_ADDRESS_H_
