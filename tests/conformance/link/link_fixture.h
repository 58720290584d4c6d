// What a driver brings to the conformance suite, and the sinks it is tested
// with.
#ifndef TERSE_TESTS_CONFORMANCE_LINK_LINK_FIXTURE_H_
#define TERSE_TESTS_CONFORMANCE_LINK_LINK_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/transport/link.h"

namespace terse {

// One world of endpoints that can reach each other. Endpoints end before it.
class LinkWorld {
 public:
  virtual ~LinkWorld() = default;

  // An address of this world that nobody has, for Listen.
  virtual std::string FreshAddress() = 0;
  virtual absl::StatusOr<std::unique_ptr<Link>> Listen(
      const std::string& address, FrameSink& sink) = 0;
  // An endpoint that only connects.
  virtual std::unique_ptr<Link> MakeConnector(FrameSink& sink) = 0;
};

struct LinkDriver {
  std::string name;
  std::function<std::unique_ptr<LinkWorld>()> make_world;
};

// Every driver that is built; a new one is added here.
std::vector<LinkDriver> LinkDrivers();

// Records what a link delivers, and checks the rules every sink may rely on.
class RecordingSink final : public FrameSink {
 public:
  struct Peer {
    std::vector<Frame> frames;
    bool lost = false;
    absl::Status reason;
  };

  absl::Status OnFrame(PeerId peer, Frame frame) override;
  void OnPeerLost(PeerId peer, const absl::Status& reason) override;

  // Waits (at most a minute) until `condition` holds for the peers; whether it
  // does.
  bool Await(const std::function<bool(const std::map<PeerId, Peer>&)>&
                 condition) const;
  bool AwaitFrames(size_t count) const;
  bool AwaitLost(PeerId peer) const;

  std::map<PeerId, Peer> peers() const;
  // Of the only peer there is.
  PeerId only_peer() const;
  size_t frame_count() const;
  // Descriptions of broken rules.
  std::vector<std::string> violations() const;

  // Called with each frame instead of recording it, outside the lock.
  std::function<absl::Status(PeerId, Frame)> handler;

 private:
  void Enter(PeerId peer);
  void Leave(PeerId peer);

  mutable Mutex mutex_;
  mutable CondVar changed_;
  std::map<PeerId, Peer> peers_;
  std::set<PeerId> inside_;
  std::vector<std::string> violations_;
};

}  // namespace terse

#endif  // TERSE_TESTS_CONFORMANCE_LINK_LINK_FIXTURE_H_
