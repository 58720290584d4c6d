// How peers join a server; the rest of Server is in server.cc.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/messages.h"
#include "server/server.h"
#include "spdlog/spdlog.h"

namespace terse {
namespace {

// Time does not tell how far a wrong token is right.
bool SameToken(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

size_t LargestPayload(const Plan& plan) {
  // Digests and statistics: at most 64 bytes a block.
  size_t largest = std::max(
      kUnadmittedPayloadBytesMax + plan.blocks.size() * 64, kProbeBytes);
  for (const BlockSpec& block : plan.blocks) {
    const TensorPlan& tensor = plan.tensors[block.tensor];
    const size_t elements = tensor.low_rank.any()
                                ? std::max(tensor.low_rank.left_elements(),
                                           tensor.low_rank.right_elements())
                                : block.count;
    if (tensor.codec != nullptr) {
      largest = std::max(largest, tensor.codec->MaxEncodedBytes(elements));
    }
    // A buffer; or what error feedback and momentum keep.
    largest = std::max(largest, 2 * block.count * sizeof(float));
  }
  return largest;
}

absl::Status BeganAnew() {
  return WithExitCode(
      absl::UnavailableError("the job began anew: join it anew"),
      ExitCode::kPeerNeverCame);
}

}  // namespace

absl::Status Server::OnJoin(PeerId id, const wire::Join& join) {
  if (!SameToken(join.token(), options_.token)) {
    return absl::PermissionDeniedError("the job token is not this job's");
  }
  if (goes_on()) return absl::FailedPreconditionError("the job has ended");
  if (ended()) {
    if (!result_->ok()) return *result_;
    // It was lost before it heard of the end, or takes the place of one.
    link_.Send(id, MakeFrame(wire::FINISH, 0, 0, {})).IgnoreError();
    link_.Close(id);
    leaving_.insert(id);
    return absl::OkStatus();
  }
  const auto same = [id](const auto& early) { return early.first == id; };
  if (std::any_of(early_joins_.begin(), early_joins_.end(), same)) {
    return absl::InvalidArgumentError("joined twice");
  }
  if (Undecided()) Decide(join);
  const bool fetching = replication_ && replication_->fetching();
  if (!job_ || Undecided() || (fetching && join.role() == wire::Join::WORKER)) {
    early_joins_.emplace_back(id, join);
    return absl::OkStatus();
  }
  return join.role() == wire::Join::SHARD ? AdmitShard(id, join)
                                          : AdmitWorker(id, join);
}

void Server::AdmitEarly() {
  for (const auto& [peer, join] : std::exchange(early_joins_, {})) {
    const absl::Status joined = OnJoin(peer, join);
    if (!joined.ok()) Refuse(peer, joined);
  }
}

absl::Status Server::AdmitShard(PeerId id, const wire::Join& join) {
  if (join.mirrored() && replication_) return replication_->Admit(id, join);
  if (!coordinator()) {
    return absl::InvalidArgumentError("shards join the coordinator, shard 0");
  }
  if (join.rank() == 0 || join.rank() >= shards_.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shard ", join.rank(), " of a job with ", shards_.size(), " servers"));
  }
  if (join.returns() && started_ && replication_) return ReturnShard(id, join);
  if (join.returns()) return BeganAnew();
  if (shards_[join.rank()] && started_) {
    return WithExitCode(
        absl::AlreadyExistsError(absl::StrCat(
            "shard ", join.rank(), " has joined already; try again if it was ",
            "lost, which takes up to cluster.peer_timeout_seconds to be seen")),
        ExitCode::kPeerNeverCame);
  }
  if (shards_[join.rank()]) {
    return absl::AlreadyExistsError(
        absl::StrCat("shard ", join.rank(), " has joined already"));
  }
  if (started_) return ReadmitShard(id, join);
  spdlog::info("shard {} joined from {}", join.rank(), join.address());
  coordinator_->OnJoined("server", join.rank());
  shards_[join.rank()] = id;
  shard_members_[join.rank()].incarnation = join.incarnation();
  peers_[id] = {wire::Join::SHARD, join.rank(), join.address()};
  AdmitPayloads(id);
  Send(id, MakeMessage(wire::WELCOME, ShardWelcome(join.rank())));
  // If it was waited for, those that came before it.
  AdmitEarly();
  WelcomeWorkers();
  return absl::OkStatus();
}

wire::Welcome Server::ShardWelcome(uint32_t shard) const {
  wire::Welcome welcome;
  welcome.set_rank(shard);
  welcome.set_job_yaml(job_yaml_);
  welcome.set_first_version(first_version_);
  welcome.set_resume_path(resume_folder_);
  if (shard_checkpoints_) {
    welcome.set_checkpoint_directory(options_.checkpoint_directory);
  }
  return welcome;
}

absl::Status Server::AdmitWorker(PeerId id, const wire::Join& join) {
  uint32_t rank = join.rank();
  if (!join.has_rank()) {
    if (!coordinator()) {
      return absl::InvalidArgumentError("the coordinator gives the ranks");
    }
    rank = static_cast<uint32_t>(
        std::find(workers_.begin(), workers_.end(), std::nullopt) -
        workers_.begin());
    if (rank == workers_.size()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the job has its ", workers_.size(), " workers already"));
    }
  }
  if (rank >= workers_.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "worker ", rank, " of a job with ", workers_.size(), " workers"));
  }
  if (started_) return ReadmitWorker(id, rank, join);
  if (join.returns()) return BeganAnew();
  if (workers_[rank]) {
    return absl::AlreadyExistsError(
        absl::StrCat("worker ", rank, " has joined already"));
  }
  spdlog::info("worker {} joined", rank);
  workers_[rank] = id;
  members_[rank].incarnation = join.incarnation();
  peers_[id] = {wire::Join::WORKER, rank, ""};
  AdmitPayloads(id);
  if (coordinator()) {
    coordinator_->OnJoined("worker", rank);
    WelcomeWorkers();
    return absl::OkStatus();
  }
  wire::Welcome welcome;
  welcome.set_rank(rank);
  Send(id, MakeMessage(wire::WELCOME, welcome));
  return absl::OkStatus();
}

void Server::AdmitPayloads(PeerId id) {
  link_.Admit(id, LargestPayload(*plan_));
}

void Server::FillWelcome(wire::Welcome& welcome) const {
  welcome.set_job_yaml(job_yaml_);
  welcome.set_first_version(first_version_);
  welcome.add_shard_addresses(link_.Address());
  for (uint32_t s = 1; s < shards_.size(); ++s) {
    // One that is away has had an address.
    welcome.add_shard_addresses(shards_[s] ? peers_.at(*shards_[s]).address
                                           : start_.shard_addresses(s));
  }
}

void Server::WelcomeWorkers() {
  for (uint32_t s = 1; s < shards_.size(); ++s) {
    if (!shards_[s]) return;
  }
  wire::Welcome welcome;
  FillWelcome(welcome);
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    if (!workers_[w] || members_[w].welcomed) continue;
    members_[w].welcomed = true;
    welcome.set_rank(w);
    Send(*workers_[w], MakeMessage(wire::WELCOME, welcome));
  }
}

}  // namespace terse
