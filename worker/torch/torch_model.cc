#include "worker/torch/torch_model.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "spdlog/spdlog.h"
#include "worker/data/augment.h"
#include "worker/torch/loss.h"
#include "worker/torch/network.h"
#include "worker/torch/threads.h"

namespace terse {
namespace {

// Test samples of one forward pass.
constexpr uint64_t kEvaluationBatch = 128;

using GradientSink =
    std::function<absl::Status(uint32_t, std::span<const float>)>;

// Takes gradients as backward ends with each parameter; once the sink has
// failed, no more.
struct Delivery {
  const GradientSink* sink = nullptr;
  size_t count = 0;
  absl::Status status;
  std::vector<at::Tensor> gradients;

  void Deliver(uint32_t tensor, std::span<const float> gradient) {
    ++count;
    if (status.ok()) status = (*sink)(tensor, gradient);
  }
};

// Runs when a parameter's gradient has been stored in it. torch 1.13 has no
// such hook on a tensor, only on the node that stores.
class StoredHook final : public torch::autograd::FunctionPostHook {
 public:
  StoredHook(uint32_t tensor, at::Tensor parameter, Delivery* delivery)
      : tensor_(tensor),
        parameter_(std::move(parameter)),
        delivery_(delivery) {}

  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& outputs,
      const torch::autograd::variable_list&) override {
    at::Tensor& gradient = parameter_.mutable_grad();
    if (!gradient.is_contiguous()) gradient = gradient.contiguous();
    // The same tensor where it is on the host; held until the step ends.
    delivery_->gradients.push_back(gradient.cpu());
    const at::Tensor& host = delivery_->gradients.back();
    delivery_->Deliver(
        tensor_, {host.data_ptr<float>(), static_cast<size_t>(host.numel())});
    return outputs;
  }

 private:
  uint32_t tensor_;
  at::Tensor parameter_;
  Delivery* delivery_;
};

class TorchModel final : public NetworkModel {
 public:
  TorchModel(const TorchModelOptions& options, at::Device device);

  uint64_t train_samples() const override {
    return options_.dataset->size(Split::kTrain);
  }
  uint64_t test_samples() const override {
    return options_.dataset->size(Split::kTest);
  }
  std::span<float> Values(uint32_t tensor) override {
    TERSE_CHECK(tensor < hosts_.size());
    at::Tensor& values = hosts_[tensor];
    return {values.data_ptr<float>(), static_cast<size_t>(values.numel())};
  }
  bool SetHooks(StepHooks hooks) override;
  absl::Status ComputeGradient(
      uint64_t step, const std::function<void(const LossSums&)>& on_loss,
      const GradientSink& on_gradient) override;
  absl::StatusOr<LossSums> Evaluate(uint64_t first, uint64_t count) override;

 private:
  void Await(uint32_t tensor);
  void ReadBatch(uint64_t step);
  void Upload();
  void DownloadBuffers();
  absl::Status Backward(const at::Tensor& scores, const GradientSink& sink);
  void TakeBackGradients();
  LossSums EvaluateBatch(uint64_t start, uint64_t first, uint64_t end);

  TorchModelOptions options_;
  uint64_t sample_elements_;
  uint64_t batch_size_;
  uint64_t steps_per_epoch_;
  at::Device device_;
  Network network_;
  // By tensor: what Values() gives; the network's own where it can be.
  std::vector<at::Tensor> hosts_;
  StepHooks hooks_;
  absl::Status hook_status_;  // Of the step.
  Delivery delivery_;
  // Kept because a parameter holds its storing node weakly.
  std::vector<std::shared_ptr<torch::autograd::Node>> storing_nodes_;
  at::Tensor batch_;
  std::vector<uint32_t> labels_;
  at::Tensor score_gradient_;
  at::Tensor test_batch_;
};

std::vector<int64_t> BatchSizes(uint64_t samples, const Shape& sample) {
  std::vector<int64_t> sizes = {static_cast<int64_t>(samples)};
  sizes.insert(sizes.end(), sample.begin(), sample.end());
  return sizes;
}

std::span<const float> Span(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// ComputeLoss of samples with `predictions` labels each: a sample's loss is the
// mean over them.
LossSums SampleLoss(const ModelSpec& spec, std::span<const float> scores,
                    std::span<const uint32_t> labels,
                    std::span<float> gradient) {
  LossSums sums = ComputeLoss(spec.loss, scores, labels, gradient);
  sums.loss /= spec.predictions;
  sums.samples /= spec.predictions;
  return sums;
}

TorchModel::TorchModel(const TorchModelOptions& options, at::Device device)
    : options_(options),
      sample_elements_(ElementCount(options.spec.input)),
      batch_size_(options.job.train().batch_size()),
      steps_per_epoch_(train_samples() / (batch_size_ * options.workers)),
      device_(device),
      network_(options.spec, device),
      labels_(batch_size_ * options.spec.predictions) {
  batch_ = at::empty(BatchSizes(batch_size_, options.spec.input));
  Shape scores = {options.spec.classes};
  if (options.spec.predictions > 1) {
    scores.insert(scores.begin(), options.spec.predictions);
  }
  score_gradient_ = at::empty(BatchSizes(batch_size_, scores));
  for (uint32_t i = 0; i < network_.tensors().size(); ++i) {
    const at::Tensor& parameter = network_.tensors()[i];
    const bool separate = options.separate_memory || !device.is_cpu();
    hosts_.push_back(separate ? parameter.detach().cpu().clone() : parameter);
    if (!parameter.requires_grad()) continue;
    storing_nodes_.push_back(
        torch::autograd::impl::grad_accumulator(parameter));
    storing_nodes_.back()->add_post_hook(
        std::make_unique<StoredHook>(i, parameter, &delivery_));
  }
}

void TorchModel::ReadBatch(uint64_t step) {
  const uint64_t epoch = step / steps_per_epoch_;
  const uint64_t first =
      (step % steps_per_epoch_ * options_.workers + options_.worker) *
      batch_size_;
  const uint64_t augment_key =
      DrawKey(Draw::kAugment, {options_.job.seed(), step, options_.worker});
  const size_t predictions = network_.spec().predictions;
  for (uint64_t i = 0; i < batch_size_; ++i) {
    const uint64_t sample =
        ShuffledIndex(options_.job.seed(), epoch, train_samples(), first + i);
    const std::span<float> values(
        batch_.data_ptr<float>() + i * sample_elements_, sample_elements_);
    options_.dataset->Read(
        Split::kTrain, sample, values,
        std::span(labels_).subspan(i * predictions, predictions));
    if (options_.job.data().augment()) {
      ShiftAndMirror(options_.spec.input, augment_key, i, values);
    }
  }
}

bool TorchModel::SetHooks(StepHooks hooks) {
  hooks_ = std::move(hooks);
  network_.SetHooks(
      {.await = [this](uint32_t tensor) { Await(tensor); },
       .on_rows =
           [this](uint32_t tensor, const at::Tensor& gradient, int64_t rows) {
             // Elsewhere a gradient comes to the host as a whole.
             if (!gradient.is_cpu() || !delivery_.status.ok()) return;
             delivery_.status = hooks_.on_part(
                 tensor, Span(gradient).first(
                             static_cast<size_t>(rows * gradient.size(1))));
           }});
  return true;
}

void TorchModel::Await(uint32_t tensor) {
  if (!hook_status_.ok()) return;
  hook_status_ = hooks_.await(tensor);
  // Only an exception leaves a forward pass.
  if (!hook_status_.ok()) throw std::runtime_error("the job has ended");
}

void TorchModel::Upload() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < hosts_.size(); ++i) {
    at::Tensor& values = network_.tensors()[i];
    if (!values.is_same(hosts_[i])) values.copy_(hosts_[i]);
  }
}

void TorchModel::DownloadBuffers() {
  for (size_t i = 0; i < hosts_.size(); ++i) {
    const at::Tensor& values = network_.tensors()[i];
    if (values.requires_grad() || values.is_same(hosts_[i])) continue;
    hosts_[i].copy_(values);
  }
}

absl::Status TorchModel::ComputeGradient(
    uint64_t step, const std::function<void(const LossSums&)>& on_loss,
    const GradientSink& on_gradient) try {
  hook_status_ = absl::OkStatus();
  ReadBatch(step);
  for (uint32_t t = 0; t < hosts_.size(); ++t) {
    const at::Tensor& values = network_.tensors()[t];
    const bool copied = values.requires_grad() && !values.is_same(hosts_[t]);
    if (hooks_.await && copied) Await(t);
  }
  Upload();
  const at::Tensor scores =
      network_
          .TrainingForward(batch_.to(device_),
                           {.seed = options_.job.seed(),
                            .step = step,
                            .worker = options_.worker,
                            .epoch = step / steps_per_epoch_})
          .contiguous();
  DownloadBuffers();
  const LossSums sums =
      SampleLoss(network_.spec(), Span(scores.cpu()), labels_,
                 {score_gradient_.data_ptr<float>(),
                  static_cast<size_t>(score_gradient_.numel())});
  if (!std::isfinite(sums.loss)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "worker ", options_.worker, ", step ", step,
        ": the loss is not finite; lower optimizer.learning_rate or set "
        "clip.global_norm"));
  }
  on_loss(sums);
  return Backward(scores, on_gradient);
} catch (const std::exception& error) {
  if (!hook_status_.ok()) return hook_status_;
  return absl::InternalError(
      absl::StrCat("worker ", options_.worker, ", step ", step,
                   ": torch: ", std::string(error.what())));
}

absl::Status TorchModel::Backward(const at::Tensor& scores,
                                  const GradientSink& sink) {
  TakeBackGradients();
  delivery_.sink = &sink;
  delivery_.status = absl::OkStatus();
  delivery_.count = 0;
  scores.backward(score_gradient_.to(device_));
  TERSE_CHECK(delivery_.count == storing_nodes_.size());
  return delivery_.status;
}

// A gradient left in place would be added to. The large ones' memory serves
// again.
void TorchModel::TakeBackGradients() {
  delivery_.gradients.clear();
  for (size_t i = 0; i < network_.tensors().size(); ++i) {
    at::Tensor& parameter = network_.tensors()[i];
    if (!parameter.requires_grad()) continue;
    at::Tensor gradient = std::exchange(parameter.mutable_grad(), at::Tensor());
    const TensorSpec& tensor = network_.spec().tensors[i];
    if (tensor.role == TensorSpec::Role::kWeight && tensor.shape.size() == 2) {
      network_.weight_gradients()[i] = std::move(gradient);
    }
  }
}

absl::StatusOr<LossSums> TorchModel::Evaluate(uint64_t first,
                                              uint64_t count) try {
  if (first > test_samples() || count > test_samples() - first) {
    return absl::OutOfRangeError(absl::StrCat(
        "test samples ", first, " to ", first + count, " of ", test_samples()));
  }
  LossSums sums;
  if (count == 0) return sums;
  Upload();
  const uint64_t end = first + count;
  for (uint64_t start = first / kEvaluationBatch * kEvaluationBatch;
       start < end; start += kEvaluationBatch) {
    const LossSums part = EvaluateBatch(
        start, std::max(first, start), std::min(end, start + kEvaluationBatch));
    sums.loss += part.loss;
    sums.correct += part.correct;
    sums.samples += part.samples;
  }
  return sums;
} catch (const std::exception& error) {
  return absl::InternalError(
      absl::StrCat("worker ", options_.worker,
                   ", evaluation: torch: ", std::string(error.what())));
}

// The scores of a sample may depend, in their last bits, on the batch it is in:
// batches start at multiples of their size whatever range is asked for.
LossSums TorchModel::EvaluateBatch(uint64_t start, uint64_t first,
                                   uint64_t end) {
  const uint64_t samples = std::min(kEvaluationBatch, test_samples() - start);
  if (!test_batch_.defined() ||
      static_cast<uint64_t>(test_batch_.size(0)) != samples) {
    test_batch_ = at::empty(BatchSizes(samples, network_.spec().input));
  }
  const size_t predictions = network_.spec().predictions;
  std::vector<uint32_t> labels(samples * predictions);
  float* values = test_batch_.data_ptr<float>();
  for (uint64_t i = 0; i < samples; ++i) {
    options_.dataset->Read(
        Split::kTest, start + i,
        {values + i * sample_elements_, sample_elements_},
        std::span(labels).subspan(i * predictions, predictions));
  }
  const at::NoGradGuard no_grad;
  const at::Tensor scores =
      network_.Forward(test_batch_.to(device_)).cpu().contiguous();
  const size_t classes = network_.spec().classes;
  const size_t skipped = (first - start) * predictions;
  const size_t taken = (end - first) * predictions;
  return SampleLoss(network_.spec(),
                    Span(scores).subspan(skipped * classes, taken * classes),
                    std::span(labels).subspan(skipped, taken), {});
}

void ConfigureDeterminism(at::Device device) {
  // On a GPU, torch has operations that add in no fixed order and no other.
  at::globalContext().setDeterministicAlgorithms(
      true, /*warn_only=*/!device.is_cpu());
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setAllowTF32CuDNN(false);
  // What cuBLAS asks for to add in a fixed order; it reads it when first used.
  if (!device.is_cpu()) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  // Newer versions then also fill fresh memory, which every operation here
  // overwrites anyway.
  [](auto& context) {
    if constexpr (requires {
                    context.setDeterministicFillUninitializedMemory(false);
                  }) {
      context.setDeterministicFillUninitializedMemory(false);
    }
  }(at::globalContext());
}

absl::StatusOr<at::Device> ChooseDevice(const Job& job) {
  const bool has_cuda = at::globalContext().hasCUDA();
  switch (job.cluster().device()) {
    case Cluster::CPU:
      break;
    case Cluster::CUDA:
      if (has_cuda) return at::Device(at::kCUDA);
      return WithExitCode(
          absl::InvalidArgumentError(
              "cluster.device: cuda, but this libtorch sees no CUDA GPU; set "
              "it to auto or cpu, or build with a CUDA libtorch"),
          ExitCode::kBadJob);
    case Cluster::AUTO:
      if (has_cuda) return at::Device(at::kCUDA);
      break;
  }
  return at::Device(at::kCPU);
}

absl::Status CheckBatch(const TorchModelOptions& options) {
  const uint64_t batch = options.job.train().batch_size();
  const uint64_t samples = options.dataset->size(Split::kTrain);
  if (samples < batch * options.workers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the training set has ", samples, " samples and a step takes ",
        batch * options.workers, " (", options.workers,
        " workers, train.batch_size ", batch, "); lower train.batch_size"));
  }
  for (const LayerSpec& layer : options.spec.layers) {
    if (layer.kind != LayerSpec::Kind::kBatchNorm) continue;
    const uint64_t channels = layer.input[0];
    if (batch * ElementCount(layer.input) < 2 * channels) {
      return absl::InvalidArgumentError(
          absl::StrCat("layer ", layer.name,
                       ": batch norm has one value per channel and needs two; "
                       "raise train.batch_size"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetworkModel>> MakeTorchModel(
    const TorchModelOptions& options) {
  TERSE_CHECK(options.dataset != nullptr && options.worker < options.workers);
  if (absl::Status status = CheckBatch(options); !status.ok()) {
    return WithExitCode(std::move(status), ExitCode::kBadJob);
  }
  ConfigureTorchThreads(options.threads);
  TERSE_ASSIGN_OR_RETURN(const at::Device device, ChooseDevice(options.job));
  ConfigureDeterminism(device);
  spdlog::info("computes on {}", device.is_cpu() ? "the CPU" : "a CUDA GPU");
  try {
    return std::make_unique<TorchModel>(options, device);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(
        "the network cannot be built: torch: ", std::string(error.what())));
  }
}

}  // namespace terse
