// The real network behind NetworkModel. This header includes no torch.
#ifndef TERSE_WORKER_TORCH_TORCH_MODEL_H_
#define TERSE_WORKER_TORCH_TORCH_MODEL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/plan/model_spec.h"
#include "proto/job.pb.h"
#include "worker/data/dataset.h"
#include "worker/model.h"

namespace terse {

struct TorchModelOptions {
  Job job;
  ModelSpec spec;  // Of the job.
  std::shared_ptr<const Dataset> dataset;
  uint32_t worker = 0;  // Rank, below `workers`.
  uint32_t workers = 1;
  uint32_t threads = 1;  // Of the whole process; see threads.h.
  // Keeps the network's tensors apart from Values(), as on a GPU; for tests.
  bool separate_memory = false;
};

// Models of one process may run in threads of their own; each gives the same
// bits as alone. Weights start as zeros. Errors (exit code 78):
// InvalidArgument (fewer training samples than one step takes; a batch too
// small for batch norm; cluster.device is cuda and there is none).
absl::StatusOr<std::unique_ptr<NetworkModel>> MakeTorchModel(
    const TorchModelOptions& options);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_TORCH_MODEL_H_
