// Speed of one update of 20 million weights in blocks, as a shard applies it,
// beside a memcpy that touches as many bytes.
#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/limits.h"
#include "common/kernels/target.h"
#include "common/optimizer/optimizer.h"

namespace terse {
namespace {

constexpr size_t kWeights = 20'000'000;

// Bytes read and written per weight with `states` state arrays: gradient in,
// weight and states in and out.
constexpr size_t BytesPerWeight(size_t states) { return 4 * (3 + 2 * states); }

void Update(benchmark::State& run, const Optimizer& options) {
  const size_t states = OptimizerStateNames(options).size();
  std::vector<float> weights(kWeights, 0.5f), gradient(kWeights, 1e-3f);
  std::vector<std::vector<float>> arrays(states, std::vector<float>(kWeights));
  UpdateArgs args = {.learning_rate = 1e-3f};
  for (auto _ : run) {
    for (size_t begin = 0; begin < kWeights; begin += kBlockElementsMax) {
      const size_t count = std::min(kBlockElementsMax, kWeights - begin);
      std::vector<std::span<float>> state;
      for (auto& array : arrays) {
        state.push_back(std::span(array).subspan(begin, count));
      }
      ApplyUpdate(options, args, std::span(gradient).subspan(begin, count),
                  std::span(weights).subspan(begin, count), state);
    }
    ++args.step;
    benchmark::ClobberMemory();
  }
  run.SetBytesProcessed(run.iterations() * kWeights * BytesPerWeight(states));
  run.SetLabel(KernelTargetName());
}

void Sgd(benchmark::State& run) { Update(run, Optimizer()); }

void Momentum(benchmark::State& run) {
  Optimizer options;
  options.set_momentum(0.9f);
  Update(run, options);
}

void Adam(benchmark::State& run) {
  Optimizer options;
  options.set_kind(Optimizer::ADAM);
  Update(run, options);
}

// A copy reads and writes each byte: half the bytes, the same traffic.
void Memcpy(benchmark::State& run) {
  const size_t bytes = kWeights * BytesPerWeight(run.range(0)) / 2;
  std::vector<char> source(bytes, 1), target(bytes);
  for (auto _ : run) {
    std::memcpy(target.data(), source.data(), bytes);
    benchmark::ClobberMemory();
  }
  run.SetBytesProcessed(run.iterations() * bytes * 2);
}

void SquareSum(benchmark::State& run) {
  const std::vector<float> gradient(kWeights, 1e-3f);
  for (auto _ : run) {
    benchmark::DoNotOptimize(ClippedSquareSum(gradient, kUnbounded));
  }
  run.SetBytesProcessed(run.iterations() * kWeights * 4);
}

BENCHMARK(Sgd)->Unit(benchmark::kMillisecond);
BENCHMARK(Momentum)->Unit(benchmark::kMillisecond);
BENCHMARK(Adam)->Unit(benchmark::kMillisecond);
BENCHMARK(Memcpy)->ArgName("states")->Arg(0)->Arg(1)->Arg(2)->Unit(
    benchmark::kMillisecond);
BENCHMARK(SquareSum)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace terse
