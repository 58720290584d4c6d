// A ModelSpec as torch tensors and a forward pass.
#ifndef TERSE_WORKER_TORCH_NETWORK_H_
#define TERSE_WORKER_TORCH_NETWORK_H_

#include <ATen/core/Tensor.h>
#include <c10/util/Optional.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "common/plan/model_spec.h"
#include "proto/job.pb.h"

namespace terse {

class Network {
 public:
  // What dropout draws from: (seed, step, worker).
  struct DropoutSource {
    uint64_t seed = 0;
    uint64_t step = 0;
    uint64_t worker = 0;
  };

  // `activations` come in place of every activation layer.
  Network(ModelSpec spec, ActivationQuantization activations);

  const ModelSpec& spec() const { return spec_; }

  // By tensor of the spec: contiguous float32; parameters are leaves that
  // require gradients, buffers are not. Weights start as zeros, the others with
  // their initial values.
  std::vector<at::Tensor>& tensors() { return tensors_; }

  // By tensor: where Linear may write a weight's gradient; see functions.h.
  std::vector<at::Tensor>& weight_gradients() { return weight_gradients_; }

  // Scores, samples x classes, of `batch` (samples x ModelSpec::input), with
  // the batch's own statistics and dropout; updates the running statistics.
  at::Tensor TrainingForward(const at::Tensor& batch,
                             const DropoutSource& dropout);

  // The same with the running statistics and no dropout. Changes nothing.
  at::Tensor Forward(const at::Tensor& batch) const;

 private:
  c10::optional<at::Tensor> IfAny(std::optional<uint32_t> tensor) const;
  at::Tensor Layer(const LayerSpec& layer, const at::Tensor& x) const;
  at::Tensor TrainingBatchNorm(const LayerSpec& layer, const at::Tensor& x);
  at::Tensor Activate(const LayerSpec& layer, const at::Tensor& x) const;

  ModelSpec spec_;
  ActivationQuantization activations_;
  std::vector<at::Tensor> tensors_;
  std::vector<at::Tensor> weight_gradients_;
};

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_NETWORK_H_
