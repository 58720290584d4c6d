#include "common/transport/grpc/streams.h"

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/grpc/known_order.h"

namespace terse {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{100};
// A peer that does not take its status is cut off.
constexpr std::chrono::seconds kTellWithin{5};

using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

// Makes attempts until one is answered.
class Connector : public std::enable_shared_from_this<Connector> {
 public:
  Connector(std::shared_ptr<GrpcConnection> connection,
            std::shared_ptr<grpc::Channel> channel, absl::Duration timeout)
      : connection_(std::move(connection)),
        channel_(std::move(channel)),
        stub_(channel_),
        timeout_(timeout) {}

  void Start();
  void Attempt();
  void OnConnected();
  // Of the attempt; it is the last, or another one follows.
  void OnDone(const grpc::Status& status);

  Stub& stub() { return stub_; }
  GrpcConnection& connection() { return *connection_; }

 private:
  absl::Status TimeoutError() const;

  const std::shared_ptr<GrpcConnection> connection_;
  const std::shared_ptr<grpc::Channel> channel_;
  Stub stub_;
  const absl::Duration timeout_;
  grpc::Alarm timeout_alarm_;
  grpc::Alarm retry_alarm_;
};

class ClientStream final
    : public GrpcStream,
      public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit ClientStream(std::shared_ptr<Connector> connector)
      : connector_(std::move(connector)) {}

  void Start(std::shared_ptr<ClientStream> self) {
    self_ = self;
    connector_->stub().PrepareBidiStreamingCall(&context_, kLinkMethod, {},
                                                this);
    // Writes start outside of reactions; the call must not end between them,
    // nor before the connection has this stream, which it would keep for ever.
    AddMultipleHolds(2);
    order_.Begin();
    order_.BeginRead();
    StartRead(&incoming_);
    StartCall();
    connector_->connection().OnStarted(std::move(self));
    RemoveHold();
  }

  void Write(const grpc::ByteBuffer* message) override {
    StartWrite(message, grpc::WriteOptions().set_no_compression());
  }

  void End(const grpc::Status&) override {
    if (ended_.exchange(true)) return;
    StartWritesDone();
    RemoveHold();
  }

  void Cancel() override { context_.TryCancel(); }

  bool ends_call() const override { return false; }

  void OnReadInitialMetadataDone(bool ok) override {
    const KnownCallOrder::Reaction reaction(order_);
    if (!ok) {
      if (!ended_.exchange(true)) RemoveHold();
      return;
    }
    connector_->OnConnected();
    answered_ = true;
    if (reads_over_) connector_->connection().OnReadsOver();
  }

  void OnReadDone(bool ok) override {
    const KnownCallOrder::Reaction reaction(order_);
    order_.TakeRead();
    if (ok) {
      connector_->connection().OnMessage(incoming_);
      incoming_.Clear();
      order_.BeginRead();
      StartRead(&incoming_);
      return;
    }
    // Before the answer the connection lives on, with the next attempt.
    reads_over_ = true;
    if (answered_) connector_->connection().OnReadsOver();
  }

  void OnWriteDone(bool ok) override {
    const KnownCallOrder::Reaction reaction(order_);
    connector_->connection().OnWriteDone(ok);
  }

  void OnDone(const grpc::Status& status) override {
    order_.TakeEnd();
    const auto self = std::move(self_);
    connector_->OnDone(status);
  }

 private:
  const std::shared_ptr<Connector> connector_;
  std::shared_ptr<ClientStream> self_;  // Until OnDone.
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> answered_{false};
  std::atomic<bool> reads_over_{false};
  KnownCallOrder order_;
};

void Connector::Start() {
  // The lambda gives up its reference when it runs, which it always does:
  // otherwise it and the alarm would keep each other.
  timeout_alarm_.Set(
      absl::ToChronoTime(absl::Now() +
                         std::min(timeout_, absl::Hours(24 * 365))),
      [self = shared_from_this()](bool expired) mutable {
        const auto connector = std::move(self);
        if (!expired) return;
        connector->connection_->FailUnconnected(connector->TimeoutError());
      });
  Attempt();
}

void Connector::Attempt() {
  auto stream = GrpcLinkCore::Track(connection_->core(),
                                    new ClientStream(shared_from_this()));
  ClientStream* started = stream.get();
  started->Start(std::move(stream));
}

void Connector::OnConnected() {
  timeout_alarm_.Cancel();
  connection_->OnConnected();
}

absl::Status Connector::TimeoutError() const {
  return absl::UnavailableError(
      absl::StrCat(connection_->name(), " could not be reached within ",
                   absl::FormatDuration(timeout_),
                   ": check the address, and that the server runs there"));
}

void Connector::OnDone(const grpc::Status& status) {
  // Other codes come from somebody who answered, and would again.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      connection_->OnAttemptFailed()) {
    retry_alarm_.Set(std::chrono::system_clock::now() + kRetryAfter,
                     [self = shared_from_this()](bool) mutable {
                       std::exchange(self, nullptr)->Attempt();
                     });
    return;
  }
  timeout_alarm_.Cancel();
  connection_->OnStreamDone(status);
}

class ServerStream final : public GrpcStream,
                           public grpc::ServerGenericBidiReactor {
 public:
  ServerStream(std::shared_ptr<GrpcConnection> connection,
               grpc::GenericCallbackServerContext* context)
      : connection_(std::move(connection)), context_(context) {}

  void Start(std::shared_ptr<ServerStream> self) {
    self_ = self;
    order_.Begin();
    order_.BeginRead();
    // Tells the client that it has been answered.
    StartSendInitialMetadata();
    StartRead(&incoming_);
    const auto connection = connection_;
    connection->OnStarted(std::move(self));
    connection->OnConnected();
  }

  // Before Start, which may end in the stream's end.
  void SetFirstFrameTimeout(absl::Duration timeout) {
    first_frame_alarm_.Set(
        absl::ToChronoTime(absl::Now() + timeout),
        [weak = connection_->weak_from_this(), timeout](bool expired) {
          const auto connection = weak.lock();
          if (expired && connection) connection->FailUnheard(timeout);
        });
  }

  void Write(const grpc::ByteBuffer* message) override {
    StartWrite(message, grpc::WriteOptions().set_no_compression());
  }

  void End(const grpc::Status& status) override {
    tell_alarm_.Set(std::chrono::system_clock::now() + kTellWithin,
                    [weak = connection_->weak_from_this()](bool expired) {
                      const auto connection = weak.lock();
                      if (expired && connection) connection->CutOff();
                    });
    Finish(status);
  }

  void Cancel() override { context_->TryCancel(); }

  bool ends_call() const override { return true; }

  void OnReadDone(bool ok) override {
    const KnownCallOrder::Reaction reaction(order_);
    order_.TakeRead();
    if (!ok) {
      connection_->OnReadsOver();
      return;
    }
    connection_->OnMessage(incoming_);
    incoming_.Clear();
    order_.BeginRead();
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    const KnownCallOrder::Reaction reaction(order_);
    connection_->OnWriteDone(ok);
  }

  void OnCancel() override {
    const KnownCallOrder::Reaction reaction(order_);
    connection_->OnReadsOver();
  }

  void OnDone() override {
    order_.TakeEnd();
    const auto self = std::move(self_);
    connection_->OnStreamDone(context_->IsCancelled() ? grpc::Status::CANCELLED
                                                      : grpc::Status::OK);
    // From here on nobody cancels the context, which ends with the call.
  }

 private:
  const std::shared_ptr<GrpcConnection> connection_;
  grpc::GenericCallbackServerContext* const context_;
  std::shared_ptr<ServerStream> self_;  // Until OnDone.
  grpc::ByteBuffer incoming_;
  grpc::Alarm tell_alarm_;
  grpc::Alarm first_frame_alarm_;
  KnownCallOrder order_;
};

class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

void StartClientStream(std::shared_ptr<GrpcConnection> connection,
                       std::shared_ptr<grpc::Channel> channel,
                       absl::Duration timeout) {
  const auto core = connection->core();
  GrpcLinkCore::Track(
      core, new Connector(std::move(connection), std::move(channel), timeout))
      ->Start();
}

grpc::ServerGenericBidiReactor* StartServerStream(
    std::shared_ptr<GrpcConnection> connection,
    grpc::GenericCallbackServerContext* context,
    absl::Duration first_frame_timeout) {
  auto stream = std::make_shared<ServerStream>(std::move(connection), context);
  ServerStream* started = stream.get();
  started->SetFirstFrameTimeout(first_frame_timeout);
  started->Start(std::move(stream));
  return started;
}

grpc::ServerGenericBidiReactor* RefuseCall(const grpc::Status& status) {
  return new RefusedCall(status);
}

}  // namespace terse
