// What of a BlockStore is in a checkpoint; names: common/checkpoint/FORMAT.md.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "server/block_store.h"

namespace terse {
namespace {

constexpr char kWeights[] = "weights";
constexpr char kSharedScale[] = "shared_scale";
constexpr char kRightFactor[] = "right_factor";

std::string OptimizerKind(std::string_view state) {
  return absl::StrCat("optimizer/", ToAbsl(state));
}

std::string LearnedName(const Plan& plan, uint32_t tensor) {
  return absl::StrCat("learned/", plan.model.tensors[tensor].name);
}

std::string LearnedStateName(const Plan& plan, uint32_t tensor,
                             std::string_view state) {
  return absl::StrCat("learned_optimizer/", ToAbsl(state), "/",
                      plan.model.tensors[tensor].name);
}

}  // namespace

std::vector<SavedTensor> BlockStore::Save() const {
  std::vector<SavedTensor> saved;
  const std::vector<std::string_view> names =
      OptimizerStateNames(job_.optimizer());
  for (uint32_t id : ids_) {
    const Place& place = places_.at(id);
    saved.push_back(MakePiece(kWeights, plan_, id, Weights(id)));
    for (size_t s = 0; s < state_.size(); ++s) {
      saved.push_back(
          MakePiece(OptimizerKind(names[s]), plan_, id,
                    std::span(state_[s]).subspan(place.offset, place.count)));
    }
    if (TensorOf(id).level_codec != nullptr) {
      saved.push_back({.name = PieceName(kSharedScale, plan_, id),
                       .shape = {1},
                       .values = {place.shared_scale}});
    }
    if (!place.right_factor.empty()) {
      saved.push_back({.name = PieceName(kRightFactor, plan_, id),
                       .shape = {place.right_factor.size()},
                       .values = place.right_factor});
    }
  }
  for (const auto& [tensor, learned] : learned_) {
    const std::vector<uint64_t> shape = {learned.scales.size()};
    saved.push_back({LearnedName(plan_, tensor), shape, learned.scales});
    for (size_t s = 0; s < learned.state.size(); ++s) {
      saved.push_back(
          {LearnedStateName(plan_, tensor, names[s]), shape, learned.state[s]});
    }
  }
  return saved;
}

void BlockStore::CopyTo(uint32_t block, std::span<float> target) const {
  const Place& place = places_.at(block);
  auto out = std::copy_n(Weights(block).begin(), place.count, target.begin());
  for (const std::span<const float> state : State(block)) {
    out = std::copy(state.begin(), state.end(), out);
  }
  *out++ = place.shared_scale;
  std::copy(place.right_factor.begin(), place.right_factor.end(), out);
}

void BlockStore::CopyLearned(uint32_t tensor, wire::MirroredBlock& rest) const {
  const auto found = learned_.find(tensor);
  if (found == learned_.end()) return;
  const Learned& learned = found->second;
  rest.mutable_learned()->Add(learned.scales.begin(), learned.scales.end());
  rest.mutable_learned()->Add(learned.scales_before.begin(),
                              learned.scales_before.end());
  for (const std::vector<float>& state : learned.state) {
    rest.mutable_learned()->Add(state.begin(), state.end());
  }
}

void BlockStore::TakeFrom(uint32_t block, std::span<const float> source) {
  Place& place = places_.at(block);
  const auto take = [&source](std::span<float> target) {
    std::copy_n(source.begin(), target.size(), target.begin());
    source = source.subspan(target.size());
  };
  take(MutableWeights(block));
  for (const std::span<float> state : State(block)) take(state);
  take(std::span(&place.shared_scale, 1));
  take(place.right_factor);
}

void BlockStore::TakeLearned(uint32_t tensor, const wire::MirroredBlock& rest) {
  const auto found = learned_.find(tensor);
  if (found == learned_.end()) return;
  Learned& learned = found->second;
  const float* source = rest.learned().data();
  const auto take = [&source](std::vector<float>& target) {
    std::copy_n(source, target.size(), target.begin());
    source += target.size();
  };
  take(learned.scales);
  take(learned.scales_before);
  for (std::vector<float>& state : learned.state) take(state);
  learned.updates = rest.updates();
}

absl::Status BlockStore::Restore(const SavedState& saved) {
  const std::vector<std::string_view> names =
      OptimizerStateNames(job_.optimizer());
  for (uint32_t id : ids_) {
    Place& place = places_.at(id);
    TERSE_RETURN_IF_ERROR(
        saved.ReadBlock(kWeights, plan_, id, MutableWeights(id)));
    const std::vector<std::span<float>> state = State(id);
    for (size_t s = 0; s < state.size(); ++s) {
      TERSE_RETURN_IF_ERROR(
          saved.ReadBlock(OptimizerKind(names[s]), plan_, id, state[s]));
    }
    if (saved.manifest().version == plan_.codec_since) continue;
    if (TensorOf(id).level_codec != nullptr) {
      TERSE_RETURN_IF_ERROR(saved.Read(PieceName(kSharedScale, plan_, id),
                                       std::span(&place.shared_scale, 1)));
    }
    if (!place.right_factor.empty()) {
      TERSE_RETURN_IF_ERROR(
          saved.Read(PieceName(kRightFactor, plan_, id), place.right_factor));
    }
  }
  for (auto& [tensor, learned] : learned_) {
    TERSE_RETURN_IF_ERROR(
        saved.Read(LearnedName(plan_, tensor), learned.scales));
    learned.scales_before = learned.scales;
    for (size_t s = 0; s < learned.state.size(); ++s) {
      TERSE_RETURN_IF_ERROR(saved.Read(
          LearnedStateName(plan_, tensor, names[s]), learned.state[s]));
    }
    learned.updates = saved.manifest().updates;
  }
  return absl::OkStatus();
}

}  // namespace terse
