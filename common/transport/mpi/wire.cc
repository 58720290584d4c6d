#include "common/transport/mpi/wire.h"

#include <mpi.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace terse {
namespace {

// Heads are probed for; data messages are received where their head says.
constexpr int kHeadTag = 1;
constexpr int kDataTag = 2;

// Heads taken in one Poll, so that one talkative peer does not keep the others
// waiting.
constexpr int kProbesMax = 64;

absl::Status MpiError(int code, const char* what) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return absl::UnavailableError(
      absl::StrCat("MPI: ", what, " failed: ", std::string(text, length)));
}

// One message on its way, in or out: two requests at most.
struct Transfer {
  bool outgoing = false;
  int rank = 0;
  int parts_left = 0;
  // Outgoing.
  MpiMessage message;
  // Incoming.
  std::vector<std::byte> head;
  Envelope envelope;
  bool announced = false;  // The head is there and has been read.
  Buffer data;
};

class OpenWire final : public MpiWire {
 public:
  OpenWire(MPI_Comm comm, int rank, int size)
      : comm_(comm), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  bool idle() const override { return requests_.empty(); }

  void Send(MpiMessage message) override;
  bool Poll(MpiWireHandler& handler) override;
  bool AllLeave() override {
    if (!leaving_) {
      leaving_ = true;
      if (MPI_Ibarrier(comm_, &all_leave_) != MPI_SUCCESS) return true;
    }
    int done = 1;
    return MPI_Test(&all_leave_, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS ||
           done != 0;
  }
  void Finalize() override {
    MPI_Comm_free(&comm_);
    MPI_Finalize();
  }

 private:
  // Registers a request that was started with `code`.
  void Add(const std::shared_ptr<Transfer>& transfer, MPI_Request request,
           int code, const char* what);
  bool TestRequests(MpiWireHandler& handler);
  void Complete(const std::shared_ptr<Transfer>& transfer,
                MpiWireHandler& handler);
  bool ProbeHeads(MpiWireHandler& handler);
  // Reads the heads that have come from `rank`, in order, and hands on the
  // messages that are whole.
  void Advance(int rank, MpiWireHandler& handler);
  bool ReadHead(const std::shared_ptr<Transfer>& transfer);
  void Break(int rank, const absl::Status& why) {
    broken_.emplace_back(rank, why);
  }

  MPI_Comm comm_;
  bool leaving_ = false;
  MPI_Request all_leave_ = MPI_REQUEST_NULL;
  const int rank_;
  const int size_;
  // Parallel: requests under way and what they belong to.
  std::vector<MPI_Request> requests_;
  std::vector<std::shared_ptr<Transfer>> owners_;
  std::map<int, std::deque<std::shared_ptr<Transfer>>> incoming_;
  std::vector<std::pair<int, absl::Status>> broken_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

void OpenWire::Add(const std::shared_ptr<Transfer>& transfer,
                   MPI_Request request, int code, const char* what) {
  if (code != MPI_SUCCESS) {
    Break(transfer->rank, MpiError(code, what));
    return;
  }
  ++transfer->parts_left;
  requests_.push_back(request);
  owners_.push_back(transfer);
}

void OpenWire::Send(MpiMessage message) {
  auto transfer = std::make_shared<Transfer>();
  transfer->outgoing = true;
  transfer->rank = message.rank;
  transfer->message = std::move(message);
  const MpiMessage& sent = transfer->message;
  MPI_Request request = MPI_REQUEST_NULL;
  // Synchronous: a peer that does not read is not flooded, because MPI would
  // keep what is sent eagerly in the receiver's memory.
  int code = MPI_Issend(sent.head.data(), static_cast<int>(sent.head.size()),
                        MPI_BYTE, sent.rank, kHeadTag, comm_, &request);
  Add(transfer, request, code, "MPI_Issend");
  if (sent.data.empty()) return;
  code = MPI_Isend(sent.data.data(), static_cast<int>(sent.data.size()),
                   MPI_BYTE, sent.rank, kDataTag, comm_, &request);
  Add(transfer, request, code, "MPI_Isend");
}

bool OpenWire::Poll(MpiWireHandler& handler) {
  bool happened = TestRequests(handler);
  happened |= ProbeHeads(handler);
  for (const auto& [rank, why] : std::exchange(broken_, {})) {
    handler.OnBroken(rank, why);
    happened = true;
  }
  return happened;
}

bool OpenWire::TestRequests(MpiWireHandler& handler) {
  if (requests_.empty()) return false;
  int count = 0;
  indices_.resize(requests_.size());
  statuses_.resize(requests_.size());
  const int code =
      MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count,
                   indices_.data(), statuses_.data());
  if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) {
    Break(-1, MpiError(code, "MPI_Testsome"));
    requests_.clear();
    owners_.clear();
    return true;
  }
  if (count == 0 || count == MPI_UNDEFINED) return false;
  std::vector<std::shared_ptr<Transfer>> completed;
  for (int i = 0; i < count; ++i) {
    const auto& owner = owners_[indices_[i]];
    if (code == MPI_ERR_IN_STATUS && statuses_[i].MPI_ERROR != MPI_SUCCESS) {
      Break(owner->rank, MpiError(statuses_[i].MPI_ERROR,
                                  owner->outgoing ? "a send" : "a receive"));
    } else {
      completed.push_back(owner);
    }
    requests_[indices_[i]] = MPI_REQUEST_NULL;
  }
  size_t kept = 0;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    requests_[kept] = requests_[i];
    owners_[kept++] = std::move(owners_[i]);
  }
  requests_.resize(kept);
  owners_.resize(kept);
  for (const auto& transfer : completed) Complete(transfer, handler);
  return true;
}

void OpenWire::Complete(const std::shared_ptr<Transfer>& transfer,
                        MpiWireHandler& handler) {
  --transfer->parts_left;
  if (!transfer->outgoing) {
    Advance(transfer->rank, handler);
  } else if (transfer->parts_left == 0) {
    handler.OnSent(transfer->message.connection);
  }
}

bool OpenWire::ProbeHeads(MpiWireHandler& handler) {
  bool happened = false;
  for (int i = 0; i < kProbesMax; ++i) {
    int found = 0;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    int code =
        MPI_Improbe(MPI_ANY_SOURCE, kHeadTag, comm_, &found, &message, &status);
    if (code != MPI_SUCCESS) {
      Break(-1, MpiError(code, "MPI_Improbe"));
      return true;
    }
    if (!found) break;
    happened = true;
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    auto transfer = std::make_shared<Transfer>();
    transfer->rank = status.MPI_SOURCE;
    transfer->head.resize(bytes);
    incoming_[transfer->rank].push_back(transfer);
    MPI_Request request = MPI_REQUEST_NULL;
    code =
        MPI_Imrecv(transfer->head.data(), bytes, MPI_BYTE, &message, &request);
    Add(transfer, request, code, "MPI_Imrecv");
  }
  if (happened) TestRequests(handler);
  return happened;
}

bool OpenWire::ReadHead(const std::shared_ptr<Transfer>& transfer) {
  const auto envelope = ParseEnvelope(transfer->head);
  if (!envelope || envelope->data_bytes > kMpiDataBytesMax) {
    Break(transfer->rank,
          absl::DataLossError(absl::StrCat(
              "rank ", transfer->rank, " sent ", transfer->head.size(),
              " bytes that are no message of Terse's")));
    return false;
  }
  transfer->announced = true;
  transfer->envelope = *envelope;
  if (envelope->data_bytes == 0) return true;
  transfer->data = Buffer::Allocate(envelope->data_bytes);
  MPI_Request request = MPI_REQUEST_NULL;
  const int code = MPI_Irecv(transfer->data.mutable_bytes().data(),
                             static_cast<int>(envelope->data_bytes), MPI_BYTE,
                             transfer->rank, kDataTag, comm_, &request);
  Add(transfer, request, code, "MPI_Irecv");
  return true;
}

void OpenWire::Advance(int rank, MpiWireHandler& handler) {
  auto& queue = incoming_[rank];
  // Data messages match receives in the order in which these are posted.
  for (const auto& transfer : queue) {
    if (transfer->announced) continue;
    if (transfer->parts_left > 0 || !ReadHead(transfer)) break;
  }
  while (!queue.empty() && queue.front()->announced &&
         queue.front()->parts_left == 0) {
    const auto transfer = std::move(queue.front());
    queue.pop_front();
    handler.OnReceived(rank, transfer->envelope,
                       std::span(transfer->head).subspan(kEnvelopeBytes),
                       transfer->data.bytes());
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<MpiWire>> MpiWire::Init() {
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised) {
    return absl::FailedPreconditionError("MPI has been initialised before");
  }
  // Over TCP Open MPI has the receiver ask for each long message's parts; where
  // both directions are full, these requests queue behind the other direction's
  // data and halve the rate. Who sets it otherwise keeps that.
  setenv("OMPI_MCA_btl_tcp_flags", "send,inplace", /*overwrite=*/0);
  int provided = 0;
  int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) return MpiError(code, "MPI_Init_thread");
  if (provided < MPI_THREAD_FUNNELED) {
    return absl::InternalError(
        "this MPI knows no threads at all (MPI_THREAD_FUNNELED is needed)");
  }
  MPI_Comm comm = MPI_COMM_NULL;
  code = MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  if (code != MPI_SUCCESS) return MpiError(code, "MPI_Comm_dup");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  return std::make_unique<OpenWire>(comm, rank, size);
}

}  // namespace terse
