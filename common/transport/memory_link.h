// Links between threads of one process: a frame is handed over, never copied.
#ifndef TERSE_COMMON_TRANSPORT_MEMORY_LINK_H_
#define TERSE_COMMON_TRANSPORT_MEMORY_LINK_H_

#include <memory>
#include <string>

#include "common/transport/link.h"

namespace terse {

// The addresses of one process. Thread-safe.
class MemoryNetwork {
 public:
  MemoryNetwork();
  ~MemoryNetwork();

  // An endpoint that delivers to `sink`, on the sender's thread. With a
  // non-empty `address` ("shard0") others can connect to it. `sink` and the
  // network must outlive the link.
  // Errors: AlreadyExists (address taken).
  absl::StatusOr<std::unique_ptr<Link>> MakeLink(std::string address,
                                                 FrameSink& sink);

 private:
  friend class MemoryLink;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_MEMORY_LINK_H_
