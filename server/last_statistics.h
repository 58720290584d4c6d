// The batch-norm statistics that workers have sent with their last steps, for
// those who take the rank of one that is lost.
#ifndef TERSE_SERVER_LAST_STATISTICS_H_
#define TERSE_SERVER_LAST_STATISTICS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/frame/frame.h"
#include "common/plan/plan.h"

namespace terse {

class LastStatistics {
 public:
  // Of the buffers that `shard` holds, those of the last `versions`; 0: of
  // none. `plan` must outlive the object.
  LastStatistics(const Plan& plan, uint32_t shard, uint32_t versions);

  // `worker`'s fp32 values of `block`, one of the shard's, in `version`. What
  // is older than what is kept is dropped. Errors: InvalidArgument (nothing is
  // kept), DataLoss (not as many values as the block has).
  absl::Status Add(uint32_t worker, uint64_t version, uint32_t block,
                   Buffer payload);

  // What `worker` had in `version`, a KEPT frame for each block; with
  // `or_means`, where it had sent none the means of those who had.
  // Errors: Unavailable (exit code 69; there are none: they went with a
  // server).
  absl::StatusOr<std::vector<Frame>> Of(uint32_t worker, uint64_t version,
                                        bool or_means) const;

 private:
  struct Version {
    uint64_t version = 0;
    // By block and worker.
    std::map<uint32_t, std::vector<std::optional<Buffer>>> payloads;
  };

  const Plan& plan_;
  const std::vector<uint32_t> blocks_;
  std::vector<Version> versions_;
};

}  // namespace terse

#endif  // TERSE_SERVER_LAST_STATISTICS_H_
