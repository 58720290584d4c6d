// What the coordinator does for checkpoints: decides which versions are kept,
// collects the shards' parts, makes them one with the manifest, and deletes old
// ones.
#ifndef TERSE_SERVER_JOB_CHECKPOINTS_H_
#define TERSE_SERVER_JOB_CHECKPOINTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/background.h"
#include "common/checkpoint/checkpoint.h"
#include "common/plan/timeline.h"
#include "proto/job.pb.h"
#include "proto/wire.pb.h"

namespace terse {

class JobCheckpoints {
 public:
  // Called when the checkpoint of `version` is whole and durable in `folder`,
  // or has failed.
  using Done = std::function<void(uint64_t version, const std::string& folder,
                                  const absl::Status&)>;

  // `job` and `background` must outlive this.
  JobCheckpoints(const Job& job, std::string job_yaml, std::string directory,
                 Background& background, Done done);

  // The job starts at `first_version`, which has had `first_updates`; see
  // CheckpointManifest.
  void Start(absl::Time now, const Timeline& timeline, uint64_t first_version,
             uint64_t first_updates);

  // Whether `version` is to be kept, asked before any of it is sent (in SSP and
  // async, any of the one before); begins it.
  // The last version always is, and is not asked for.
  bool Begin(absl::Time now, uint64_t version);

  // What the manifest of `version` has for the job in place of the usual.
  void SetJob(uint64_t version, std::string job_yaml) {
    next_job_ = {version, std::move(job_yaml)};
  }
  // The next version is kept whatever else is said.
  void DemandNext() { demanded_ = true; }

  // The part of `shard`. `accuracy`: of this version, if it was evaluated.
  void OnPart(uint32_t shard, uint64_t version, const wire::Checkpointed& part,
              std::optional<double> accuracy);

  // What has not come of `shard` for versions before `version` never will.
  void GiveUp(uint32_t shard, uint64_t version);

  // For the coordinator's mirror: adds what is decided to `state`; and in place
  // of Start, goes on with it where versions before `newest` are given up.
  void AddState(wire::JobState& state) const;
  void Restore(absl::Time now, const Timeline& timeline,
               const wire::JobState& state, uint64_t newest);
  const std::set<uint64_t>& under_way() const { return under_way_; }

  // Whether the last version is on the disk, or could not be brought there.
  bool final_done() const { return final_done_; }

 private:
  struct Open {
    std::vector<std::optional<wire::Checkpointed>> parts;  // By shard.
    uint32_t received = 0;
  };
  void Finish(uint64_t version, const Open& parts,
              std::optional<double> accuracy);

  const Job& job_;
  const std::string job_yaml_;
  std::pair<uint64_t, std::string> next_job_;  // See SetJob.
  const std::string directory_;
  Background& background_;
  const Done done_;
  Timeline timeline_;
  uint64_t first_version_ = 0;
  uint64_t first_updates_ = 0;
  absl::Time last_begun_;
  uint64_t decided_version_ = 0;  // The last that Begin was asked about.
  bool demanded_ = false;
  bool final_done_ = false;
  std::map<uint64_t, Open> open_;  // Some parts have come.
  std::set<uint64_t> under_way_;   // Without the last version.
};

}  // namespace terse

#endif  // TERSE_SERVER_JOB_CHECKPOINTS_H_
