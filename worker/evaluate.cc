#include "worker/evaluate.h"

#include <algorithm>
#include <vector>

#include "common/base/status.h"
#include "common/checkpoint/network_weights.h"
#include "common/config/job.h"

namespace terse {

absl::StatusOr<nlohmann::json> EvaluateCheckpoint(
    const FoundCheckpoint& checkpoint, const ModelFactory& make_model) {
  TERSE_ASSIGN_OR_RETURN(Job job,
                         ParseJob(checkpoint.manifest.job_yaml,
                                  checkpoint.folder + "/manifest.json", {}));
  TERSE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(job));
  TERSE_ASSIGN_OR_RETURN(const SavedState saved, SavedState::Open(checkpoint));
  TERSE_ASSIGN_OR_RETURN(const std::unique_ptr<NetworkModel> model,
                         make_model(job, plan, 0));
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    TERSE_ASSIGN_OR_RETURN(const std::vector<float> values,
                           NetworkWeights(job, plan, saved, t));
    std::copy(values.begin(), values.end(), model->Values(t).begin());
  }
  // In the parts that the job's workers take, so that the sums are theirs.
  const uint64_t samples = model->test_samples();
  const uint64_t workers = job.cluster().workers();
  LossSums sums;
  for (uint64_t w = 0; w < workers; ++w) {
    const uint64_t first = w * samples / workers;
    const uint64_t last = (w + 1) * samples / workers;
    TERSE_ASSIGN_OR_RETURN(const LossSums part,
                           model->Evaluate(first, last - first));
    sums.loss += part.loss;
    sums.correct += part.correct;
    sums.samples += part.samples;
  }
  const double count = std::max<double>(1, static_cast<double>(sums.samples));
  return nlohmann::json{
      {"step", checkpoint.manifest.version},
      {"test_samples", sums.samples},
      {"test_loss", sums.loss / count},
      {"test_accuracy",
       static_cast<double>(sums.correct) / (count * plan.model.predictions)}};
}

}  // namespace terse
