// Links over MPI: addresses are ranks. One thread of the process owns all of
// MPI, so MPI_THREAD_FUNNELED is enough; sinks are called on that thread.
#ifndef TERSE_COMMON_TRANSPORT_MPI_MPI_LINK_H_
#define TERSE_COMMON_TRANSPORT_MPI_MPI_LINK_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/transport/link.h"

namespace terse {

struct MpiWorld {
  int rank = 0;
  int size = 1;
};

// Initialises MPI if that has not been done.
// Errors: FailedPrecondition (somebody else has), Internal.
absl::StatusOr<MpiWorld> StartMpi();

struct MpiLinkOptions {
  // "mpi:RANK" or "mpi:RANK:PORT" of this process; empty: only connects.
  std::string listen_address;
  // A long payload travels in messages of at most this size.
  size_t chunk_bytes = size_t{1} << 20;
};

// Initialises MPI if that has not been done. `sink` must outlive the link.
// Errors: those of StartMpi, InvalidArgument (not an address of this process),
// AlreadyExists (the address is taken).
absl::StatusOr<std::unique_ptr<Link>> MakeMpiLink(const MpiLinkOptions& options,
                                                  FrameSink& sink);

// Ends MPI, if it was started, after the last link. `orderly`: waits (at most
// `timeout`) for all other ranks to do so too, and finalises MPI; else MPI's
// launcher sees that this process has failed and ends the others.
void FinishMpi(bool orderly, absl::Duration timeout = absl::Seconds(10));

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_MPI_LINK_H_
