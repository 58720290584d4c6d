#include "worker/torch/sequence.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <utility>

namespace terse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The columns of one gate.
at::Tensor Gate(const at::Tensor& gates, int64_t index) {
  const int64_t hidden = gates.size(-1) / 4;
  return gates.narrow(-1, index * hidden, hidden);
}

enum : int64_t { kInput = 0, kForget = 1, kCell = 2, kOutput = 3 };

// One node for the whole sequence: autograd would add up the weights' gradients
// step by step, with small products.
struct LstmFunction : torch::autograd::Function<LstmFunction> {
  static Variable forward(AutogradContext* context, const Variable& x,
                          const Variable& input_weight,
                          const Variable& hidden_weight, const Variable& bias,
                          double forget_bias,
                          const HiddenQuantizer& quantizer) {
    const int64_t samples = x.size(0), steps = x.size(1);
    const int64_t hidden = hidden_weight.size(1);
    // Steps come first, so that those of one step lie together.
    const at::Tensor inputs = x.transpose(0, 1).reshape({-1, x.size(2)});
    at::Tensor gates = at::addmm(bias, inputs, input_weight.t())
                           .view({steps, samples, 4 * hidden});
    Gate(gates, kForget).add_(forget_bias);
    const at::TensorOptions like = x.options();
    at::Tensor states = at::zeros({steps + 1, samples, hidden}, like);
    at::Tensor cells = at::zeros({steps + 1, samples, hidden}, like);
    at::Tensor tanhs = at::empty({steps, samples, hidden}, like);
    for (int64_t t = 0; t < steps; ++t) {
      at::Tensor step = gates.select(0, t);
      step.addmm_(states.select(0, t), hidden_weight.t());
      step.narrow(1, 0, 2 * hidden).sigmoid_();
      Gate(step, kCell).tanh_();
      Gate(step, kOutput).sigmoid_();
      at::Tensor cell = cells.select(0, t + 1);
      at::mul_out(cell, Gate(step, kForget), cells.select(0, t));
      cell.addcmul_(Gate(step, kInput), Gate(step, kCell));
      at::Tensor tanh = tanhs.select(0, t);
      at::tanh_out(tanh, cell);
      at::Tensor state = states.select(0, t + 1);
      at::mul_out(state, Gate(step, kOutput), tanh);
      if (quantizer.apply) state.copy_(quantizer.apply(state));
    }
    context->save_for_backward(
        {inputs, input_weight, hidden_weight, gates, cells, tanhs, states});
    // The state itself lies between -1 and 1.
    const bool masks = quantizer.apply != nullptr &&
                       (quantizer.low > -1 || quantizer.high < 1);
    context->saved_data["masks"] = masks;
    context->saved_data["low"] = double{quantizer.low};
    context->saved_data["high"] = double{quantizer.high};
    return states.narrow(0, 1, steps).transpose(0, 1).contiguous();
  }

  static variable_list backward(AutogradContext* context,
                                const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &inputs = saved[0], &input_weight = saved[1],
                     &hidden_weight = saved[2], &gates = saved[3],
                     &cells = saved[4], &tanhs = saved[5], &states = saved[6];
    const at::Tensor upstream = gradients[0].transpose(0, 1);
    const int64_t steps = upstream.size(0), samples = upstream.size(1);
    at::Tensor gate_gradients = at::empty_like(gates);
    at::Tensor of_state, of_cell;
    for (int64_t t = steps - 1; t >= 0; --t) {
      const at::Tensor step = gates.select(0, t), tanh = tanhs.select(0, t);
      const at::Tensor in = Gate(step, kInput), forget = Gate(step, kForget),
                       cell = Gate(step, kCell), out = Gate(step, kOutput);
      at::Tensor target = gate_gradients.select(0, t);
      at::Tensor state = upstream.select(0, t);
      if (of_state.defined()) state = state + of_state;
      if (context->saved_data["masks"].toBool()) {
        const at::Tensor raw = at::mul(out, tanh);
        state = at::where(
            at::logical_and(raw.ge(context->saved_data["low"].toDouble()),
                            raw.le(context->saved_data["high"].toDouble())),
            state, at::zeros_like(state));
      }
      Gate(target, kOutput).copy_(at::sigmoid_backward(state * tanh, out));
      const at::Tensor through = at::tanh_backward(state * out, tanh);
      of_cell = of_cell.defined() ? of_cell + through : through;
      Gate(target, kInput).copy_(at::sigmoid_backward(of_cell * cell, in));
      Gate(target, kForget)
          .copy_(at::sigmoid_backward(of_cell * cells.select(0, t), forget));
      Gate(target, kCell).copy_(at::tanh_backward(of_cell * in, cell));
      of_cell = of_cell * forget;
      of_state = at::mm(target, hidden_weight);
    }
    const at::Tensor all = gate_gradients.view({steps * samples, -1});
    const at::Tensor before =
        states.narrow(0, 0, steps).view({steps * samples, -1});
    Variable of_x;
    if (context->needs_input_grad(0)) {
      of_x =
          at::mm(all, input_weight).view({steps, samples, -1}).transpose(0, 1);
    }
    return {std::move(of_x),
            at::mm(all.t(), inputs),
            at::mm(all.t(), before),
            all.sum(0),
            Variable(),
            Variable()};
  }
};

}  // namespace

at::Tensor Embed(const at::Tensor& x, const at::Tensor& table) {
  return at::embedding(table, x.to(at::kLong));
}

at::Tensor LstmSequence(const at::Tensor& x, const LstmWeights& weights,
                        const HiddenQuantizer& quantizer) {
  return LstmFunction::apply(x, weights.input, weights.hidden, weights.bias,
                             weights.forget_bias, quantizer);
}

at::Tensor CausalAttention(const at::Tensor& x, const AttentionWeights& weights,
                           int64_t heads) {
  const int64_t samples = x.size(0), positions = x.size(1), width = x.size(2);
  const at::Tensor parts =
      at::linear(x, weights.qkv, weights.qkv_bias)
          .view({samples, positions, 3, heads, width / heads})
          .permute({2, 0, 3, 1, 4});
  const double scale = 1 / std::sqrt(static_cast<double>(width / heads));
  const at::Tensor scores = at::matmul(parts.select(0, 0) * scale,
                                       parts.select(0, 1).transpose(-1, -2));
  const at::Tensor later =
      at::ones({positions, positions}, x.options().dtype(at::kBool)).triu(1);
  const at::Tensor shares = at::softmax(
      scores.masked_fill(later, -std::numeric_limits<float>::infinity()), -1);
  const at::Tensor read = at::matmul(shares, parts.select(0, 2))
                              .transpose(1, 2)
                              .reshape({samples, positions, width});
  return at::linear(read, weights.output, weights.output_bias);
}

}  // namespace terse
