// The workers of a BSP job as a shard sees them come and go; the rest of Shard
// is in shard.cc.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/members.h"
#include "server/shard.h"

namespace terse {

absl::Status Shard::OnBegun(absl::Time now, uint32_t worker, uint64_t step) {
  return attendance_.OnBegun(worker, step) ? CloseDecided(now) : failure_;
}

absl::Status Shard::CloseDecided(absl::Time now) {
  if (!bsp()) return failure_;
  const uint64_t version = rounds_[0].version;
  // Closing the last block opens the next round, of which nothing has come.
  for (size_t place = 0;
       place < rounds_[0].blocks.size() && rounds_[0].version == version;
       ++place) {
    TERSE_RETURN_IF_ERROR(CloseIfDecided(now, 0, place));
  }
  return failure_;
}

absl::Status Shard::Leave(absl::Time now, uint32_t worker) {
  TERSE_CHECK(bsp());
  attendance_.Leave(worker);
  buffer_means_.CloseComplete();
  return started_ ? CloseDecided(now) : absl::OkStatus();
}

void Shard::Return(uint32_t worker) {
  // It begins with the version that is whole.
  attendance_.Return(worker, version());
}

absl::Status Shard::SendPublished(uint32_t worker, uint64_t version) const {
  const uint64_t making = started_ ? rounds_[0].version : 0;
  const auto send = [&](const Frame& frame) { output_.send(worker, frame); };
  bool held = started_ && version <= making && making - version <= 2;
  for (uint64_t v = version; held && v <= making; ++v) {
    held = published_.ForEach(v, send);
  }
  if (!held && replicated() && version < making) {
    return WithExitCode(
        absl::UnavailableError(absl::StrCat(
            "version ", version, " went with a server that was lost, and a ",
            "worker that was lost too asks for it")),
        ExitCode::kPeerNeverCame);
  }
  if (!held) {
    return absl::InvalidArgumentError(
        absl::StrCat("version ", version, " is asked for while version ",
                     making, " is being made"));
  }
  for (const BlockRound& state : rounds_[0].blocks) {
    if (state.basis) send(*state.basis);
  }
  buffer_means_.ForEachSince(version, send);
  return absl::OkStatus();
}

absl::Status Shard::SendStatistics(uint32_t worker, uint64_t version) const {
  TERSE_ASSIGN_OR_RETURN(
      const std::vector<Frame> frames,
      last_statistics_.Of(worker, version, ContinuesWithout(job_)));
  for (const Frame& frame : frames) output_.send(worker, frame);
  return absl::OkStatus();
}

absl::Status Shard::OnStatistics(uint32_t worker, uint64_t version,
                                 uint32_t block, Buffer payload) {
  if (!started_ || version > rounds_[0].version) {
    return absl::InvalidArgumentError(
        absl::StrCat("statistics of version ", version, " before its time"));
  }
  return last_statistics_.Add(worker, version, block, std::move(payload));
}

absl::Status Shard::OnBuffers(uint32_t worker, uint64_t version, uint32_t block,
                              Buffer payload) {
  if (!started_ || !timeline_.EvaluatesAt(version) ||
      version > RoundOf(worker).version) {
    return absl::InvalidArgumentError(absl::StrCat(
        "buffers of version ", version, " which is not evaluated now"));
  }
  return buffer_means_.Add(worker, version, block, std::move(payload));
}

}  // namespace terse
