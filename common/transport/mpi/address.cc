#include "common/transport/mpi/address.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace terse {

absl::StatusOr<MpiAddress> ParseMpiAddress(const std::string& address) {
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  MpiAddress parsed;
  if (parts.size() < 2 || parts.size() > 3 || parts[0] != "mpi" ||
      !absl::SimpleAtoi(parts[1], &parsed.rank) || parsed.rank < 0 ||
      (parts.size() == 3 && !absl::SimpleAtoi(parts[2], &parsed.port))) {
    return absl::InvalidArgumentError(absl::StrCat(
        address, " is no address of an MPI process; write mpi:RANK"));
  }
  return parsed;
}

std::string FormatMpiAddress(const MpiAddress& address) {
  const std::string rank = absl::StrCat("mpi:", address.rank);
  return address.port == 0 ? rank : absl::StrCat(rank, ":", address.port);
}

}  // namespace terse
