// Every call of MPI there is. All methods are to be called on one thread, the
// one that called Init; so MPI needs no more than MPI_THREAD_FUNNELED.
#ifndef TERSE_COMMON_TRANSPORT_MPI_WIRE_H_
#define TERSE_COMMON_TRANSPORT_MPI_WIRE_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/transport/mpi/envelope.h"

namespace terse {

struct MpiMessage {
  int rank = 0;                 // Where it goes.
  std::vector<std::byte> head;  // An envelope and what stands behind it.
  Buffer payload;               // Keeps `data`.
  std::span<const std::byte> data;
  uint64_t connection = 0;  // For OnSent.
};

class MpiWireHandler {
 public:
  virtual ~MpiWireHandler() = default;

  virtual void OnReceived(int rank, const Envelope& envelope,
                          std::span<const std::byte> copied,
                          std::span<const std::byte> data) = 0;
  virtual void OnSent(uint64_t connection) = 0;
  // No message to or from `rank` can be relied on any more; -1: of any rank.
  virtual void OnBroken(int rank, const absl::Status& why) = 0;
};

// Data messages announced by a peer are not longer.
inline constexpr size_t kMpiDataBytesMax = size_t{64} << 20;

class MpiWire {
 public:
  // Initialises MPI, which a process can do once.
  // Errors: FailedPrecondition (MPI was in use before), Internal.
  static absl::StatusOr<std::unique_ptr<MpiWire>> Init();
  virtual ~MpiWire() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Starts to send; messages to one rank arrive in order.
  virtual void Send(MpiMessage message) = 0;

  // Moves on what is under way. Returns whether anything has happened.
  virtual bool Poll(MpiWireHandler& handler) = 0;

  // No message is on its way out or half received.
  virtual bool idle() const = 0;

  // Whether all ranks have asked this by now. Until they have, they keep taking
  // what others send: a long message to a rank in MPI_Finalize never ends.
  virtual bool AllLeave() = 0;

  // Waits for all ranks to come here.
  virtual void Finalize() = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MPI_WIRE_H_
