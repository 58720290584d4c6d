// Layers of text, whose values are samples x positions x channels. On any
// device.
#ifndef TERSE_WORKER_TORCH_SEQUENCE_H_
#define TERSE_WORKER_TORCH_SEQUENCE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace terse {

// What is done to the hidden state of an LSTM before it enters the next step
// and layer (He et al. 2016, 1611.10176). The gradient passes where the state
// lies between `low` and `high`, both ends included.
struct HiddenQuantizer {
  std::function<at::Tensor(const at::Tensor&)> apply;  // Null: nothing is done.
  float low = -1;
  float high = 1;
};

struct LstmWeights {
  // Rows are gates x hidden; the gates are input, forget, cell and output.
  at::Tensor input;   // 4 hidden x channels.
  at::Tensor hidden;  // 4 hidden x hidden.
  at::Tensor bias;    // 4 hidden.
  double forget_bias = 0;
};

// Rows of `table` (characters x width) by the numbers in x (samples x
// positions, as floats).
at::Tensor Embed(const at::Tensor& x, const at::Tensor& table);

// With i, f, o = sigmoid and g = tanh of W_x x_t + W_h h_(t-1) + b, f's
// argument with forget_bias added: c_t = f c_(t-1) + i g, h_t = Q(o tanh(c_t)),
// from zeros (Hochreiter and Schmidhuber 1997; Gers et al. 2000). Returns all
// h_t.
at::Tensor LstmSequence(const at::Tensor& x, const LstmWeights& weights,
                        const HiddenQuantizer& quantizer);

struct AttentionWeights {
  at::Tensor qkv;  // 3 channels x channels: queries, keys, values.
  at::Tensor qkv_bias;
  at::Tensor output;  // channels x channels.
  at::Tensor output_bias;
};

// Every position reads those up to itself, by softmax(q k^T / sqrt(channels /
// heads)) v for each head (Vaswani et al. 2017, 1706.03762).
at::Tensor CausalAttention(const at::Tensor& x, const AttentionWeights& weights,
                           int64_t heads);

}  // namespace terse

#endif  // TERSE_WORKER_TORCH_SEQUENCE_H_
