// A ModelSpec as torch tensors and a forward pass.
#ifndef TERSE_WORKER_TORCH_NETWORK_H_
#define TERSE_WORKER_TORCH_NETWORK_H_

#include <ATen/core/Tensor.h>
#include <c10/util/Optional.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "common/plan/model_spec.h"
#include "proto/job.pb.h"
#include "worker/torch/functions.h"

namespace terse {

class Network {
 public:
  // What draws are made from, and the epoch that the step is in.
  struct Step {
    uint64_t seed = 0;
    uint64_t step = 0;
    uint64_t worker = 0;
    uint64_t epoch = 0;
  };

  Network(ModelSpec spec, at::Device device);

  const ModelSpec& spec() const { return spec_; }

  // By tensor of the spec: contiguous float32; parameters are leaves that
  // require gradients, buffers are not. Weights start as zeros, the others with
  // their initial values. On the device, as what passes take and put out.
  std::vector<at::Tensor>& tensors() { return tensors_; }

  // By tensor: where Linear may write a weight's gradient; see functions.h.
  std::vector<at::Tensor>& weight_gradients() { return weight_gradients_; }

  // What TrainingForward asks before a layer reads its parameter `tensor`, and
  // what backward says of a large weight's gradient; either may be empty.
  struct Hooks {
    std::function<void(uint32_t tensor)> await;
    std::function<void(uint32_t tensor, const at::Tensor& gradient,
                       int64_t rows)>
        on_rows;
  };
  void SetHooks(Hooks hooks);

  // Scores, samples x classes (of text samples x positions x classes), of
  // `batch` (samples x ModelSpec::input), with the batch's own statistics and
  // dropout; updates the running statistics.
  at::Tensor TrainingForward(const at::Tensor& batch, const Step& step);

  // The same with the running statistics and no dropout. Changes nothing.
  at::Tensor Forward(const at::Tensor& batch) const;

 private:
  using Values = std::vector<at::Tensor>;  // By number; see LayerSpec.

  // Runs all layers, `layer` being called with an index and the values so far.
  template <typename Function>
  at::Tensor RunLayers(const at::Tensor& batch, Function layer) const;
  c10::optional<at::Tensor> IfAny(std::optional<uint32_t> tensor) const;
  void AwaitLayer(const LayerSpec& layer) const;
  at::Tensor Layer(const LayerSpec& layer, const Values& values) const;
  at::Tensor TrainingLayer(size_t index, const Values& values,
                           const Step& step);
  at::Tensor TrainingProduct(size_t index, const at::Tensor& x,
                             const Step& step);
  at::Tensor Scaled(const LayerSpec& layer, const at::Tensor& product,
                    const Values& values) const;
  at::Tensor TrainingBatchNorm(const LayerSpec& layer, const at::Tensor& x);
  at::Tensor Activate(const LayerSpec& layer, const at::Tensor& x) const;
  at::Tensor QuantizedActivation(const LayerSpec& layer,
                                 const at::Tensor& x) const;
  at::Tensor Lstm(const LayerSpec& layer, const at::Tensor& x) const;
  at::Tensor Attention(const LayerSpec& layer, const at::Tensor& x) const;

  ModelSpec spec_;
  std::vector<size_t> last_users_;  // By value: the last layer to take it.
  std::vector<at::Tensor> tensors_;
  std::vector<at::Tensor> weight_gradients_;
  std::function<void(uint32_t)> await_;
  std::vector<RowsHook> on_rows_;  // By tensor; empty: no hooks.
};

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_NETWORK_H_
