// A model as a table of layers and tensors, without torch: what the server
// needs to hold the weights, the worker to build the network, and `terse
// inspect` to print.
#ifndef TERSE_COMMON_PLAN_MODEL_SPEC_H_
#define TERSE_COMMON_PLAN_MODEL_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"

namespace terse {

using Shape = std::vector<uint64_t>;

uint64_t ElementCount(const Shape& shape);  // 1 for an empty shape.

struct TensorSpec {
  enum class Role {
    kWeight,     // Of a product: first dimension outputs; or a table.
    kParameter,  // Bias, batch-norm scale and shift, PACT's clip.
    kBuffer,     // Batch-norm running mean and variance; not trained.
  };
  std::string name;  // "fc1.weight"
  Shape shape;
  Role role = Role::kWeight;
  uint64_t fan_in = 0;      // Of weights: inputs of one output neuron.
  uint64_t fan_out = 0;     // As BinaryConnect counts: outputs x kernel area.
  float initial_value = 0;  // Of parameters and buffers.
  // A weight whose rows are looked up and not multiplied: in full precision
  // unless a rule names it, and never decayed.
  bool is_table = false;
};

struct LayerSpec {
  enum class Kind {
    kConv,
    kLinear,  // Flattens its input; of a sequence, at each position.
    kBatchNorm,
    kActivation,
    kMaxPool,
    kAveragePool,
    kDropout,
    kSubsample,  // Every stride-th pixel; channels of zeros behind the others.
    kAdd,        // What it takes plus its addend.
    // Of text; values are [positions, channels].
    kEmbedding,  // Rows of its weight by the numbers of characters.
    kPosition,   // What it takes plus its weight.
    kLstm,  // Gates of the weights in the order input, forget, cell, output.
    kAttention,  // Causal; the first weight has queries, keys, values.
    kLayerNorm,
  };
  // "conv1", "fc2", "bn1", "act3", "pool1", "drop1", "embed1", "pos1", "lstm1",
  // "attn1", "ln1"; in a residual block also "shortcut1", "add1".
  std::string name;
  Kind kind = Kind::kLinear;
  Shape input;  // Without the batch dimension.
  Shape output;
  // Value 0 is the sample, value i + 1 what layer i puts out.
  uint32_t source = 0;         // The value that it takes.
  uint32_t addend = 0;         // kAdd.
  uint64_t multiply_adds = 0;  // Per sample; a linear layer counts its bias.
  // Indices into ModelSpec::tensors.
  std::optional<uint32_t> weight;  // Batch norm, layer norm: its scale.
  std::optional<uint32_t> bias;    // Batch norm, layer norm: its shift.
  // LSTM: of the hidden state. Attention: of the output.
  std::optional<uint32_t> second_weight;
  std::optional<uint32_t> second_bias;
  std::optional<uint32_t> running_mean;
  std::optional<uint32_t> running_var;
  uint32_t kernel = 0;  // Convolution and pooling.
  uint32_t stride = 0;
  uint32_t padding = 0;
  uint32_t heads = 0;     // Attention.
  float forget_bias = 0;  // LSTM.
  float epsilon = 0;      // Batch norm, layer norm.
  float momentum = 0;     // Batch norm.
  float probability = 0;  // Dropout.
  Activation::Kind activation = Activation::RELU;
  // In place of `activation`; of an LSTM, on its hidden state.
  ActivationQuantization quantization;
  std::optional<uint32_t> clip;  // The tensor that PACT learns.
  // Of linear and convolution layers. The value by whose magnitudes XNOR-Net
  // scales the output:
  std::optional<uint32_t> magnitudes;
  BackwardQuantization backward;
  uint32_t outputs_kept = 0;  // meProp; 0: all.
};

struct ModelSpec {
  Shape input;
  uint32_t classes = 0;
  uint32_t predictions = 1;  // Of a sample, each one of the classes.
  Model::Loss loss = Model::CROSS_ENTROPY;
  std::vector<LayerSpec> layers;
  std::vector<TensorSpec> tensors;  // In layer order; buffers among them.
};

// Errors: InvalidArgument (exit code 78), naming the layer whose input does not
// fit, e.g. a pool larger than its picture.
absl::StatusOr<ModelSpec> MakeModelSpec(const Job& job);

// Shape of a sample, number of classes and of labels of a sample of the job's
// data.
struct DataShape {
  Shape sample;
  uint32_t classes = 0;
  uint32_t predictions = 1;
};
DataShape DataShapeOf(const Data& data);

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_MODEL_SPEC_H_
