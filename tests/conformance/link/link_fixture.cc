#include "tests/conformance/link/link_fixture.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/transport/grpc/grpc_link.h"
#include "common/transport/joined_link.h"
#include "common/transport/memory_link.h"
#ifdef TERSE_WITH_MPI
#include <gtest/gtest.h>

#include "common/transport/mpi/mpi_link.h"
#endif

namespace terse {
namespace {

class MemoryWorld final : public LinkWorld {
 public:
  std::string FreshAddress() override {
    return absl::StrCat("endpoint", next_++);
  }
  absl::StatusOr<std::unique_ptr<Link>> Listen(const std::string& address,
                                               FrameSink& sink) override {
    return network_.MakeLink(address, sink);
  }
  std::unique_ptr<Link> MakeConnector(FrameSink& sink) override {
    return *network_.MakeLink("", sink);
  }

 private:
  MemoryNetwork network_;
  int next_ = 0;
};

// Connections to the first address go over one network, to others over another
// one, as those to a server of the same process and to servers elsewhere.
class JoinedWorld final : public LinkWorld {
 public:
  std::string FreshAddress() override {
    return absl::StrCat("endpoint", next_++);
  }
  absl::StatusOr<std::unique_ptr<Link>> Listen(const std::string& address,
                                               FrameSink& sink) override {
    TERSE_ASSIGN_OR_RETURN(auto outer, outer_.MakeLink(address, sink));
    TERSE_ASSIGN_OR_RETURN(auto inner, inner_.MakeLink(address, sink));
    return std::make_unique<JoinedLink>(std::move(outer), std::move(inner), "",
                                        "");
  }
  std::unique_ptr<Link> MakeConnector(FrameSink& sink) override {
    return std::make_unique<JoinedLink>(*outer_.MakeLink("", sink),
                                        *inner_.MakeLink("", sink), "endpoint0",
                                        "endpoint0");
  }

 private:
  MemoryNetwork outer_, inner_;
  int next_ = 0;
};

class GrpcWorld : public LinkWorld {
 public:
  absl::StatusOr<std::unique_ptr<Link>> Listen(const std::string& address,
                                               FrameSink& sink) override {
    return MakeGrpcLink({.listen_address = address}, sink);
  }
  std::unique_ptr<Link> MakeConnector(FrameSink& sink) override {
    return *MakeGrpcLink({}, sink);
  }
};

class GrpcTcpWorld final : public GrpcWorld {
 public:
  // A port the system has given and taken back.
  std::string FreshAddress() override {
    RecordingSink sink;
    return (*MakeGrpcLink({.listen_address = "127.0.0.1:0"}, sink))->Address();
  }
};

class GrpcUnixWorld final : public GrpcWorld {
 public:
  GrpcUnixWorld() {
    static std::atomic<int> worlds{0};
    folder_ = std::filesystem::temp_directory_path() /
              absl::StrCat("terse_link_", getpid(), "_", worlds++);
    std::filesystem::create_directories(folder_);
  }
  ~GrpcUnixWorld() override { std::filesystem::remove_all(folder_); }

  std::string FreshAddress() override {
    return absl::StrCat("unix:", folder_.string(), "/", next_++);
  }

 private:
  std::filesystem::path folder_;
  int next_ = 0;
};

#ifdef TERSE_WITH_MPI
// Endpoints of one process, which talk to their own rank.
class MpiLinkWorld final : public LinkWorld {
 public:
  std::string FreshAddress() override {
    static std::atomic<int> ports{0};
    return absl::StrCat("mpi:", StartMpi()->rank, ":", ++ports);
  }
  absl::StatusOr<std::unique_ptr<Link>> Listen(const std::string& address,
                                               FrameSink& sink) override {
    return MakeMpiLink({.listen_address = address}, sink);
  }
  std::unique_ptr<Link> MakeConnector(FrameSink& sink) override {
    return *MakeMpiLink({}, sink);
  }
};

class MpiEnvironment final : public ::testing::Environment {
 public:
  void TearDown() override { FinishMpi(/*orderly=*/true); }
};
// Owned by GoogleTest.
[[maybe_unused]] const auto* const mpi_environment =
    ::testing::AddGlobalTestEnvironment(new MpiEnvironment);
#endif

}  // namespace

std::vector<LinkDriver> LinkDrivers() {
  return {
#ifdef TERSE_WITH_MPI
      {"mpi", [] { return std::make_unique<MpiLinkWorld>(); }},
#endif
      {"memory", [] { return std::make_unique<MemoryWorld>(); }},
      {"joined", [] { return std::make_unique<JoinedWorld>(); }},
      {"grpc_tcp", [] { return std::make_unique<GrpcTcpWorld>(); }},
      {"grpc_unix", [] { return std::make_unique<GrpcUnixWorld>(); }},
  };
}

void RecordingSink::Enter(PeerId peer) {
  MutexLock lock(mutex_);
  if (!inside_.insert(peer).second) {
    violations_.push_back("two calls at a time for one peer");
  }
  if (peers_[peer].lost) violations_.push_back("a call after OnPeerLost");
  changed_.NotifyAll();
}

void RecordingSink::Leave(PeerId peer) {
  MutexLock lock(mutex_);
  inside_.erase(peer);
  changed_.NotifyAll();
}

absl::Status RecordingSink::OnFrame(PeerId peer, Frame frame) {
  Enter(peer);
  absl::Status status;
  if (handler) {
    status = handler(peer, std::move(frame));
  } else {
    MutexLock lock(mutex_);
    peers_[peer].frames.push_back(std::move(frame));
  }
  Leave(peer);
  return status;
}

void RecordingSink::OnPeerLost(PeerId peer, const absl::Status& reason) {
  Enter(peer);
  {
    MutexLock lock(mutex_);
    peers_[peer].lost = true;
    peers_[peer].reason = reason;
  }
  Leave(peer);
}

bool RecordingSink::Await(
    const std::function<bool(const std::map<PeerId, Peer>&)>& condition) const {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  MutexLock lock(mutex_);
  while (!condition(peers_)) {
    if (!changed_.WaitUntil(mutex_, deadline)) return condition(peers_);
  }
  return true;
}

bool RecordingSink::AwaitFrames(size_t count) const {
  return Await([count](const std::map<PeerId, Peer>& peers) {
    size_t frames = 0;
    for (const auto& [peer, record] : peers) frames += record.frames.size();
    return frames >= count;
  });
}

bool RecordingSink::AwaitLost(PeerId peer) const {
  return Await([peer](const std::map<PeerId, Peer>& peers) {
    const auto found = peers.find(peer);
    return found != peers.end() && found->second.lost;
  });
}

std::map<PeerId, RecordingSink::Peer> RecordingSink::peers() const {
  MutexLock lock(mutex_);
  return peers_;
}

PeerId RecordingSink::only_peer() const {
  MutexLock lock(mutex_);
  TERSE_CHECK(peers_.size() == 1);
  return peers_.begin()->first;
}

size_t RecordingSink::frame_count() const {
  size_t frames = 0;
  for (const auto& [peer, record] : peers()) frames += record.frames.size();
  return frames;
}

std::vector<std::string> RecordingSink::violations() const {
  MutexLock lock(mutex_);
  return violations_;
}

}  // namespace terse
