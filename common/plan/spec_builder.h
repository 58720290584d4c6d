// How a list of layers becomes a ModelSpec.
#ifndef TERSE_COMMON_PLAN_SPEC_BUILDER_H_
#define TERSE_COMMON_PLAN_SPEC_BUILDER_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/string_view.h"
#include "common/plan/model_spec.h"
#include "proto/job.pb.h"

namespace terse {

// As many elements as a plan has room for: 2^42.
inline constexpr uint64_t kElementsMax =
    uint64_t{kBlocksMax} * kBlockElementsMax;

// "[3, 32, 32]"
std::string ShapeText(const Shape& shape);

// The product, or the largest number if it does not fit.
uint64_t SaturatedProduct(std::initializer_list<uint64_t> factors);

// Builds the spec a layer at a time; errors are InvalidArgument (exit code 78)
// and name the layer.
class SpecBuilder {
 public:
  SpecBuilder(const DataShape& data, const Job& job);

  // Adds a list whose items are `path`.0, `path`.1 and so on; a number is left
  // out where `numbered` is false.
  template <typename Layers>
  absl::Status AddAll(const Layers& layers, const std::string& path,
                      bool numbered = true) {
    const int count = static_cast<int>(layers.size());
    for (int i = 0; i < count; ++i) {
      const absl::Status added =
          Add(layers[i], numbered ? absl::StrCat(path, ".", i) : path,
              i + 1 < count ? &layers[i + 1] : nullptr);
      if (!added.ok()) return added;
    }
    if (!unscaled_.empty()) return UnscaledError();
    return absl::OkStatus();
  }

  ModelSpec Take() { return std::move(spec_); }

 private:
  // Numbers given so far, one for each kind of name.
  struct Counters {
    int convolutions = 0;
    int linears = 0;
    int batch_norms = 0;
    int activations = 0;
    int pools = 0;
    int dropouts = 0;
    int shortcuts = 0;
    int additions = 0;
    int embeddings = 0;
    int positions = 0;
    int lstms = 0;
    int attentions = 0;
    int layer_norms = 0;
  };

  // `path` is where the job has the layer; `next` the layer behind it or null.
  absl::Status Add(const Layer& layer, const std::string& path,
                   const Layer* next);
  // Begins a layer that takes `value`.
  void Start(const std::string& path, uint32_t value);
  // Appends the layer; what it puts out is what the next one takes.
  absl::Status Finish();
  // XNOR-Net's activation is of signs; the product that takes them is scaled by
  // what they were the signs of.
  absl::Status Scale(const Layer& layer);
  absl::Status UnscaledError() const;

  // The shortcut's layers come behind the block's own, the sum last.
  absl::Status AddResidual(const Residual& residual, const std::string& path);
  // Brings value `input` to shape `to`.
  absl::Status AddShortcut(const Shape& to, bool pad, uint32_t input,
                           const std::string& path);
  // The step with which every so-many-th pixel of the input makes `to`.
  absl::StatusOr<uint32_t> ShortcutStride(const Shape& to) const;

  // What `layer` is; each sets the rest of layer_ and adds its tensors.
  absl::Status AddKind(const Layer& layer, const Layer* next);
  void AddActivation(const Activation& activation);
  absl::Status AddConv(const Conv& conv, bool bias, const char* prefix,
                       int& counter);
  absl::Status AddLinear(const Linear& linear, bool bias);
  absl::Status AddBatchNorm(const BatchNorm& options, const Layer* next);
  absl::Status AddPool(const Pool& pool, LayerSpec::Kind kind);

  // The layers of text, in sequence_layers.cc.
  absl::Status AddEmbedding(const Embedding& embedding);
  absl::Status AddPosition();
  absl::Status AddLstm(const Lstm& lstm);
  absl::Status AddAttention(const Attention& attention);
  absl::Status AddLayerNorm(const LayerNorm& options);
  absl::Status NeedsSequence() const;

  // Sets the output of a window that slides over a picture; a last step that
  // would leave the picture is not taken.
  absl::Status SlideWindow(uint64_t channels);

  // The tensors "weight" and, with `bias`, "bias" of layer_.
  absl::Status AddWeights(const Shape& shape, uint64_t fan_in, uint64_t fan_out,
                          bool bias);
  // A tensor of the layer with role kWeight. Errors: it is too large.
  absl::StatusOr<uint32_t> AddWeight(const char* suffix, const Shape& shape,
                                     uint64_t fan_in, uint64_t fan_out);
  uint32_t AddTensor(const char* suffix, const Shape& shape,
                     TensorSpec::Role role, float initial_value);
  void Name(LayerSpec::Kind kind, const char* prefix, int& counter);
  absl::Status CheckMultiplyAdds() const;
  absl::Status Error(std::string_view text) const;

  const Quantize& quantize_;
  const bool text_;  // The samples are text.
  ModelSpec spec_;
  uint32_t value_ = 0;  // What the next layer takes.
  Shape shape_;         // Of what the layer being added takes.
  LayerSpec layer_;     // Being added.
  std::string path_;    // Of layer_.
  Counters counters_;
  // The activation that waits for the product that it scales, and its input.
  std::string unscaled_;
  uint32_t magnitudes_ = 0;
};

}  // namespace terse

#endif  // TERSE_COMMON_PLAN_SPEC_BUILDER_H_
