// The layers of text: values are [positions, channels].
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/plan/layer_options.h"
#include "common/plan/spec_builder.h"

namespace terse {

using Role = TensorSpec::Role;

absl::Status SpecBuilder::NeedsSequence() const {
  if (shape_.size() == 2) return absl::OkStatus();
  return Error(absl::StrCat(
      "needs a sequence [positions, channels], as an embedding of text puts ",
      "out, but its input is ", ShapeText(shape_)));
}

absl::Status SpecBuilder::AddEmbedding(const Embedding& embedding) {
  Name(LayerSpec::Kind::kEmbedding, "embed", counters_.embeddings);
  if (!text_ || layer_.source != 0) {
    return Error(
        "an embedding takes the characters of data.kind: text and "
        "is the first layer");
  }
  const uint64_t width = embedding.width();
  layer_.output = {shape_[0], width};
  TERSE_ASSIGN_OR_RETURN(
      layer_.weight, AddWeight("weight", {spec_.classes, width}, width, width));
  spec_.tensors.back().is_table = true;
  return absl::OkStatus();
}

absl::Status SpecBuilder::AddPosition() {
  Name(LayerSpec::Kind::kPosition, "pos", counters_.positions);
  TERSE_RETURN_IF_ERROR(NeedsSequence());
  layer_.output = shape_;
  TERSE_ASSIGN_OR_RETURN(layer_.weight,
                         AddWeight("weight", shape_, shape_[1], shape_[1]));
  spec_.tensors.back().is_table = true;
  return absl::OkStatus();
}

absl::Status SpecBuilder::AddLstm(const Lstm& lstm) {
  Name(LayerSpec::Kind::kLstm, "lstm", counters_.lstms);
  TERSE_RETURN_IF_ERROR(NeedsSequence());
  const uint64_t hidden = lstm.hidden();
  const uint64_t gates = 4 * hidden;
  const uint64_t inputs = shape_[1];
  layer_.output = {shape_[0], hidden};
  layer_.forget_bias = lstm.forget_bias();
  TERSE_ASSIGN_OR_RETURN(
      layer_.weight, AddWeight("weight_input", {gates, inputs}, inputs, gates));
  TERSE_ASSIGN_OR_RETURN(
      layer_.second_weight,
      AddWeight("weight_hidden", {gates, hidden}, hidden, gates));
  layer_.bias = AddTensor("bias", {gates}, Role::kParameter, 0);
  TERSE_ASSIGN_OR_RETURN(layer_.quantization,
                         HiddenActivationsOf(quantize_, layer_.name));
  layer_.multiply_adds =
      SaturatedProduct({shape_[0], gates, inputs + hidden + 1});
  return CheckMultiplyAdds();
}

absl::Status SpecBuilder::AddAttention(const Attention& attention) {
  Name(LayerSpec::Kind::kAttention, "attn", counters_.attentions);
  TERSE_RETURN_IF_ERROR(NeedsSequence());
  const uint64_t positions = shape_[0];
  const uint64_t width = shape_[1];
  if (width % attention.heads() != 0) {
    return Error(absl::StrCat(attention.heads(), " heads do not divide the ",
                              width, " channels of its input"));
  }
  layer_.heads = attention.heads();
  layer_.output = shape_;
  TERSE_ASSIGN_OR_RETURN(
      layer_.weight,
      AddWeight("weight_qkv", {3 * width, width}, width, 3 * width));
  layer_.bias = AddTensor("bias_qkv", {3 * width}, Role::kParameter, 0);
  TERSE_ASSIGN_OR_RETURN(
      layer_.second_weight,
      AddWeight("weight_output", {width, width}, width, width));
  layer_.second_bias = AddTensor("bias_output", {width}, Role::kParameter, 0);
  // The projections, and twice the products of all pairs of positions.
  layer_.multiply_adds = SaturatedProduct(
      {positions, width, SaturatedProduct({4, width + 1}) + 2 * positions});
  return CheckMultiplyAdds();
}

absl::Status SpecBuilder::AddLayerNorm(const LayerNorm& options) {
  Name(LayerSpec::Kind::kLayerNorm, "ln", counters_.layer_norms);
  TERSE_RETURN_IF_ERROR(NeedsSequence());
  layer_.epsilon = options.epsilon();
  layer_.output = shape_;
  layer_.weight = AddTensor("weight", {shape_[1]}, Role::kParameter, 1);
  layer_.bias = AddTensor("bias", {shape_[1]}, Role::kParameter, 0);
  return absl::OkStatus();
}

}  // namespace terse
