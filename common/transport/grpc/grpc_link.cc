#include "common/transport/grpc/grpc_link.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/transport/grpc/address.h"
#include "common/transport/grpc/channel.h"
#include "common/transport/grpc/connection.h"
#include "common/transport/grpc/credentials.h"
#include "common/transport/grpc/known_order.h"
#include "common/transport/grpc/streams.h"

namespace terse {
namespace {

constexpr size_t kConnectionsMax = kWorkersMax + kServersMax;

// Turns calls into connections.
class LinkService final : public grpc::CallbackGenericService {
 public:
  LinkService(std::shared_ptr<GrpcLinkCore> core,
              absl::Duration first_frame_timeout)
      : core_(std::move(core)), first_frame_timeout_(first_frame_timeout) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    order_.TakeOver();
    if (context->method() != kLinkMethod) {
      return RefuseCall({grpc::StatusCode::UNIMPLEMENTED,
                         "a Terse server has no such method"});
    }
    const PeerId peer = NextPeerId();
    auto connection = std::make_shared<GrpcConnection>(
        core_, peer, context->peer(), kUnadmittedPayloadBytesMax);
    {
      MutexLock lock(core_->mutex);
      if (core_->ending) {
        return RefuseCall(
            {grpc::StatusCode::UNAVAILABLE, "the server is stopping"});
      }
      if (core_->connections.size() >= kConnectionsMax) {
        return RefuseCall({grpc::StatusCode::RESOURCE_EXHAUSTED,
                           absl::StrCat("the server has ", kConnectionsMax,
                                        " connections, its limit")});
      }
      core_->connections[peer] = connection;
    }
    return StartServerStream(std::move(connection), context,
                             first_frame_timeout_);
  }

  // No call comes before.
  void BeforeCalls() { order_.HandOver(); }

 private:
  const std::shared_ptr<GrpcLinkCore> core_;
  const absl::Duration first_frame_timeout_;
  KnownOrder order_;
};

class GrpcLink final : public Link {
 public:
  GrpcLink(FrameSink& sink, const GrpcLinkOptions& options)
      : peer_timeout_(options.peer_timeout),
        security_(options.security),
        credentials_(MakeGrpcCredentials(options.security.tls_directory)),
        core_(std::make_shared<GrpcLinkCore>(sink, options.chunk_bytes)),
        service_(core_, options.first_frame_timeout) {}

  ~GrpcLink() override {
    // A sink that ended its own link would wait for itself.
    TERSE_CHECK(!DeliveryScope::Active());
    std::vector<std::shared_ptr<GrpcConnection>> connections;
    {
      MutexLock lock(core_->mutex);
      core_->ending = true;
      for (const auto& [peer, connection] : core_->connections) {
        connections.push_back(connection);
      }
    }
    for (const auto& connection : connections) connection->Abort();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    MutexLock lock(core_->mutex);
    while (!core_->connections.empty() || core_->live > 0) {
      core_->changed.Wait(core_->mutex);
    }
  }

  absl::Status Listen(const std::string& address) {
    if (IsUnixAddress(address) && UnixSocketInUse(address)) {
      return CannotListenError(address);
    }
    grpc::ServerBuilder builder;
    ConfigureServer(peer_timeout_, builder);
    builder.RegisterCallbackGenericService(&service_);
    int port = 0;
    builder.AddListeningPort(address, credentials_.server, &port);
    service_.BeforeCalls();
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) return CannotListenError(address);
    address_ = WithPort(address, port);
    return absl::OkStatus();
  }

  PeerId Connect(const std::string& address, absl::Duration timeout) override {
    ReleaseChannels();
    const PeerId peer = NextPeerId();
    auto channel = MakeChannel(address, credentials_.channel, peer_timeout_);
    auto connection = std::make_shared<GrpcConnection>(core_, peer, address,
                                                       kFramePayloadBytesMax);
    {
      MutexLock lock(core_->mutex);
      core_->connections[peer] = connection;
      channels_.push_back(channel);
    }
    // Where it may not go it ends before anything has been sent.
    const absl::Status allowed = CheckSecurity(security_, address);
    if (!allowed.ok()) connection->FailUnconnected(allowed);
    StartClientStream(std::move(connection), std::move(channel), timeout);
    return peer;
  }

  absl::Status Send(PeerId peer, Frame frame) override {
    const auto connection = core_->Find(peer);
    if (connection == nullptr) return PeerLostError();
    return connection->Send(std::move(frame));
  }

  void Admit(PeerId peer, size_t payload_bytes_max) override {
    if (const auto connection = core_->Find(peer)) {
      connection->Admit(payload_bytes_max);
    }
  }

  void Close(PeerId peer) override {
    if (const auto connection = core_->Find(peer)) connection->Close();
  }

  LinkCounters Counters() const override { return core_->counters.Load(); }

  std::string Address() const override { return address_; }

 private:
  // Releases the channels nothing else refers to any more, unless this may be
  // one of gRPC's own threads.
  void ReleaseChannels() {
    if (DeliveryScope::Active()) return;
    std::vector<std::shared_ptr<grpc::Channel>> released;
    MutexLock lock(core_->mutex);
    std::erase_if(channels_, [&](std::shared_ptr<grpc::Channel>& channel) {
      if (channel.use_count() > 1) return false;
      released.push_back(std::move(channel));
      return true;
    });
  }

  const absl::Duration peer_timeout_;
  const TransportSecurity security_;
  const GrpcCredentials credentials_;
  const std::shared_ptr<GrpcLinkCore> core_;
  LinkService service_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;  // core_->mutex.
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Link>> MakeGrpcLink(
    const GrpcLinkOptions& options, FrameSink& sink) {
  if (options.chunk_bytes == 0 || options.chunk_bytes > kMessageBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk_bytes is ", options.chunk_bytes,
                     ", it must be 1 to ", kMessageBytesMax));
  }
  TERSE_RETURN_IF_ERROR(CheckTlsFiles(options.security.tls_directory));
  if (!options.listen_address.empty()) {
    TERSE_RETURN_IF_ERROR(
        CheckSecurity(options.security, options.listen_address));
  }
  QuietGrpc();
  auto link = std::make_unique<GrpcLink>(sink, options);
  if (!options.listen_address.empty()) {
    TERSE_RETURN_IF_ERROR(link->Listen(options.listen_address));
  }
  return link;
}

}  // namespace terse
