#include "common/checkpoint/network_weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace terse {
namespace {

// Codes of more bits than this save little and cost a large table.
constexpr uint32_t kTableBitsMax = 16;

absl::StatusOr<std::vector<float>> MeanBuffer(const Plan& plan,
                                              const SavedState& saved,
                                              uint32_t tensor) {
  std::vector<float> mean(ElementCount(plan.model.tensors[tensor].shape));
  const TensorPlan& of = plan.tensors[tensor];
  const uint32_t workers = saved.manifest().workers;
  std::vector<float> part;
  for (uint32_t b = of.first_block; b < of.first_block + of.block_count; ++b) {
    const BlockSpec& spec = plan.blocks[b];
    part.resize(spec.count);
    for (uint32_t w = 0; w < workers; ++w) {
      TERSE_RETURN_IF_ERROR(
          saved.ReadWorker(w, PieceName("buffer", plan, b), part));
      for (uint32_t i = 0; i < spec.count; ++i) {
        mean[spec.first_index + i] += part[i];
      }
    }
  }
  for (float& value : mean) value /= static_cast<float>(workers);
  return mean;
}

// As a shard publishes them and a worker reads them.
absl::Status QuantizeWeights(const Job& job, const Plan& plan,
                             const SavedState& saved, uint32_t tensor,
                             std::vector<float>& weights) {
  const TensorPlan& of = plan.tensors[tensor];
  const WeightQuantizer& quantizer = *of.quantizer;
  std::vector<float> learned(quantizer.LearnedScales());
  if (!learned.empty()) {
    TERSE_RETURN_IF_ERROR(saved.Read(
        absl::StrCat("learned/", plan.model.tensors[tensor].name), learned));
  }
  const auto block_values = [&](uint32_t b) {
    const BlockSpec& spec = plan.blocks[b];
    return std::span(weights).subspan(spec.first_index, spec.count);
  };
  QuantizeArgs args;
  args.learned = learned;
  args.key =
      DrawKey(Draw::kQuantize, {job.seed(), saved.manifest().version, tensor});
  for (uint32_t b = of.first_block;
       quantizer.NeedsWeightStats() && b < of.first_block + of.block_count;
       ++b) {
    args.weight_stats.Merge(quantizer.WeightStats(block_values(b)));
  }
  std::vector<std::byte> codes;
  for (uint32_t b = of.first_block; b < of.first_block + of.block_count; ++b) {
    const std::span<float> values = block_values(b);
    args.first_index = plan.blocks[b].first_index;
    codes.resize(quantizer.EncodedBytes(values.size()));
    quantizer.Encode(values, args, codes);
    TERSE_RETURN_IF_ERROR(quantizer.Validate(codes, values.size()));
    quantizer.Decode(codes, values);
  }
  return absl::OkStatus();
}

// The bits of the values that occur in a run, ascending; by bits, so that -0
// and +0 stay apart.
std::vector<uint32_t> Distinct(std::span<const float> values, size_t limit) {
  std::vector<uint32_t> found;
  for (const float value : values) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto place = std::lower_bound(found.begin(), found.end(), bits);
    if (place != found.end() && *place == bits) continue;
    found.insert(place, bits);
    if (found.size() > limit) return found;
  }
  return found;
}

struct Tables {
  uint32_t bits = 0;  // 0: too many values.
  std::vector<std::vector<uint32_t>> of_group;
  uint64_t total_bits = 0;
};

Tables MakeTables(std::span<const float> values, uint64_t groups) {
  Tables tables;
  const size_t length = values.size() / groups;
  size_t most = 2;
  for (uint64_t g = 0; g < groups; ++g) {
    tables.of_group.push_back(Distinct(values.subspan(g * length, length),
                                       size_t{1} << kTableBitsMax));
    most = std::max(most, tables.of_group.back().size());
  }
  const uint32_t bits = std::bit_width(most - 1);
  if (bits > kTableBitsMax) return tables;
  tables.bits = bits;
  tables.total_bits = uint64_t{bits} * values.size() + groups * (32ull << bits);
  return tables;
}

}  // namespace

absl::StatusOr<std::vector<float>> NetworkWeights(const Job& job,
                                                  const Plan& plan,
                                                  const SavedState& saved,
                                                  uint32_t tensor) {
  if (plan.IsBuffer(tensor)) return MeanBuffer(plan, saved, tensor);
  std::vector<float> weights(ElementCount(plan.model.tensors[tensor].shape));
  TERSE_RETURN_IF_ERROR(saved.ReadTensor("weights", plan, tensor, weights));
  const WeightQuantizer* quantizer = plan.tensors[tensor].quantizer.get();
  if (quantizer != nullptr && !quantizer->EvaluatesWithShadow()) {
    TERSE_RETURN_IF_ERROR(QuantizeWeights(job, plan, saved, tensor, weights));
  }
  return weights;
}

PackedValues PackValues(std::span<const float> values, uint64_t rows) {
  TERSE_CHECK(rows > 0 && values.size() % rows == 0);
  Tables tables = MakeTables(values, 1);
  if (rows > 1) {
    Tables by_row = MakeTables(values, rows);
    if (by_row.bits > 0 &&
        (tables.bits == 0 || by_row.total_bits < tables.total_bits)) {
      tables = std::move(by_row);
    }
  }
  PackedValues packed;
  if (tables.bits == 0 || tables.total_bits >= 32 * values.size()) {
    return packed;
  }
  packed.bits = tables.bits;
  packed.groups = tables.of_group.size();
  packed.tables.resize(packed.groups << packed.bits);
  packed.codes.resize((packed.bits * values.size() + 7) / 8);
  const size_t length = values.size() / packed.groups;
  for (uint64_t g = 0; g < packed.groups; ++g) {
    const std::vector<uint32_t>& table = tables.of_group[g];
    for (size_t k = 0; k < table.size(); ++k) {
      packed.tables[(g << packed.bits) + k] = std::bit_cast<float>(table[k]);
    }
    for (size_t i = g * length; i < (g + 1) * length; ++i) {
      const uint64_t code =
          std::lower_bound(table.begin(), table.end(),
                           std::bit_cast<uint32_t>(values[i])) -
          table.begin();
      for (uint32_t b = 0; b < packed.bits; ++b) {
        const uint64_t bit = i * packed.bits + b;
        packed.codes[bit / 8] |= ((code >> b) & 1) << (bit % 8);
      }
    }
  }
  return packed;
}

}  // namespace terse
