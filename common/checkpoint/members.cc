#include "common/checkpoint/members.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/saved_state.h"
#include "common/config/job.h"

namespace terse {

bool OutlivesWorkers(const Job& job) {
  return job.cluster().mode() == Cluster::BSP &&
         job.cluster().transport() == Cluster::GRPC && !IsAuto(job);
}

bool ContinuesWithout(const Job& job) {
  return OutlivesWorkers(job) &&
         job.cluster().on_worker_loss() == Cluster::CONTINUE;
}

bool ClosesIncomplete(const Job& job) {
  return job.cluster().backup_workers() > 0 || ContinuesWithout(job);
}

bool TakesReplacements(const Job& job, const Plan& plan) {
  // A worker that carries a server takes its weights with it.
  if (!OutlivesWorkers(job) || IsColocated(job)) return false;
  const bool exactly = !ContinuesWithout(job);
  for (uint32_t b = 0; b < plan.blocks.size(); ++b) {
    if (plan.IsBuffer(plan.blocks[b].tensor)) continue;
    const TensorPlan& tensor = plan.tensors[plan.blocks[b].tensor];
    if (tensor.sum_down || tensor.low_rank.any()) return false;
    if (exactly && !KeptKinds(plan, b).empty()) return false;
  }
  return true;
}

bool SharesStatistics(const Job& job, const Plan& plan) {
  bool any = false;
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    any = any || plan.IsBuffer(t);
  }
  return any && TakesReplacements(job, plan);
}

absl::Duration RejoinTimeout(const Job& job) {
  return absl::Seconds(job.cluster().rejoin_timeout_seconds());
}

absl::Status CheckWorkerLoss(const Job& job, const Plan& plan) {
  const uint32_t spare = job.cluster().backup_workers();
  const auto bad = [](const std::string& what) {
    return WithExitCode(absl::InvalidArgumentError(what), ExitCode::kBadJob);
  };
  if (spare >= job.cluster().workers()) {
    return bad(absl::StrCat("cluster.backup_workers: ", spare, " of ",
                            job.cluster().workers(),
                            " workers: one at least must count"));
  }
  if (spare > 0 && job.cluster().mode() != Cluster::BSP) {
    return bad(
        "cluster.backup_workers needs cluster.mode: bsp; in ssp and async "
        "nobody waits for the slowest");
  }
  if (!ClosesIncomplete(job)) return absl::OkStatus();
  const char* const what =
      spare > 0 ? "cluster.backup_workers" : "cluster.on_worker_loss: continue";
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const TensorPlan& tensor = plan.tensors[t];
    if (tensor.level_codec == nullptr && !tensor.sum_down &&
        (spare == 0 || !tensor.low_rank.any())) {
      continue;
    }
    return bad(absl::StrCat(
        what, ": the gradients of ", plan.model.tensors[t].name,
        " add up only with everybody's (levels of a shared scale, factors, "
        "sums that come down): use on_worker_loss: wait without backup "
        "workers, or another codec and compress.down: weights"));
  }
  return absl::OkStatus();
}

}  // namespace terse
