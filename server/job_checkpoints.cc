#include "server/job_checkpoints.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/config/job.h"

namespace terse {

JobCheckpoints::JobCheckpoints(const Job& job, std::string job_yaml,
                               std::string directory, Background& background,
                               Done done)
    : job_(job),
      job_yaml_(std::move(job_yaml)),
      directory_(std::move(directory)),
      background_(background),
      done_(std::move(done)) {}

void JobCheckpoints::Start(absl::Time now, const Timeline& timeline,
                           uint64_t first_version, uint64_t first_updates) {
  timeline_ = timeline;
  first_version_ = first_version;
  first_updates_ = first_updates;
  last_begun_ = now;
}

bool JobCheckpoints::Begin(absl::Time now, uint64_t version) {
  // What a lost coordinator had decided stands.
  if (version >= timeline_.steps_total || version <= decided_version_) {
    return false;
  }
  decided_version_ = version;
  const terse::Checkpoint& options = job_.checkpoint();
  const bool due =
      (options.every_steps() > 0 && version % options.every_steps() == 0) ||
      (options.every_seconds() > 0 &&
       now - last_begun_ >= absl::Seconds(options.every_seconds())) ||
      (options.keep_best() && timeline_.EvaluatesAt(version));
  // One at a time: a disk slower than the job must not fill the memory.
  if (!demanded_ && (!due || !under_way_.empty())) return false;
  demanded_ = false;
  last_begun_ = now;
  under_way_.insert(version);
  return true;
}

void JobCheckpoints::OnPart(uint32_t shard, uint64_t version,
                            const wire::Checkpointed& part,
                            std::optional<double> accuracy) {
  // A shard that another process has taken the place of may be asked again.
  const bool last = version == timeline_.steps_total;
  if (last ? final_done_ : !under_way_.contains(version)) return;
  Open& open = open_[version];
  if (open.parts.empty()) open.parts.resize(ServerCount(job_));
  if (open.parts[shard]) return;
  open.parts[shard] = part;
  if (++open.received < open.parts.size()) return;
  Finish(version, std::exchange(open, {}), accuracy);
  open_.erase(version);
}

void JobCheckpoints::GiveUp(uint32_t shard, uint64_t version) {
  wire::Checkpointed lost;
  lost.set_error("a server was lost before it had written its part");
  const std::set<uint64_t> under_way = under_way_;
  for (const uint64_t begun : under_way) {
    if (begun < version) OnPart(shard, begun, lost, std::nullopt);
  }
}

void JobCheckpoints::AddState(wire::JobState& state) const {
  state.set_first_updates(first_updates_);
  state.set_checkpoint_decided_version(decided_version_);
  for (const uint64_t version : under_way_) {
    state.add_checkpoints_under_way(version);
  }
}

void JobCheckpoints::Restore(absl::Time now, const Timeline& timeline,
                             const wire::JobState& state, uint64_t newest) {
  Start(now, timeline, state.first_version(), state.first_updates());
  decided_version_ = state.checkpoint_decided_version();
  for (const uint64_t version : state.checkpoints_under_way()) {
    if (version >= newest) under_way_.insert(version);
  }
}

void JobCheckpoints::Finish(uint64_t version, const Open& open,
                            std::optional<double> accuracy) {
  const std::string folder =
      absl::StrCat(directory_, "/", CheckpointFolderName(version));
  const uint64_t updates_a_step =
      job_.cluster().mode() == Cluster::BSP ? 1 : job_.cluster().workers();
  CheckpointManifest manifest = {
      .version = version,
      .updates = first_updates_ + (version - first_version_) * updates_a_step,
      .servers = ServerCount(job_),
      .workers = job_.cluster().workers(),
      .job_yaml = version == next_job_.first ? next_job_.second : job_yaml_,
      .test_accuracy = accuracy};
  std::string error;
  for (const auto& part : open.parts) {
    if (error.empty()) error = part->error();
    for (const auto& file : part->files()) {
      manifest.files.push_back({.name = file.name(),
                                .bytes = file.bytes(),
                                .crc32c = file.crc32c()});
    }
  }
  auto work = [manifest = std::move(manifest), folder, error,
               directory = directory_,
               keep_last = job_.checkpoint().keep_last(),
               keep_best = job_.checkpoint().keep_best()]() -> absl::Status {
    if (!error.empty()) {
      return WithExitCode(absl::UnavailableError(error), ExitCode::kDisk);
    }
    TERSE_RETURN_IF_ERROR(WriteManifest(folder, manifest));
    // Only now that there is a newer one.
    RemoveOldCheckpoints(directory, manifest.version, keep_last, keep_best);
    return absl::OkStatus();
  };
  background_.Run(std::move(work),
                  [this, version, folder](const absl::Status& status) {
                    if (version == timeline_.steps_total) {
                      final_done_ = true;
                    } else {
                      under_way_.erase(version);
                    }
                    done_(version, folder, status);
                  });
}

}  // namespace terse
