// bench_quantize: what a server does for each block of quantized weights
// (statistics, codes, chain rule) and a worker (decoding), for every kind, on
// one thread. items_per_second counts weights; `copy` is memcpy of as many
// floats.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/quantize/weight_quantizer.h"
#include "google/protobuf/text_format.h"

namespace terse {
namespace {

constexpr size_t kRow = 1024;

const char* const kKinds[] = {"kind: BINARYCONNECT",
                              "kind: BINARYCONNECT_STOCHASTIC",
                              "kind: BWN",
                              "kind: TWN",
                              "kind: TTQ",
                              "kind: DOREFA bits: 2",
                              "kind: UNIFORM bits: 4",
                              "kind: LOGARITHMIC bits: 5",
                              "kind: BALANCED bits: 2",
                              "kind: TERM bits: 6",
                              "kind: FLEXPOINT bits: 8",
                              "kind: PWLQ bits: 4"};

struct Block {
  explicit Block(const char* options) : weights(kBlockElementsMax) {
    WeightQuantization message;
    TERSE_CHECK(
        google::protobuf::TextFormat::ParseFromString(options, &message));
    quantizer = *MakeWeightQuantizer(message, kRow);
    for (size_t i = 0; i < weights.size(); ++i) {
      for (uint64_t d = 0; d < 4; ++d) {
        weights[i] += (RandomUnit(1, 4 * i + d) - 0.5f) * 0.1f;
      }
    }
    learned.assign(quantizer->LearnedScales(), 1.0f);
    args.weight_stats = quantizer->WeightStats(weights);
    args.learned = learned;
    codes.resize(quantizer->EncodedBytes(weights.size()));
    quantizer->Encode(weights, args, codes);
    gradient = weights;
  }

  std::unique_ptr<WeightQuantizer> quantizer;
  std::vector<float> weights, gradient, learned;
  std::vector<std::byte> codes;
  QuantizeArgs args;
};

void Count(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(kBlockElementsMax));
}

void Stats(benchmark::State& state, const char* options) {
  Block block(options);
  for (auto _ : state) {
    benchmark::DoNotOptimize(block.quantizer->WeightStats(block.weights));
  }
  Count(state);
}

void Encode(benchmark::State& state, const char* options) {
  Block block(options);
  for (auto _ : state) {
    block.quantizer->Encode(block.weights, block.args, block.codes);
    benchmark::ClobberMemory();
  }
  Count(state);
}

void Decode(benchmark::State& state, const char* options) {
  Block block(options);
  for (auto _ : state) {
    block.quantizer->Decode(block.codes, block.gradient);
    benchmark::ClobberMemory();
  }
  Count(state);
}

void ChainRule(benchmark::State& state, const char* options) {
  Block block(options);
  for (auto _ : state) {
    block.quantizer->ChainRule(block.weights, block.args, block.gradient);
    benchmark::ClobberMemory();
  }
  Count(state);
}

void Copy(benchmark::State& state) {
  const std::vector<float> from(kBlockElementsMax, 1.0f);
  std::vector<float> to(kBlockElementsMax);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
    benchmark::ClobberMemory();
  }
  Count(state);
}

void Register() {
  benchmark::RegisterBenchmark("copy", Copy);
  for (const char* kind : kKinds) {
    const std::string name(kind + std::strlen("kind: "));
    benchmark::RegisterBenchmark(("stats/" + name).c_str(), Stats, kind);
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), Encode, kind);
    benchmark::RegisterBenchmark(("decode/" + name).c_str(), Decode, kind);
    benchmark::RegisterBenchmark(("chain/" + name).c_str(), ChainRule, kind);
  }
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  terse::Register();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
