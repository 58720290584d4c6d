// What servers tell the coordinator of their blocks: parts of reductions, and
// what people look at; the rest of Server is in server.cc.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/observe/observation.h"
#include "common/wire/messages.h"
#include "server/server.h"

namespace terse {

void Server::TellCoordinator(Frame frame) {
  const absl::Status told = coordinator_peer_->Tell(std::move(frame));
  if (!told.ok() && !ended()) Abort(told);
}

void Server::Reduce(uint64_t version, const wire::BlockStatistics& part) {
  if (!coordinator()) {
    TellCoordinator(MakeMessage(wire::REDUCE, part, version));
    return;
  }
  const auto merged = coordinator_->OnReduce(version, part);
  if (!merged.ok()) {
    Abort(merged.status());
    return;
  }
  if (!*merged) return;
  const ReductionScope scope = ScopeOf(*plan_, part.kind(), part.tensor());
  std::vector<bool> asked(shards_.size());
  for (uint32_t i = 0; i < scope.block_count; ++i) {
    asked[plan_->blocks[scope.first_block + i].shard] = true;
  }
  const Frame frame = MakeMessage(wire::REDUCED, **merged, version);
  for (uint32_t s = 1; s < shards_.size(); ++s) {
    // One that is away will ask again.
    if (asked[s] && shards_[s]) Send(*shards_[s], frame);
  }
  if (!asked[0]) return;
  const absl::Status resolved = shard_->OnReduced(version, **merged);
  if (!resolved.ok()) Abort(resolved);
}

void Server::Observe(uint64_t step, const wire::Observation& observation) {
  if (coordinator()) {
    coordinator_->OnObservation(step, observation);
  } else {
    TellCoordinator(MakeMessage(wire::OBSERVATION, observation, step));
  }
}

absl::Status Server::OnObservation(std::optional<uint32_t> worker,
                                   const Frame& frame) {
  if (!coordinator() || !started_ || worker.value_or(0) != 0) {
    return absl::InvalidArgumentError("an observation that was not asked for");
  }
  TERSE_ASSIGN_OR_RETURN(const auto observation,
                         ParseMessage<wire::Observation>(frame));
  TERSE_RETURN_IF_ERROR(ValidateObservation(*plan_, observation));
  coordinator_->OnObservation(frame.step, observation);
  return absl::OkStatus();
}

}  // namespace terse
