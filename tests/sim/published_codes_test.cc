// What workers compute with is, bit for bit, what the quantizer makes of the
// whole tensor of shadow weights, though blocks of it lie on several shards.
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/sha256.h"
#include "common/checkpoint/saved_state.h"
#include "common/plan/plan.h"
#include "tests/sim/fixture.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

// The first weight has two blocks.
constexpr char kMlp[] = R"(
seed: 7
model: {mlp: {hidden: [70, 30], batch_norm: false}}
data: {kind: noise, shape: [1, 64, 64], train_samples: 300, test_samples: 3}
quantize: {ends: quantized}
train: {steps: 3, batch_size: 20, evaluate_every_epochs: 0}
cluster: {servers: 1, workers: 2}
)";

constexpr char kLstm[] = R"(
seed: 7
model: {layers: [{embedding: 20}, {lstm: 270}, {linear: 96}]}
data: {kind: text, sequence: 8}
quantize: {ends: quantized, activations: {kind: symmetric, bits: 2}}
train: {steps: 3, batch_size: 20, evaluate_every_epochs: 0}
cluster: {servers: 1, workers: 2}
)";

struct Variant {
  std::string name;
  std::string weights;  // Of the job.
  const char* job = kMlp;
};

std::vector<Variant> Variants() {
  std::vector<Variant> variants = {
      {"bwn_paper_centered", "{kind: bwn, paper_gradient: true, center: true}"},
      {"uniform_fixed_range", "{kind: uniform, bits: 5, max: 0.1}"},
      {"balanced_median", "{kind: balanced, bits: 3, balance: median}"},
      {"balanced_unbalanced", "{kind: balanced, bits: 2, balance: unbalanced}"},
      {"lstm_balanced", "{kind: balanced, bits: 2}", kLstm},
      {"lstm_twn", "twn", kLstm},
      {"lstm_ttq", "ttq", kLstm},
  };
  const auto* kinds = WeightQuantization::Kind_descriptor();
  for (int k = 0; k < kinds->value_count(); ++k) {
    if (kinds->value(k)->number() == WeightQuantization::NONE) continue;
    std::string name;
    for (const char c : kinds->value(k)->name()) {
      name += static_cast<char>(c == '_' ? c : std::tolower(c));
    }
    bool has_bits = false;
    for (const int bits : {1, 2, 4, 7}) {
      const std::string weights =
          absl::StrCat("{kind: ", name, ", bits: ", bits, "}");
      const auto job =
          ParseJob(kMlp, "", {absl::StrCat("quantize.weights=", weights)});
      if (!job.ok() || !MakePlan(*job).ok()) continue;
      has_bits = true;
      variants.push_back({absl::StrCat(name, "_", bits), weights});
    }
    if (!has_bits) variants.push_back({name, name});
  }
  return variants;
}

class PublishedCodesTest : public WithFolder,
                           public testing::WithParamInterface<Variant> {
 protected:
  // What the forward pass uses of shadow weights: the codes of the tensor,
  // encoded as one, read back.
  static void Quantize(const Job& job, const Plan& plan,
                       const SavedState& saved, uint32_t tensor,
                       std::vector<float>& weights) {
    const TensorPlan& of = plan.tensors[tensor];
    std::vector<float> learned(of.quantizer->LearnedScales());
    if (!learned.empty()) {
      const std::string name =
          absl::StrCat("learned/", plan.model.tensors[tensor].name);
      ASSERT_TRUE(saved.Read(name, learned).ok());
    }
    QuantizeArgs args = {
        .key = DrawKey(Draw::kQuantize,
                       {job.seed(), saved.manifest().version, tensor}),
        .learned = learned};
    for (uint32_t b = 0; b < of.block_count; ++b) {
      const BlockSpec& block = plan.blocks[of.first_block + b];
      args.weight_stats.Merge(of.quantizer->WeightStats(
          std::span(weights).subspan(block.first_index, block.count)));
    }
    // Medians are those of a block; all else does not know of blocks.
    const bool by_block = GetParam().name == "balanced_median";
    for (uint32_t b = 0; b < (by_block ? of.block_count : 1); ++b) {
      const BlockSpec& block = plan.blocks[of.first_block + b];
      const std::span<float> part =
          by_block ? std::span(weights).subspan(block.first_index, block.count)
                   : std::span(weights);
      args.first_index = block.first_index;
      std::vector<std::byte> codes(of.quantizer->EncodedBytes(part.size()));
      of.quantizer->Encode(part, args, codes);
      ASSERT_TRUE(of.quantizer->Validate(codes, part.size()).ok());
      of.quantizer->Decode(codes, part);
    }
  }

  // As SimJobResult::worker_sha256, from the checkpoint of the job's end.
  std::string Expected(const Job& job) const {
    const absl::StatusOr<Plan> plan = MakePlan(job);
    const auto found = OpenCheckpoint(
        (folder_ / CheckpointFolderName(job.train().steps())).string());
    EXPECT_TRUE(plan.ok() && found.ok()) << found.status();
    const absl::StatusOr<SavedState> saved = SavedState::Open(*found);
    EXPECT_TRUE(saved.ok()) << saved.status();
    Sha256 hash;
    for (uint32_t t = 0; t < plan->model.tensors.size(); ++t) {
      if (plan->IsBuffer(t)) continue;
      std::vector<float> weights(ElementCount(plan->model.tensors[t].shape));
      EXPECT_TRUE(saved->ReadTensor("weights", *plan, t, weights).ok());
      const TensorPlan& of = plan->tensors[t];
      if (of.quantizer != nullptr) Quantize(job, *plan, *saved, t, weights);
      for (uint32_t b = 0; b < of.block_count; ++b) {
        const BlockSpec& block = plan->blocks[of.first_block + b];
        hash.Update(Sha256Of(std::as_bytes(
            std::span(weights).subspan(block.first_index, block.count))));
      }
    }
    return Hex(hash.Finish());
  }
};

TEST_P(PublishedCodesTest, WorkersHoldTheTensorsQuantizedAsAWhole) {
  for (const int servers : {1, 3}) {
    const Job job = JobOf(
        GetParam().job, {absl::StrCat("quantize.weights=", GetParam().weights),
                         absl::StrCat("cluster.servers=", servers)});
    EmptyFolder();
    SimJobOptions options;
    options.network.seed = static_cast<uint64_t>(servers);
    options.checkpoint_directory = folder_.string();
    const SimJobResult result = RunSimJob(job, options);
    ASSERT_TRUE(result.status.ok()) << result.status;
    ASSERT_EQ(result.worker_sha256.size(), 2u);
    const std::string expected = Expected(job);
    EXPECT_NE(expected, result.report["weights_sha256"]);
    for (const std::string& worker : result.worker_sha256) {
      EXPECT_EQ(worker, expected) << servers << " servers";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, PublishedCodesTest,
                         testing::ValuesIn(Variants()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace terse
