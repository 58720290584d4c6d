// A link to other processes and to one endpoint of this one: a worker's and a
// server's that share a process hand each other frames without a wire.
#ifndef TERSE_COMMON_TRANSPORT_JOINED_LINK_H_
#define TERSE_COMMON_TRANSPORT_JOINED_LINK_H_

#include <atomic>
#include <memory>
#include <string>

#include "common/transport/link.h"

namespace terse {

class JoinedLink final : public Link {
 public:
  // Connections to `beside`, the address that the other endpoint has for other
  // processes, go over `inner` to `inner_address`; all others over `outer`.
  // Both deliver to the same sink.
  JoinedLink(std::unique_ptr<Link> outer, std::unique_ptr<Link> inner,
             std::string beside, std::string inner_address);
  ~JoinedLink() override;

  PeerId Connect(const std::string& address, absl::Duration timeout) override;
  absl::Status Send(PeerId peer, Frame frame) override;
  void Admit(PeerId peer, size_t payload_bytes_max) override;
  void Close(PeerId peer) override;
  LinkCounters Counters() const override;  // Of both.
  std::string Address() const override { return outer_->Address(); }

 private:
  // Calls `use` with both links; not once they end.
  template <typename Use>
  void With(const Use& use);

  std::unique_ptr<Link> outer_;
  std::unique_ptr<Link> inner_;
  const std::string beside_;
  const std::string inner_address_;
  // One link's sink may use the other while that ends.
  std::atomic<bool> ending_{false};
  std::atomic<int> users_{0};
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_JOINED_LINK_H_
