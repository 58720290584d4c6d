// A link as a wire of limited rate would make it, without root or tc.
#ifndef TERSE_DEPLOY_COMM_PACED_LINK_H_
#define TERSE_DEPLOY_COMM_PACED_LINK_H_

#include <deque>
#include <memory>
#include <thread>

#include "common/base/mutex.h"
#include "common/transport/link.h"

namespace terse {

// When bytes that come now are through a wire of a rate: one after the other.
class Wire {
 public:
  explicit Wire(double bits_per_second) : bits_per_second_(bits_per_second) {}
  absl::Time Through(absl::Time now, size_t bytes);

 private:
  const double bits_per_second_;
  absl::Time free_at_ = absl::InfinitePast();
};

// Passes frames on when they are through the receiver's wire.
class PacedSink final : public FrameSink {
 public:
  PacedSink(double bits_per_second, FrameSink& sink)
      : sink_(sink), wire_(bits_per_second) {}
  absl::Status OnFrame(PeerId peer, Frame frame) override;
  void OnPeerLost(PeerId peer, const absl::Status& reason) override {
    sink_.OnPeerLost(peer, reason);
  }

 private:
  FrameSink& sink_;
  Mutex mutex_;
  Wire wire_ ABSL_GUARDED_BY(mutex_);
};

// Sends frames when they are through the sender's wire.
class PacedLink final : public Link {
 public:
  PacedLink(double bits_per_second, std::unique_ptr<Link> link);
  ~PacedLink() override;

  PeerId Connect(const std::string& address, absl::Duration timeout) override {
    return link_->Connect(address, timeout);
  }
  absl::Status Send(PeerId peer, Frame frame) override;
  void Admit(PeerId peer, size_t payload_bytes_max) override {
    link_->Admit(peer, payload_bytes_max);
  }
  void Close(PeerId peer) override { link_->Close(peer); }
  LinkCounters Counters() const override { return link_->Counters(); }
  std::string Address() const override { return link_->Address(); }

 private:
  struct Queued {
    PeerId peer;
    Frame frame;
    absl::Time due;
  };
  void Run();

  const std::unique_ptr<Link> link_;
  Mutex mutex_;
  CondVar changed_;
  Wire wire_ ABSL_GUARDED_BY(mutex_);
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace terse

#endif  // TERSE_DEPLOY_COMM_PACED_LINK_H_
