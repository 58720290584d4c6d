#include "common/transport/mpi/mpi_link.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/transport/mpi/engine.h"

namespace terse {
namespace {

class MpiLink final : public Link {
 public:
  MpiLink(MpiEngine& engine, std::shared_ptr<MpiEndpoint> endpoint,
          std::string address)
      : engine_(engine),
        endpoint_(std::move(endpoint)),
        address_(std::move(address)) {}

  ~MpiLink() override {
    // A sink that ended its own link would wait for itself.
    TERSE_CHECK(!DeliveryScope::Active());
    engine_.Detach(endpoint_);
  }

  PeerId Connect(const std::string& address, absl::Duration timeout) override {
    return engine_.Connect(endpoint_, address, timeout);
  }

  absl::Status Send(PeerId peer, Frame frame) override {
    return engine_.Send(*endpoint_, peer, std::move(frame));
  }

  void Admit(PeerId peer, size_t payload_bytes_max) override {
    engine_.Admit(*endpoint_, peer, payload_bytes_max);
  }

  void Close(PeerId peer) override { engine_.Close(*endpoint_, peer); }

  LinkCounters Counters() const override { return endpoint_->counters.Load(); }

  std::string Address() const override { return address_; }

 private:
  MpiEngine& engine_;
  const std::shared_ptr<MpiEndpoint> endpoint_;
  const std::string address_;
};

}  // namespace

absl::StatusOr<MpiWorld> StartMpi() {
  TERSE_ASSIGN_OR_RETURN(const MpiEngine* engine, MpiEngine::Get());
  return MpiWorld{.rank = engine->rank(), .size = engine->size()};
}

absl::StatusOr<std::unique_ptr<Link>> MakeMpiLink(const MpiLinkOptions& options,
                                                  FrameSink& sink) {
  if (options.chunk_bytes == 0 || options.chunk_bytes > kMpiDataBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk_bytes is ", options.chunk_bytes,
                     ", it must be 1 to ", kMpiDataBytesMax));
  }
  TERSE_ASSIGN_OR_RETURN(MpiEngine * engine, MpiEngine::Get());
  auto endpoint = std::make_shared<MpiEndpoint>(sink, options.chunk_bytes);
  std::string address;
  if (!options.listen_address.empty()) {
    TERSE_ASSIGN_OR_RETURN(const MpiAddress listen,
                           ParseMpiAddress(options.listen_address));
    if (listen.rank != engine->rank()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen at ", options.listen_address,
                       ": this is rank ", engine->rank(), " of MPI"));
    }
    TERSE_RETURN_IF_ERROR(engine->Listen(listen.port, endpoint));
    address = FormatMpiAddress(listen);
  }
  return std::make_unique<MpiLink>(*engine, std::move(endpoint),
                                   std::move(address));
}

void FinishMpi(bool orderly, absl::Duration timeout) {
  if (MpiEngine* engine = MpiEngine::Existing()) engine->Stop(orderly, timeout);
}

}  // namespace terse
